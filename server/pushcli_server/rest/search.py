"""`search`: nodes by their attributes, whole or in parts."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from pushcli.protocol.attributes import LEVELS
from pushcli_server.rest import content
from pushcli_server.rest.chef_nodes import as_json
from pushcli_server.rest.errors import Refused, answer
from pushcli_server.rest.request import Call
from pushcli_server.search.flatten import merged
from pushcli_server.search.query import BadQuery, parse
from pushcli_server.settings import Settings
from pushcli_server.store import Store, chef_nodes, search, stored_json
from pushcli_server.store.records import NodeObject

DEFAULT_ROWS = 1000
MAX_ROWS = 10_000
_MAX_KEYS = 100
_OWN = ("name", "chef_environment", "policy_name", "policy_group", "run_list")
Paths = dict[str, list[str]]
"""What a partial search wants: for each key of the answer the way to a value."""


class SearchHandlers:
    """Handlers for searches."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def index(self, call: Call) -> Response:
        """`GET search`."""
        return answer(200, {"node": content.url(call, self._settings, "search", "node")})

    async def nodes(self, call: Call) -> Response:
        """`GET search/node`: the whole objects."""
        total, start, names = await self._found(call)
        rows = await self._store.ask(_objects, call.org, names)
        return answer(200, {"total": total, "start": start, "rows": rows})

    async def parts(self, call: Call) -> Response:
        """`POST search/node`: of each node what the body asks for."""
        paths: Paths = content.parse(call, Paths, "search")
        if len(paths) > _MAX_KEYS or not all(paths.values()):
            raise Refused(400, [f"give at most {_MAX_KEYS} keys, each with a path"])
        total, start, names = await self._found(call)
        if all(path == ["name"] for path in paths.values()):
            data = [dict.fromkeys(paths, name) for name in names]
        else:
            data = await self._store.ask(_parts, call.org, names, paths)
        url = content.url(call, self._settings, "nodes", "")
        rows = [
            {"url": f"{url}{name}", "data": part} for name, part in zip(names, data, strict=False)
        ]
        return answer(200, {"total": total, "start": start, "rows": rows})

    async def _found(self, call: Call) -> tuple[int, int, list[str]]:
        text = call.http.query_params.get("q", "*:*")
        try:
            query = parse(text)
        except BadQuery:
            raise Refused(400, [f"invalid search query: '{text}'"]) from None
        start, rows = _count(call, "start", 0), min(_count(call, "rows", DEFAULT_ROWS), MAX_ROWS)
        names = await self._store.ask(search.names, call.org, query)
        return len(names), start, names[start : start + rows]


def _count(call: Call, name: str, default: int) -> int:
    text = call.http.query_params.get(name)
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Refused(400, [f"{name} must be a number that is not negative"])
    return int(text)


def _objects(connection: Any, org: str, names: Sequence[str]) -> list[msgspec.Raw]:
    """The nodes as JSON; made beside the event loop."""
    found = chef_nodes.of_nodes(connection, org, names)
    return [msgspec.Raw(msgspec.json.encode(as_json(node))) for node in found]


def _parts(connection: Any, org: str, names: Sequence[str], paths: Paths) -> list[dict[str, Any]]:
    found = {node.name: node for node in chef_nodes.of_nodes(connection, org, names)}
    return [_part(found[name], paths) if name in found else dict.fromkeys(paths) for name in names]


def _part(node: NodeObject, paths: Paths) -> dict[str, Any]:
    levels = {level: stored_json.read_object(getattr(node, level)) for level in LEVELS}
    attributes = merged(levels)
    own = {
        "name": node.name,
        "chef_environment": node.chef_environment,
        "policy_name": node.policy_name or None,
        "policy_group": node.policy_group or None,
        "run_list": chef_nodes.run_list_of(node),
    }
    return {
        key: _value(own if path[0] in _OWN else levels if path[0] in levels else attributes, path)
        for key, path in paths.items()
    }


def _value(found: Any, path: Sequence[str]) -> Any:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found
