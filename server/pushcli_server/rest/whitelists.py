"""`pushy/whitelist`, `pushy/checks`: ours (docs/extensions.md)."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import headers, limits, run_wire
from pushcli.protocol.names import is_node_name
from pushcli.protocol.run import RunSpec
from pushcli.whitelist import statements
from pushcli.whitelist.entry import InvalidEntry, parse
from pushcli.whitelist.statements import Change, Signed
from pushcli_server.checks import Checks
from pushcli_server.jobs import JobService
from pushcli_server.nodes import NodeService
from pushcli_server.rest import job_request, versions
from pushcli_server.rest.content import parse as parse_body
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.pieces import array
from pushcli_server.rest.request import Call
from pushcli_server.rest.turns import Shares
from pushcli_server.settings import Settings
from pushcli_server.store import Store, operations, stored_json, whitelist_reads
from pushcli_server.store.errors import Outdated, UnknownNodes, WhitelistConflict
from pushcli_server.store.whitelist_reads import NodeWhitelist
from pushcli_server.whitelist_push import WhitelistPush

_ANNOUNCEMENTS = 4
"""That are worked on at a time, one of each requestor."""
_LISTED = 20
"""Nodes that stand in an audit record's target; more are counted there."""
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Names = Annotated[list[_Name], msgspec.Meta(min_length=1)]


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: Any = None
    removed: bool = False


class _Edit(msgspec.Struct, forbid_unknown_fields=True):
    nodes: _Names
    changes: Annotated[list[_Change], msgspec.Meta(min_length=1, max_length=limits.MAX_CHANGES)]
    version: Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_VERSION)]
    signer: _Name
    key: _Name
    signature: Annotated[str, msgspec.Meta(max_length=2048)]


class _Announcement(msgspec.Struct, forbid_unknown_fields=True):
    nodes: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=limits.MAX_ANNOUNCED)]


class _Check(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    nodes: _Names
    user: str | None = None
    dir: str | None = None
    env: dict[str, str] | None = None
    stdin: bool = False
    secrets: bool = False


class WhitelistHandlers:
    """Handlers for whitelists."""

    def __init__(
        self,
        store: Store,
        sending: WhitelistPush,
        checks: Checks,
        nodes: NodeService,
        jobs: JobService,
        settings: Settings,
    ) -> None:
        self._store = store
        self._sending = sending
        self._checks = checks
        self._nodes = nodes
        self._jobs = jobs
        self._settings = settings
        self._announcements = Shares(_ANNOUNCEMENTS, 1, "announcements")

    async def show(self, call: Call) -> Response:
        """`GET pushy/whitelist/NODE`."""
        asked = call.org, _known_names([call.path["node"]])
        if self._nodes.elsewhere is not None:
            await self._nodes.elsewhere.refresh(*asked)
        found = await self._store.ask(whitelist_reads.of_nodes, *asked, self._settings.identity)
        if not found:
            raise not_found(f"no such node: {call.path['node']}")
        return answer(200, _view(found[0]))

    async def index(self, call: Call) -> Response:
        """`GET pushy/whitelist?node=A&node=B`."""
        names = _known_names(call.http.query_params.getlist("node"))
        if self._nodes.elsewhere is not None:
            await self._nodes.elsewhere.refresh(call.org, names)
        known = await self._store.lists.ask(
            whitelist_reads.of_nodes, call.org, names, self._settings.identity
        )
        found = {one.node: one for one in known}
        missing = [name for name in names if name not in found]
        if missing:
            raise not_found(f"no such node: {', '.join(missing[:10])}")
        views = (_view(found[name]) for name in names)
        return await array(views, b'{"whitelists":[', b"]}")

    async def edit(self, call: Call) -> Response:
        """`POST pushy/whitelist`: signed changes on many nodes, all or none."""
        if self._nodes.elsewhere is not None:
            where = self._settings.chef_server_url
            raise not_found(f"not here: whitelists are attributes of the nodes on {where}")
        edit = parse_body(call, _Edit, "request")
        latest = versions.latest(call)
        versions.check(call, edit.version)
        nodes = _known_names(edit.nodes)
        changes = _changes(edit)
        if len(nodes) * len(changes) > limits.MAX_LEAVES:
            raise Refused(400, [f"more than {limits.MAX_LEAVES} entries in one edit"])
        records = await asyncio.to_thread(_records, call, edit, nodes, changes)
        values = {change.name: change.value for change in changes}
        try:
            await call.write(
                operations.EditWhitelists(
                    org=call.org,
                    latest=latest,
                    changes={
                        node: {name: (values[name], record) for name, record in of_node.items()}
                        for node, of_node in records.items()
                    },
                ),
                call.audit("whitelist edit", _target(nodes), _detail(edit, nodes)),
            )
        except UnknownNodes as error:
            raise not_found(str(error)) from None
        except Outdated as error:
            raise Refused(409, [str(error)], {headers.VERSION: str(error.version)}) from None
        except WhitelistConflict as error:
            raise Refused(409, [str(error)]) from None
        self._nodes.changed(call.org, nodes)
        return await self._settled(call.org, nodes, changes)

    async def announce(self, call: Call) -> Response:
        """`POST pushy/node_changes`: nodes were changed on the Chef Infra Server."""
        if self._nodes.elsewhere is None:
            raise not_found("not here: this server keeps the nodes' attributes itself")
        nodes = _known_names(parse_body(call, _Announcement, "request").nodes)
        async with self._announcements.share((call.org, call.principal.kind, call.principal.name)):
            if missing := await self._nodes.elsewhere.read(call.org, nodes):
                raise not_found(f"no such node: {', '.join(missing[:10])}")
        # Of those that did not change, too, it is told what their agents have.
        self._sending.changed(call.org, nodes)
        return await self._settled(call.org, nodes, ())

    async def _settled(self, org: str, nodes: Sequence[str], changes: Sequence[Change]) -> Response:
        settled = await self._sending.settled(org, nodes, changes)
        return answer(
            200,
            {
                "nodes": len(nodes),
                "connected": settled.connected,
                "in_force": settled.connected - len(settled.not_in_force),
                "not_in_force": settled.not_in_force,
            },
        )

    async def check(self, call: Call) -> Response:
        """`POST pushy/checks`: asks the agents, starts nothing."""
        check = parse_body(call, _Check, "request")
        asked = RunSpec(command=check.command, user=check.user, dir=check.dir, env=check.env)
        if not run_wire.fits(asked):
            raise Refused(400, [job_request.SIZE])
        verdicts = await self._checks.ask(
            call.org,
            list(dict.fromkeys(check.nodes)),
            command=check.command,
            requestor=await self._jobs.requestor(call.by),
            user=check.user,
            directory=check.dir,
            env=check.env,
            stdin=check.stdin,
            secrets=check.secrets,
        )
        return answer(200, {"nodes": verdicts})


def _known_names(names: list[str]) -> list[str]:
    """Each once, in their order; what can be no name is the name of no node."""
    for name in names:
        if not is_node_name(name):
            raise not_found(f"no such node: {name[:255]}")
    return list(dict.fromkeys(names))


def _changes(edit: _Edit) -> list[Change]:
    changes = []
    for change in edit.changes:
        if change.removed == (change.value is not None):
            raise Refused(400, [f"{change.name!r}: give a value, or removed: true"])
        if change.value is not None:
            try:
                parse(change.name, change.value, local=False)
            except InvalidEntry as error:
                raise Refused(400, [f"{change.name!r}: {error.reason}"]) from None
        changes.append(Change(change.name, change.value))
    if len({change.name for change in changes}) < len(changes):
        raise Refused(400, ["a name comes twice"])
    return changes


def _records(
    call: Call, edit: _Edit, nodes: list[str], changes: list[Change]
) -> dict[str, dict[str, dict[str, Any]]]:
    """What goes with each entry, if the signature is that of the request's signer."""
    signed = Signed(
        signer=edit.signer, key=edit.key, version=edit.version, signature=edit.signature
    )
    if signed.signer != call.principal.name:
        raise Refused(400, ["the changes are signed by somebody else"])
    key = statements.public_numbers(call.key)
    if not statements.is_signed_by(key, signed, org=call.org, nodes=nodes, changes=changes):
        raise Refused(400, ["the changes are not signed with the key of this request"])
    return statements.records(signed, org=call.org, nodes=nodes, changes=changes)


def _detail(edit: _Edit, nodes: list[str]) -> dict[str, Any]:
    """For the audit trail: what, by which key; the signature stands with the entries."""
    changes = [
        {"name": one.name, "removed": True} if one.removed else
        {"name": one.name, "value": one.value}
        for one in edit.changes
    ]  # fmt: skip
    return {"changes": changes, "version": edit.version, "key": edit.key, "nodes": nodes}


def _target(nodes: list[str]) -> str:
    return ",".join(nodes) if len(nodes) <= _LISTED else f"{len(nodes)} nodes"


def _view(found: NodeWhitelist) -> dict[str, Any]:
    whitelist = found.whitelist
    report = None if found.report is None else stored_json.raw(found.report)
    return {
        "node": found.node,
        "entries": [
            {
                "name": entry.name,
                "value": entry.value,
                "level": entry.level,
                "signer": _of(entry.record, "signer"),
                "version": _of(entry.record, "version"),
            }
            for entry in whitelist.entries
        ],
        "removed": {name: _of(record, "version") for name, record in whitelist.removed.items()},
        "in_force": report,
    }


def _of(record: Any, key: str) -> Any:
    return record.get(key) if isinstance(record, dict) else None
