"""`POST clients`: how nodes and machines get to be known."""

import asyncio
from typing import Annotated

import msgspec
from starlette.responses import Response

from pushcli import keys, names
from pushcli.errors import KeyFileError
from pushcli_server.clock import Clock
from pushcli_server.rest.errors import Refused, answer
from pushcli_server.rest.jobs import base_url
from pushcli_server.rest.request import Call
from pushcli_server.settings import Settings
from pushcli_server.store import Conflict, Store, operations
from pushcli_server.store.records import AuditRecord


class _NewClient(msgspec.Struct, kw_only=True):
    name: str | None = None
    clientname: str | None = None
    public_key: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    create_key: bool = False
    admin: bool = False
    validator: bool = False


class Clients:
    """Handlers for clients."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def create(self, call: Call) -> Response:
        """Create a client: plain ones only, if the validator asks."""
        call.require_json()
        new = _parse(call.body)
        if call.principal.validator and (new.admin or new.validator):
            raise Refused(403, ["a validator can create plain clients only"])
        name = new.name or new.clientname or ""
        if not names.is_node_name(name):
            raise Refused(400, ["name must be 1 to 255 of A-Z a-z 0-9 _ . : -"])
        public_key, private_key = await _keys(new)
        now = self._clock.now()
        try:
            await self._store.write(
                operations.CreateClient(
                    org=call.org,
                    name=name,
                    public_key=public_key,
                    validator=new.validator,
                    admin=new.admin,
                    enrolls=call.principal.validator,
                    created_at=now,
                ),
                operations.Audit(
                    AuditRecord(
                        at=now,
                        org=call.org,
                        actor=call.principal.name,
                        action="client create",
                        target=name,
                        origin=call.origin,
                    )
                ),
            )
        except Conflict:
            raise Refused(409, ["Client already exists"]) from None
        uri = f"{base_url(call, self._settings)}/organizations/{call.org}/clients/{name}"
        made = {} if private_key is None else {"private_key": private_key}
        return answer(201, {"uri": uri, **made}, {"Location": uri})


def _parse(body: bytes) -> _NewClient:
    try:
        return msgspec.json.decode(body, type=_NewClient)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, [f"invalid client: {error}".replace("`", "")]) from error


async def _keys(new: _NewClient) -> tuple[str, str | None]:
    """The public key, and the private one where the server is to make the pair."""
    if new.public_key is not None:
        try:
            return keys.public_pem(keys.load_public_key(new.public_key)), None
        except KeyFileError as error:
            raise Refused(400, [f"public_key: {error.message}"]) from error
    if not new.create_key:
        raise Refused(400, ["give public_key, or create_key: true"])
    pair = await asyncio.to_thread(keys.generate)
    return keys.public_pem(pair), keys.private_pem(pair).decode()
