"""Tokens for enrolment: their secret, and what is kept of it."""

import hashlib
import secrets

from pushcli_server.store.records import TokenRecord


def make(
    org: str, *, node: str | None, uses: int, expires_in: float, by: str, at: float
) -> tuple[TokenRecord, str]:
    """A new token: the record to store, and the text `ID.SECRET` that enrolls.

    Args:
        node: the only one that may use it; None: any.
        expires_in: seconds.
        at: now, in seconds since the epoch.
    """
    secret = secrets.token_urlsafe(32)
    record = TokenRecord(
        id=secrets.token_hex(8),
        org=org,
        digest=digest(secret),
        node=node,
        uses_left=uses,
        expires_at=at + expires_in,
        created_by=by,
        created_at=at,
    )
    return record, f"{record.id}.{secret}"


def digest(secret: str) -> str:
    """What is kept of a secret; it is random, so it needs no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()
