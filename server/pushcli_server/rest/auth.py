"""Who asks, and may they? (Push Jobs protocol, section 2.)"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import lru_cache, partial
from typing import assert_never

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.requests import Request

from pushcli.errors import KeyFileError
from pushcli.protocol import verification
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli.protocol.verification import SignedHeaders
from pushcli_server import usable_keys
from pushcli_server.identities import Identities
from pushcli_server.rest.errors import Refused, not_found, unauthenticated
from pushcli_server.rest.refusing import READING, WRITING, Needs, action, forbidden
from pushcli_server.rest.request import signed_path
from pushcli_server.rest.rights import ADMINS, READERS, WRITERS, Rights
from pushcli_server.store import StoreUnavailable
from pushcli_server.store.records import Principal


class Access(Enum):
    """What a request needs beyond belonging to the organization; superusers need nothing.

    Outside of the organizations nobody is an `ADMIN`.
    """

    READ = auto()
    WRITE = auto()
    OWN_JOB = auto()
    """Of the path's `job`: whoever may read, and whoever may write and started it."""
    OUTPUT = auto()
    """Of the path's `job`: whoever may read; of what was captured by default, see `rights`."""
    OWN_OUTPUT = auto()
    """The same, and whoever may write and started it."""
    CONFIG = auto()
    """Of a node: its own client, or a user who may read."""
    MEMBER = auto()
    """Every associated user and client but validators."""
    ADMIN = auto()
    """A member of `admins`."""
    SUPERUSER = auto()
    CLIENTS = auto()
    """Creating clients: the validator, and admins."""
    OWN_CLIENT = auto()
    """Of the path's `client`: itself (no validator), and admins."""
    OWN_USER = auto()
    """Of the path's `user`: that user, and admins."""


class Authenticator:
    """Finds the principal that signed a request, and checks what it may.

    Args:
        now: seconds since the epoch; injected by tests that replay recorded requests.
    """

    def __init__(
        self, identities: Identities, rights: Rights, now: Callable[[], float] = time.time
    ) -> None:
        self._identities = identities
        self._rights = rights
        self._now = now

    def headers(self, request: Request, at: float | None = None) -> SignedHeaders:
        """Read the signature's headers.

        Args:
            at: by which clock its time is judged (seconds since the epoch); None: ours.

        Raises:
            MissingHeaders, BadHeader, ClockSkew, UnsupportedVersion: in this order.
        """
        return verification.parse_headers(request.headers, self._now() if at is None else at)

    async def signers(
        self, org: str, signed: SignedHeaders, request: Request
    ) -> list[tuple[Principal, RSAPublicKey]]:
        """Whose keys fit the request's head, and these keys: a name may belong to two.

        The head has the body's digest: nobody's body is read before its sender is known.

        Args:
            org: empty outside of the organizations, where there are users only.

        Raises:
            Refused: no such organization, unknown name, wrong signature.
        """
        candidates = await self._identities.candidates(org, signed.user)
        if candidates is None:
            raise not_found(f"organization '{org}' does not exist.")
        if not candidates:
            raise unauthenticated(
                f"Failed to authenticate as '{signed.user}'. "
                "Ensure that your node_name and client key are correct."
            )
        path = signed_path(request)
        fitting = [
            (candidate, key)
            for candidate in candidates
            if (key := _fitting_key(candidate, signed, request.method, path)) is not None
        ]
        if not fitting:
            raise _invalid(signed)
        return fitting

    def principal(
        self,
        org: str,
        signed: SignedHeaders,
        signers: Sequence[tuple[Principal, RSAPublicKey]],
        body: bytes,
    ) -> tuple[Principal, RSAPublicKey]:
        """The one of the signers who asks, and his key.

        Raises:
            Refused: another body than the signed one, not associated.
        """
        if not verification.is_signed_body(signed, body):
            raise _invalid(signed)
        associated = [
            (candidate, key) for candidate, key in signers if not org or _belongs(candidate)
        ]
        if not associated:
            raise Refused(403, [f"'{signed.user}' is not associated with organization '{org}'"])
        return associated[0]

    async def authorize(
        self, org: str, principal: Principal, access: Access, path: dict[str, str], url: str
    ) -> None:
        """Check the group that the access needs.

        Args:
            path: what stands in the route's places.
            url: the path as a whole.

        Raises:
            Refused: 403.
        """
        if principal.superuser:
            return
        rights = self._rights
        match access:
            case Access.CONFIG if principal.kind == "client":
                if principal.name != path["node"]:
                    raise Refused(403, ["Client and node name must match"])
                return
            case Access.READ | Access.CONFIG:
                allowed = await rights.may_read(org, principal)
            case Access.WRITE:
                allowed = await rights.may_write(org, principal)
            case Access.OWN_JOB:
                allowed = await rights.may_see(org, principal, path["job"])
            case Access.OUTPUT | Access.OWN_OUTPUT:
                allowed = await self._may_read_output(org, principal, path["job"], access)
            case Access.MEMBER:
                allowed = not principal.validator or await rights.is_admin(org, principal)
            case Access.ADMIN:
                allowed = await rights.is_admin(org, principal)
            case Access.SUPERUSER:
                allowed = False
            case Access.CLIENTS:
                allowed = principal.validator or await rights.is_admin(org, principal)
            case Access.OWN_CLIENT:
                itself = _is(principal, "client", path["client"]) and not principal.validator
                allowed = itself or await rights.is_admin(org, principal)
            case Access.OWN_USER:
                itself = _is(principal, "user", path["user"])
                allowed = itself or await rights.is_admin(org, principal)
            case _:
                assert_never(access)
        if not allowed:
            needs = await self._needs(org, access, url)
            # He can let himself in.
            is_admin = bool(org) and await rights.is_admin(org, principal)
            raise forbidden(principal, needs, is_admin=is_admin)

    async def still_allowed(
        self,
        org: str,
        principal: Principal,
        key: RSAPublicKey,
        access: Access,
        path: dict[str, str],
        url: str,
    ) -> bool:
        """Whether who was let in would be again: is there, with this key, and may.

        What was so stays so while our store cannot be asked. Of a Chef Infra Server that does not
        answer, what is known is borne as long as for a request.
        """
        try:
            found = await self._identities.candidates(org, principal.name)
            same = (one for one in found or () if _is(one, principal.kind, principal.name))
            now = next((one for one in same if key in _keys_of(one)), None)
            if now is None or not (_belongs(now) or not org):
                return False
            await self.authorize(org, now, access, path, url)
        except (Refused, ChefAway, ChefRefuses):
            return False
        except StoreUnavailable:
            return True
        return True

    async def _needs(self, org: str, access: Access, url: str) -> Needs:
        """The group that decides; whoever joins it may."""
        match access:
            case Access.OUTPUT | Access.OWN_OUTPUT if not await self._rights.has_readers(org):
                # Only what was captured by default is refused then.
                return Needs(ADMINS, "read output of others' jobs that was captured by default")
            case Access.READ | Access.CONFIG | Access.OWN_JOB | Access.OUTPUT | Access.OWN_OUTPUT:
                return Needs(READERS, READING)
            case Access.WRITE:
                return Needs(WRITERS if await self._rights.has_writers(org) else ADMINS, WRITING)
            case _:
                return Needs(ADMINS if org else "", action(url, org))

    async def _may_read_output(
        self, org: str, principal: Principal, job: str, access: Access
    ) -> bool:
        match await self._rights.default_output(org, principal, job):
            case None if access is Access.OUTPUT:
                return await self._rights.may_read(org, principal)
            case None:
                return await self._rights.may_see(org, principal, job)
            case allowed:
                return allowed


def _belongs(principal: Principal) -> bool:
    return principal.associated or principal.superuser


def _is(principal: Principal, kind: str, name: str) -> bool:
    return (principal.kind, principal.name) == (kind, name)


# Reading a key takes three times as long as verifying with it.
_public_key = lru_cache(maxsize=16_384)(usable_keys.load)


def _invalid(signed: SignedHeaders) -> Refused:
    return unauthenticated(f"Invalid signature for user or client '{signed.user}'")


def _fitting_key(
    principal: Principal, signed: SignedHeaders, method: str, path: str
) -> RSAPublicKey | None:
    fits = partial(verification.verify_head, signed, method=method, path=path)
    return next((key for key in _keys_of(principal) if fits(key)), None)


def _keys_of(principal: Principal) -> Iterator[RSAPublicKey]:
    for pem in principal.public_keys:
        with suppress(KeyFileError):
            yield _public_key(pem)
