"""`POST enroll`: a node registers itself with a token; the one request without a signature.

Whoever reaches the port may send it. So its body is small, few are worked on at a time, and
only a token that counts makes the server write anything.
"""

import asyncio
import contextlib
import hmac
import re
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response

from pushcli import keys
from pushcli.protocol import enrolment
from pushcli_server.rest import content
from pushcli_server.rest.editors import editors
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.request import Asked
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.errors import TokenRefused
from pushcli_server.store.records import TokenRecord
from pushcli_server.tokens import digest

MAX_BODY = 20_000
"""Bytes."""
AT_ONCE = 8
MAX_WAITING = 1000
"""A fleet may enroll at one moment; more than this is no fleet."""
_TOKEN = re.compile(r"([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")


class _Enrolment(msgspec.Struct, kw_only=True):
    token: Annotated[str, msgspec.Meta(max_length=255)]
    name: str
    public_key: content.PublicKey
    proof: Annotated[str, msgspec.Meta(max_length=4096)]


class EnrolmentHandlers:
    """The handler for enrolments."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._present = 0

    async def enroll(self, asked: Asked) -> Response:
        """`POST enroll`."""
        async with self._slot():
            return await self._enroll(asked)

    async def _enroll(self, asked: Asked) -> Response:
        if not await self._store.ask(identity_reads.organization_exists, asked.org):
            raise not_found(f"organization '{asked.org}' does not exist.")
        wanted = content.parse(asked, _Enrolment, "enrolment")
        name = content.require_name(wanted.name)
        token = await self._token(asked, wanted.token, name)
        public_key = content.public_pem(wanted.public_key)
        if not enrolment.proves(
            keys.load_public_key(public_key),
            wanted.proof,
            org=asked.org,
            name=name,
            token=wanted.token,
        ):
            raise Refused(400, ["proof is not a signature of this enrolment with public_key"])
        await self._register(asked, token, name, public_key)
        uri = content.url(asked, self._settings, "clients", name)
        made = {"uri": uri, "editors": await editors(self._store, asked.org)}
        return answer(201, made, {"Location": uri})

    async def _token(self, asked: Asked, given: str, name: str) -> TokenRecord:
        match = _TOKEN.fullmatch(given)
        if match is None:
            raise _refused()
        token_id, secret = match.groups()
        token = await self._store.ask(identity_reads.token, asked.org, token_id)
        # An unknown one is compared too: the time says nothing of which there are.
        expected = digest("") if token is None else token.digest
        if not hmac.compare_digest(digest(secret), expected) or token is None:
            raise _refused()
        if token.uses_left < 1 or token.expires_at <= asked.at or token.node not in {None, name}:
            raise _refused()
        return token

    async def _register(self, asked: Asked, token: TokenRecord, name: str, public_key: str) -> None:
        """The client, and one use of the token: both or neither."""
        said = {"token": token.id, "created_by": token.created_by}
        try:
            with content.making("Client"):
                await self._store.write(
                    operations.UseToken(org=asked.org, token_id=token.id, node=name, now=asked.at),
                    operations.CreateClient(
                        org=asked.org,
                        name=name,
                        public_key=public_key,
                        enrolls=True,
                        created_at=asked.at,
                    ),
                    asked.audit_of("node", name, "token use", token.id, said),
                    asked.audit_of("node", name, "client create", name, said),
                )
        except TokenRefused:
            raise _refused() from None

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._present >= MAX_WAITING:
            raise Refused(503, ["too many enrolments at once; try again"], {"Retry-After": "1"})
        self._present += 1
        try:
            async with self._slots:
                yield
        finally:
            self._present -= 1


def _refused() -> Refused:
    """One text for all: it tells a guesser nothing."""
    return Refused(
        403, ["this enrolment token is unknown, used up or expired, or it is for another node"]
    )
