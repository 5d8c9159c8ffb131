"""Who asks, and may they? (Push Jobs protocol, section 2.)"""

import time
from collections.abc import Callable
from enum import Enum, auto
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.requests import Request

from pushcli import keys, verification
from pushcli.errors import KeyFileError
from pushcli.verification import SignedHeaders
from pushcli_server.rest.errors import Refused, not_found, unauthenticated
from pushcli_server.rest.request import signed_path
from pushcli_server.store import Store
from pushcli_server.store.records import Principal

READERS = "pushy_job_readers"
WRITERS = "pushy_job_writers"
ADMINS = "admins"


class Access(Enum):
    """What a request needs beyond belonging to the organization."""

    READ = auto()
    WRITE = auto()
    CONFIG = auto()
    """Of a node: its own client, or a user who may read."""
    ADMIN = auto()
    """A member of `admins`."""
    CLIENTS = auto()
    """Creating clients: the validator, and admins."""


class Authenticator:
    """Finds the principal that signed a request, and checks what it may.

    Args:
        now: seconds since the epoch; injected by tests that replay recorded requests.
    """

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    def headers(self, request: Request) -> SignedHeaders:
        """Read the signature's headers.

        Raises:
            MissingHeaders, BadHeader, ClockSkew, UnsupportedVersion: in this order.
        """
        return verification.parse_headers(request.headers, self._now())

    async def principal(
        self, org: str, signed: SignedHeaders, request: Request, body: bytes
    ) -> tuple[Principal, RSAPublicKey]:
        """The user or client whose key fits, and that key: a name may belong to both.

        Raises:
            Refused: no such organization, unknown name, wrong signature, not associated.
        """
        if not await self._store.organization_exists(org):
            raise not_found(f"organization '{org}' does not exist.")
        candidates = await self._store.principals(org, signed.user)
        if not candidates:
            raise unauthenticated(
                f"Failed to authenticate as '{signed.user}'. "
                "Ensure that your node_name and client key are correct."
            )
        path = signed_path(request)
        fitting = [
            (candidate, key)
            for candidate in candidates
            if (key := _fitting_key(candidate, signed, request.method, path, body)) is not None
        ]
        if not fitting:
            raise unauthenticated(f"Invalid signature for user or client '{signed.user}'")
        associated = [signer for signer in fitting if signer[0].associated]
        if not associated:
            raise Refused(403, [f"'{signed.user}' is not associated with organization '{org}'"])
        return associated[0]

    async def authorize(
        self, org: str, principal: Principal, access: Access, path: dict[str, str]
    ) -> None:
        """Check the group that the access needs.

        Raises:
            Refused: 403.
        """
        match access:
            case Access.CONFIG if principal.kind == "client":
                if principal.name != path["node"]:
                    raise Refused(403, ["Client and node name must match"])
                return
            case Access.READ | Access.CONFIG:
                allowed = await self._in_group(org, principal, READERS, otherwise=True)
            case Access.WRITE:
                allowed = await self._may_write(org, principal)
            case Access.ADMIN:
                allowed = await self._in_group(org, principal, ADMINS)
            case Access.CLIENTS:
                allowed = principal.validator or await self._in_group(org, principal, ADMINS)
        if not allowed:
            raise Refused(
                403,
                [
                    f"User or client '{principal.name}' does not have access to that action "
                    "on this server."
                ],
            )

    async def _may_write(self, org: str, principal: Principal) -> bool:
        if await self._store.group_exists(org, WRITERS):
            return await self._in_group(org, principal, WRITERS)
        return await self._in_group(org, principal, ADMINS)

    async def _in_group(
        self, org: str, principal: Principal, group: str, *, otherwise: bool = False
    ) -> bool:
        if await self._store.is_member(org, principal.kind, principal.name, group):
            return True
        return otherwise and not await self._store.group_exists(org, group)


# Reading a key takes three times as long as verifying with it.
_public_key = lru_cache(maxsize=16_384)(keys.load_public_key)


def _fitting_key(
    principal: Principal, signed: SignedHeaders, method: str, path: str, body: bytes
) -> RSAPublicKey | None:
    for pem in principal.public_keys:
        try:
            key = _public_key(pem)
        except KeyFileError:
            continue
        if verification.verify(signed, key, method=method, path=path, body=body):
            return key
    return None
