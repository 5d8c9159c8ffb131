"""`clients`: how nodes and machines get to be known, and how they go."""

from typing import Any

import msgspec
from starlette.responses import Response

from pushcli_server.admission import AdmissionService
from pushcli_server.rest import content
from pushcli_server.rest.editors import editors, wants_editors
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.pieces import mapping
from pushcli_server.rest.refusing import for_admins
from pushcli_server.rest.request import Call
from pushcli_server.rest.rights import ADMINS, Rights
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.errors import OutcomeUnknown
from pushcli_server.store.records import ClientRecord


class _NewClient(msgspec.Struct, kw_only=True):
    name: str | None = None
    clientname: str | None = None
    public_key: content.PublicKey | None = None
    create_key: bool = False
    admin: bool = False
    validator: bool = False


class _Change(msgspec.Struct, kw_only=True):
    name: str | None = None
    clientname: str | None = None
    public_key: content.PublicKey | None = None
    create_key: bool = False
    # Old tools ask for a new pair so; others send a whole object back, key and all.
    private_key: bool | str | None = None
    admin: bool | None = None
    validator: bool | None = None


class ClientHandlers:
    """Handlers for clients."""

    def __init__(
        self, store: Store, rights: Rights, settings: Settings, admission: AdmissionService
    ) -> None:
        self._store = store
        self._rights = rights
        self._settings = settings
        self._admission = admission

    async def index(self, call: Call) -> Response:
        """`GET clients`."""
        found = await self._store.lists.ask(identity_reads.clients, call.org)
        return await mapping(
            (name, content.url(call, self._settings, "clients", name)) for name in found
        )

    async def create(self, call: Call) -> Response:
        """`POST clients`: plain ones only, if the validator asks."""
        new = content.parse(call, _NewClient, "client")
        if call.principal.validator and (new.admin or new.validator):
            raise Refused(403, ["a validator can create plain clients only"])
        name = content.require_name(new.name or new.clientname)
        public_key, private_key = await content.first_key(call, new.public_key, new.create_key)
        client = operations.CreateClient(
            org=call.org,
            name=name,
            public_key=public_key,
            validator=new.validator,
            enrolls=call.principal.validator,
            created_at=call.at,
        )
        joins = [operations.AddMember(call.org, ADMINS, "client", name)] if new.admin else []
        flags = {flag: True for flag in ("admin", "validator") if getattr(new, flag)}
        with content.making("Client"):
            await call.write(client, *joins, call.audit("client create", name, flags or None))
        uri = content.url(call, self._settings, "clients", name)
        made: dict[str, Any] = {
            "uri": uri,
            **content.key_fields(call, uri, public_key, private_key),
        }
        if content.api_version(call) == 0:
            made["public_key"] = public_key
        if call.principal.validator and wants_editors(call):
            made["editors"] = await editors(self._store, call.org)
        return answer(201, made, {"Location": uri})

    async def show(self, call: Call) -> Response:
        """`GET clients/NAME`."""
        return answer(200, _view(call, await self._client(call)))

    async def update(self, call: Call) -> Response:
        """`PUT clients/NAME`: another key, or other rights; what is not given stays."""
        change = content.parse(call, _Change, "client")
        present = await self._client(call)
        name = present.name
        content.require_same_name(change.name or change.clientname, name, "client")
        said: dict[str, Any] = {}
        ops: list[operations.Operation] = []
        if change.validator not in {None, present.validator}:
            said["validator"] = change.validator
            validator = bool(change.validator)
            ops.append(operations.UpdateClient(org=call.org, name=name, validator=validator))
        if change.admin not in {None, present.admin}:
            said["admin"] = change.admin
            member = (call.org, ADMINS, "client", name)
            ops.append(
                operations.AddMember(*member) if change.admin else operations.RemoveMember(*member)
            )
        if said and not await self._rights.is_admin(call.org, call.principal):
            raise for_admins(call.principal, "change what clients may do")
        public_key, private_key = await content.next_key(
            call,
            change.public_key,
            change.create_key or change.private_key is True,
            present.public_key,
        )
        if public_key is not None:
            said["public_key"] = public_key
            ops.append(
                operations.ReplaceKey(kind="client", org=call.org, name=name, public_key=public_key)
            )
        await call.write(*ops, call.audit("client update", name, said or None))
        if public_key is not None:
            await self._admission.keys_revoked(call.org, name)
        made = {} if private_key is None else {"private_key": private_key}
        return answer(200, {**_view(call, await self._client(call)), **made})

    async def delete(self, call: Call) -> Response:
        """`DELETE clients/NAME`: its node's connection ends with it."""
        present = await self._client(call)
        try:
            await call.write(
                operations.DeleteClient(call.org, present.name),
                call.audit("client delete", present.name),
            )
        except OutcomeUnknown:
            # If it was not deleted its agent is back as soon as it asks again.
            self._admission.client_deleted(call.org, present.name)
            raise
        self._admission.client_deleted(call.org, present.name)
        return answer(200, _view(call, present))

    async def _client(self, call: Call) -> ClientRecord:
        name = call.path["client"]
        found = await self._store.ask(identity_reads.client, call.org, name)
        if found is None:
            raise not_found(f"no such client: {name}")
        return found


def _view(call: Call, client: ClientRecord) -> dict[str, Any]:
    return {
        "name": client.name,
        "clientname": client.name,
        "orgname": call.org,
        "validator": client.validator,
        "admin": client.admin,
        "public_key": client.public_key,
        "json_class": "Chef::ApiClient",
        "chef_type": "client",
    }
