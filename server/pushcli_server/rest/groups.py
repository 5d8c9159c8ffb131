"""`groups`: who is in which."""

from typing import Any

import msgspec
from starlette.responses import Response

from pushcli_server.rest import content
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.pieces import mapping
from pushcli_server.rest.request import Call
from pushcli_server.rest.rights import ADMINS
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.errors import UnknownMembers
from pushcli_server.store.records import GroupRecord

_KINDS = ("user", "client", "group")


class _NewGroup(msgspec.Struct, kw_only=True):
    groupname: str | None = None
    name: str | None = None
    id: str | None = None


class _Members(msgspec.Struct, kw_only=True):
    users: list[content.Text] = []
    clients: list[content.Text] = []
    groups: list[content.Text] = []


class _Change(msgspec.Struct, kw_only=True):
    groupname: str | None = None
    name: str | None = None
    actors: _Members | None = None


class _Additions(_Members, kw_only=True):
    """Lists, or one `name` of a `kind`."""

    kind: str | None = None
    name: content.Text | None = None


class GroupHandlers:
    """Handlers for groups."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def index(self, call: Call) -> Response:
        """`GET groups`."""
        found = await self._store.lists.ask(identity_reads.groups, call.org)
        return await mapping((name, self._url(call, name)) for name in found)

    async def create(self, call: Call) -> Response:
        """`POST groups`: an empty one."""
        new = content.parse(call, _NewGroup, "group")
        name = content.require_name(new.groupname or new.name or new.id, "groupname")
        with content.making("Group"):
            await call.write(
                operations.CreateGroup(call.org, name), call.audit("group create", name)
            )
        uri = self._url(call, name)
        return answer(201, {"uri": uri}, {"Location": uri})

    async def show(self, call: Call) -> Response:
        """`GET groups/NAME`."""
        return answer(200, await self._view(call))

    async def update(self, call: Call) -> Response:
        """`PUT groups/NAME`: its members are these, and no others."""
        change = content.parse(call, _Change, "group")
        name = call.path["group"]
        before = await self._group(call)
        content.require_same_name(change.groupname or change.name, name, "group")
        actors = change.actors
        if actors is not None:
            await call.write(
                operations.SetGroup(
                    org=call.org,
                    group=name,
                    users=actors.users,
                    clients=actors.clients,
                    groups=actors.groups,
                ),
                call.audit("group update", name, _differences(before, actors)),
            )
        return answer(200, await self._view(call))

    async def delete(self, call: Call) -> Response:
        """`DELETE groups/NAME`."""
        name = call.path["group"]
        view = await self._view(call)
        if name == ADMINS:
            raise Refused(403, [f"the group {ADMINS} cannot be deleted"])
        await call.write(operations.DeleteGroup(call.org, name), call.audit("group delete", name))
        return answer(200, view)

    async def add(self, call: Call) -> Response:
        """`POST groups/NAME/members` (an extension): whoever else changes the group."""
        wanted = content.parse(call, _Additions, "member")
        members = {"users": wanted.users, "clients": wanted.clients, "groups": wanted.groups}
        if wanted.kind is not None or wanted.name is not None:
            if wanted.kind not in _KINDS or wanted.name is None:
                raise Refused(400, ["give kind (user, client or group) and name"])
            members[f"{wanted.kind}s"] = [*members[f"{wanted.kind}s"], wanted.name]
        if not any(members.values()):
            raise Refused(400, ["give users, clients or groups"])
        added = {kind: names for kind, names in members.items() if names}
        name = call.path["group"]
        try:
            await call.write(
                operations.AddMembers(org=call.org, group=name, **members),
                call.audit("group update", name, {"added": added}),
            )
        except UnknownMembers as unknown:
            raise not_found(str(unknown)) from None
        return answer(200, await self._view(call))

    async def remove(self, call: Call) -> Response:
        """`DELETE groups/NAME/members/KIND/MEMBER` (an extension)."""
        name, member = call.path["group"], call.path["member"]
        kind = call.path["kind"].removesuffix("s")
        await self._group(call)
        await call.write(
            operations.RemoveMember(call.org, name, kind, member, required=True),
            call.audit("group update", name, {"removed": {f"{kind}s": [member]}}),
        )
        return answer(200, await self._view(call))

    def _url(self, call: Call, name: str) -> str:
        return content.url(call, self._settings, "groups", name)

    async def _view(self, call: Call) -> dict[str, Any]:
        group = await self._group(call)
        name = call.path["group"]
        return {
            "actors": sorted([*group.users, *group.clients]),
            "users": group.users,
            "clients": group.clients,
            "groups": group.groups,
            "orgname": call.org,
            "name": name,
            "groupname": name,
        }

    async def _group(self, call: Call) -> GroupRecord:
        name = call.path["group"]
        found = await self._store.lists.ask(identity_reads.group, call.org, name)
        if found is None:
            raise not_found(f"no such group: {name}")
        return found


def _differences(before: GroupRecord, after: _Members) -> dict[str, dict[str, list[str]]]:
    """Who came and who went, for the audit trail."""
    added, removed = {}, {}
    for kind in ("users", "clients", "groups"):
        old, new = set(getattr(before, kind)), set(getattr(after, kind))
        if new - old:
            added[kind] = sorted(new - old)
        if old - new:
            removed[kind] = sorted(old - new)
    return {name: value for name, value in (("added", added), ("removed", removed)) if value}
