"""`nodes`: node objects, as Chef's tools read and write them."""

import re
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from pushcli.protocol.attributes import LEVELS
from pushcli_server.nodes import NodeService
from pushcli_server.rest import content
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.pieces import mapping
from pushcli_server.rest.refusing import for_admins
from pushcli_server.rest.request import Call
from pushcli_server.rest.rights import Rights
from pushcli_server.settings import Settings
from pushcli_server.store import CannotApply, Store, chef_nodes, operations, stored_json
from pushcli_server.store.errors import Changed, Exists
from pushcli_server.store.records import NodeObject

_TAG = re.compile(r'"(\d{1,18})"')
_Environment = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,255}\Z")]
_Policy = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,255}\Z")]
_Attributes = dict[str, Any]


class NodeBody(msgspec.Struct, kw_only=True):
    """What is read of a body; Chef's tools send more, which says nothing here."""

    name: str | None = None
    chef_environment: _Environment = "_default"
    policy_name: _Policy | None = None
    policy_group: _Policy | None = None
    run_list: list[str] = []
    automatic: _Attributes = {}
    normal: _Attributes = {}
    default: _Attributes = {}
    override: _Attributes = {}

    def stored(self, org: str, name: str) -> NodeObject:
        """As the store takes it."""
        return NodeObject(
            org=org,
            name=name,
            chef_environment=self.chef_environment,
            policy_name=self.policy_name or "",
            policy_group=self.policy_group or "",
            run_list=_text(self.run_list),
            automatic=_text(self.automatic),
            normal=_text(self.normal),
            default=_text(self.default),
            override=_text(self.override),
        )


class ChefNodeHandlers:
    """Handlers for node objects."""

    def __init__(
        self, store: Store, rights: Rights, settings: Settings, nodes: NodeService
    ) -> None:
        self._store = store
        self._rights = rights
        self._settings = settings
        self._nodes = nodes

    async def index(self, call: Call) -> Response:
        """`GET nodes`."""
        found = await self._store.lists.ask(chef_nodes.names, call.org)
        return await mapping(
            (name, content.url(call, self._settings, "nodes", name)) for name in found
        )

    async def show(self, call: Call) -> Response:
        """`GET nodes/NAME`."""
        node = await self._present(call)
        if etag(node) in call.http.headers.get("if-none-match", "").split(", "):
            return Response(status_code=304, headers={"ETag": etag(node)})
        return _answer(node)

    async def create(self, call: Call) -> Response:
        """`POST nodes`: by admins, and by a node's own client."""
        may_any = await self._rights.is_admin(call.org, call.principal)
        if not may_any and call.principal.kind != "client":
            raise for_admins(call.principal, "create nodes")
        new = content.parse(call, NodeBody, "node")
        if not may_any and not _is_own(call, new.name):
            raise for_admins(call.principal, "create nodes")
        name = content.require_name(new.name)
        node = operations.PutNode(node=new.stored(call.org, name), create=True, created_at=call.at)
        try:
            await call.write(node, call.audit("node create", name))
        except Exists:
            raise Refused(409, ["Node already exists"]) from None
        self._nodes.changed(call.org, [name])
        uri = content.url(call, self._settings, "nodes", name)
        return answer(201, {"uri": uri}, {"Location": uri})

    async def update(self, call: Call) -> Response:
        """`PUT nodes/NAME`; with `If-Match` only if nobody changed it meanwhile."""
        present = await self._present(call)
        new = content.parse(call, NodeBody, "node")
        if new.name not in (None, present.name):
            raise Refused(400, ["the name of a node does not change"])
        revision = _matched(call, present)
        node = operations.PutNode(
            node=new.stored(call.org, present.name),
            revision=revision,
            # What chef-client saves at its end it read before an operator's edit.
            keep_push_jobs=_is_own(call, present.name) and "if-match" not in call.http.headers,
        )
        try:
            await call.write(node, call.audit("node update", present.name))
        except Changed as error:
            raise _changed(present.name, error.revision) from None
        except CannotApply:
            raise _unknown(present.name) from None
        self._nodes.changed(call.org, [present.name])
        return _answer(await self._present(call))

    async def delete(self, call: Call) -> Response:
        """`DELETE nodes/NAME`."""
        node = await self._present(call)
        delete = operations.DeleteNode(call.org, node.name)
        try:
            await call.write(delete, call.audit("node delete", node.name))
        except CannotApply:
            raise _unknown(node.name) from None
        self._nodes.changed(call.org, [node.name])
        return _answer(node)

    async def _present(self, call: Call) -> NodeObject:
        name = call.path["client"]
        found = await self._store.ask(chef_nodes.of_nodes, call.org, [name])
        if not found:
            raise _unknown(name)
        return found[0]


def etag(node: NodeObject) -> str:
    """What `If-Match` is compared with."""
    return f'"{node.revision}"'


def as_json(node: NodeObject) -> dict[str, Any]:
    """The object as Chef's tools know it; what is stored as JSON stays as it is."""
    raw = {name: stored_json.raw(getattr(node, name), empty) for name, empty in _RAW.items()}
    policies = {name: getattr(node, name) for name in _POLICIES if getattr(node, name)}
    return {
        "name": node.name,
        "chef_environment": node.chef_environment,
        "json_class": "Chef::Node",
        "chef_type": "node",
        **policies,
        **raw,
    }


_POLICIES = ("policy_name", "policy_group")
_RAW = {"run_list": b"[]", **dict.fromkeys(LEVELS, b"{}")}
"""What is stored as JSON, and what stands for a text that cannot be read."""


def _answer(node: NodeObject) -> Response:
    return answer(200, as_json(node), {"ETag": etag(node)})


def _is_own(call: Call, name: str | None) -> bool:
    principal = call.principal
    return (principal.kind, principal.name, principal.validator) == ("client", name, False)


def _matched(call: Call, present: NodeObject) -> int | None:
    """The revision that must be there when it is written."""
    given = call.http.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    tags = {int(tag) for tag in _TAG.findall(given)}
    if present.revision not in tags:
        raise _changed(present.name, present.revision)
    return present.revision


def _changed(name: str, revision: int) -> Refused:
    return Refused(412, [f"node {name} was changed meanwhile (revision {revision})"])


def _unknown(name: str) -> Refused:
    return not_found(f"node '{name}' not found")


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
