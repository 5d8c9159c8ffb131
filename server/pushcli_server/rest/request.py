"""One request as handlers see it, and reading its body within bounds."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.requests import ClientDisconnect, Request

from pushcli.protocol import limits, signing
from pushcli.protocol.verification import SignedHeaders
from pushcli_server.core.identity import Requestor
from pushcli_server.core.replays import Signature
from pushcli_server.rest.errors import Refused, too_large
from pushcli_server.signed_writes import Attempt
from pushcli_server.store import operations
from pushcli_server.store.records import AuditRecord, Principal

Allowed = Callable[[], Awaitable[bool]]
"""Asks whether who sent a request would be let in with it again."""
BODY_TIMEOUT = 30.0
"""Seconds in which a body must have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, whoever sent it.

    Args:
        org: empty outside of the organizations.
        path: the parts of the path that the route names.
        at: the server's time, seconds since the epoch.
        origin: the address of whoever sent it, for the audit trail.
        scheme: as he named it, `http` or `https`.
    """

    http: Request
    body: bytes
    org: str
    path: dict[str, str]
    at: float
    origin: str
    scheme: str

    def require_json(self) -> None:
        """The body's type must be JSON.

        Raises:
            Refused: 415.
        """
        kind = self.http.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, ["Content-Type must be application/json"])

    def audit_of(
        self, kind: str, actor: str, action: str, target: str, detail: Any = None
    ) -> operations.Audit:
        """A line of the audit trail, to be written with what it tells of.

        Args:
            kind: of the actor: user, client or node.
            detail: anything that JSON has.
        """
        return operations.Audit(
            AuditRecord(
                at=self.at,
                org=self.org,
                actor_kind=kind,
                actor=actor,
                action=action,
                target=target,
                origin=self.origin,
                detail=None if detail is None else msgspec.json.encode(detail).decode(),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Asked):
    """A request that passed all checks up to its group.

    Args:
        key: the one of the principal's keys that fits the signature.
        allowed: for answers that take long.
        attempt: None: the request changes nothing.
        repeated: one with the same signature came before.
    """

    principal: Principal
    key: RSAPublicKey
    allowed: Allowed
    attempt: Attempt | None = None
    repeated: bool = False

    def audit(self, action: str, target: str, detail: Any = None) -> operations.Audit:
        """A line of the audit trail about what the signer does."""
        return self.audit_of(self.principal.kind, self.principal.name, action, target, detail)

    @property
    def by(self) -> Requestor:
        """Who signed."""
        # A user is the same one in every organization.
        org = "" if self.principal.kind == "user" else self.org
        return Requestor(self.principal.kind, org, self.principal.name)

    @property
    def writing(self) -> Attempt:
        """The attempt that this write is.

        Raises:
            RuntimeError: its route says that it changes nothing.
        """
        if self.attempt is None:
            raise RuntimeError(f"{self.http.method} {self.http.url.path} was to change nothing")
        return self.attempt

    async def write(self, *changes: operations.Operation) -> None:
        """Write all of these or none, and with them that this request was carried out.

        Raises:
            CannotApply: one cannot be applied.
            StoreUnavailable: the database is away.
        """
        await self.writing.write(*changes)


def signature_of(call: Call, signed: SignedHeaders) -> Signature:
    """What tells this request from every other; its signature was verified."""
    digest = hashlib.sha256(signed.signature or b"").digest()
    return Signature(call.by, digest, signed.signed_at)


def signed_path(request: Request) -> str:
    """The path as the client sent and signed it, percent-encoding and all."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return signing.canonical_path(raw.decode("latin-1"))


async def read_body(request: Request, limit: int = limits.MAX_REQUEST) -> bytes:
    """The body, of at most so many bytes.

    Raises:
        Refused: 413 as soon as that is clear, 408 if it does not come, 400 if it breaks off.
    """
    refuse_if_too_large(request, limit)
    # One buffer: a body may come a byte at a time.
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large(limit)
    except TimeoutError:
        raise Refused(408, ["the body did not come"]) from None
    except ClientDisconnect:
        raise Refused(400, ["the body broke off"]) from None
    return bytes(body)


def refuse_if_too_large(request: Request, limit: int = limits.MAX_REQUEST) -> None:
    """What the headers say of the body's size must be within the limit, in bytes.

    Raises:
        Refused: 413.
    """
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > limit):
        raise too_large(limit)


def body_size(request: Request) -> int:
    """Bytes that the body may have: what is said of it, or the limit if that is left open."""
    if "transfer-encoding" in request.headers:
        return limits.MAX_REQUEST
    length = request.headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else limits.MAX_REQUEST
