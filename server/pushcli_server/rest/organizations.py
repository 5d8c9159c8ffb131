"""`organizations`: making them, which there are, and deleting one."""

import hashlib
from typing import Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import names
from pushcli_server.founding import founding, validator_name
from pushcli_server.organizations import OrganizationService
from pushcli_server.rest import content
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.pieces import mapping
from pushcli_server.rest.request import Call
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads


class _NewOrganization(msgspec.Struct):
    """`full_name` and what else Chef has is thrown away."""

    name: str


class OrganizationHandlers:
    """Handlers for organizations."""

    def __init__(
        self, store: Store, settings: Settings, organizations: OrganizationService
    ) -> None:
        self._store = store
        self._settings = settings
        self._organizations = organizations

    async def index(self, call: Call) -> Response:
        """`GET /organizations`."""
        found = sorted(await self._store.lists.ask(identity_reads.organizations))
        return await mapping(
            (name, content.url(call, self._settings, "organizations", name)) for name in found
        )

    async def create(self, call: Call) -> Response:
        """`POST /organizations`: with its validator, and groups that nobody is in."""
        name = content.parse(call, _NewOrganization, "organization").name
        validator = validator_name(name)
        if not names.is_organization_name(name) or not names.is_node_name(validator):
            raise Refused(400, ["name must be of a-z 0-9 - _, and at most 245 long"])
        public_key, private_key = await content.new_pair(call)
        with content.making("Organization"):
            await call.write(*founding(name, public_key), call.audit("organization create", name))
        self._organizations.created(name)
        uri = content.url(call, self._settings, "organizations", name)
        made = {"uri": uri, "clientname": validator, "private_key": private_key}
        return answer(201, made, {"Location": uri})

    async def show(self, call: Call) -> Response:
        """`GET /organizations/NAME`."""
        return answer(200, _view(await self._present(call)))

    async def delete(self, call: Call) -> Response:
        """`DELETE /organizations/NAME`: with its jobs, nodes, clients, groups and history."""
        name = await self._present(call)
        await self._organizations.delete(
            name,
            call.audit("organization delete", name),
            by=call.by,
            origin=call.origin,
            write=call.write,
        )
        return answer(200, _view(name))

    async def _present(self, call: Call) -> str:
        name = call.path["name"]
        if not await self._store.ask(identity_reads.organization_exists, name):
            raise not_found(f"organization '{name}' does not exist.")
        return name


def _view(name: str) -> dict[str, Any]:
    guid = hashlib.sha256(f"organization/{name}".encode()).hexdigest()[:32]
    return {"name": name, "full_name": name, "guid": guid}
