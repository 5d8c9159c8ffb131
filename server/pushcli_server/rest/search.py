"""`search`: nodes by their attributes, whole or in parts.

A search may look at everything that is stored. It has threads and a time limit of its own
(`Store.searches`), one requestor has one at a time, and its answer is made piece by piece.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from pushcli.protocol.attributes import LEVELS
from pushcli_server.rest import content
from pushcli_server.rest.chef_nodes import as_json
from pushcli_server.rest.errors import Refused, answer
from pushcli_server.rest.pieces import listed
from pushcli_server.rest.request import Call
from pushcli_server.rest.turns import Shares
from pushcli_server.search.flatten import merged
from pushcli_server.search.query import BadQuery, parse
from pushcli_server.settings import Settings
from pushcli_server.store import Store, chef_nodes, search, stored_json
from pushcli_server.store.errors import TookTooLong
from pushcli_server.store.records import NodeObject
from pushcli_server.store.store import READERS

DEFAULT_ROWS = 1000
MAX_ROWS = 10_000
_FIRST = 20
"""Nodes that are read and encoded at once, before it is known how large they are."""
_PIECE = 500_000
"""Bytes of JSON that are aimed at, then."""
_MAX_KEYS = 100
_OWN = ("name", "chef_environment", "policy_name", "policy_group", "run_list")
Paths = dict[str, list[str]]
"""What a partial search wants: for each key of the answer the way to a value."""
Encode = Callable[[Any, Sequence[str]], bytes]
"""Gives the rows for these nodes, with a connection to the store: JSON without the brackets."""


class SearchHandlers:
    """Handlers for searches."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._turns = Shares(READERS, 1, "searches")

    async def index(self, call: Call) -> Response:
        """`GET search`."""
        return answer(200, {"node": content.url(call, self._settings, "search", "node")})

    async def nodes(self, call: Call) -> Response:
        """`GET search/node`: the whole objects."""
        return await self._found(call, partial(_objects, call.org))

    async def parts(self, call: Call) -> Response:
        """`POST search/node`: of each node what the body asks for."""
        paths: Paths = content.parse(call, Paths, "search")
        if len(paths) > _MAX_KEYS or not all(paths.values()):
            raise Refused(400, [f"give at most {_MAX_KEYS} keys, each with a path"])
        url = content.url(call, self._settings, "nodes", "")
        return await self._found(call, partial(_parts, call.org, paths, url))

    async def _found(self, call: Call, encode: Encode) -> Response:
        text = call.http.query_params.get("q", "*:*")
        try:
            query = parse(text)
        except BadQuery:
            raise Refused(400, [f"invalid search query: '{text}'"]) from None
        start, rows = _count(call, "start", 0), min(_count(call, "rows", DEFAULT_ROWS), MAX_ROWS)
        try:
            async with self._turn(call):
                names = await self._store.searches.ask(search.names, call.org, query)
        except TookTooLong as error:
            raise _too_slow(error) from None
        before = b'{"total":%d,"start":%d,"rows":[' % (len(names), start)
        return await listed(self._rows(call, names[start : start + rows], encode), before, b"]}")

    async def _rows(self, call: Call, names: Sequence[str], encode: Encode) -> AsyncIterator[bytes]:
        done, count = 0, _FIRST
        while done < len(names):
            some = names[done : done + count]
            async with self._turn(call):
                piece = await self._store.searches.ask(_call, encode, some)
            done += count
            if not piece:
                # These nodes were deleted meanwhile.
                continue
            yield piece
            # A node may have a few facts or megabytes of them.
            count = max(1, min(4 * count, count * _PIECE // len(piece)))

    def _turn(self, call: Call) -> AbstractAsyncContextManager[None]:
        return self._turns.share((call.org, call.principal.kind, call.principal.name))


def _count(call: Call, name: str, default: int) -> int:
    text = call.http.query_params.get(name)
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Refused(400, [f"{name} must be a number that is not negative"])
    return int(text)


def _too_slow(error: TookTooLong) -> Refused:
    text = f"the search takes more than {error.seconds:g} s: name fields, and use fewer wildcards"
    return Refused(400, [text])


def _call(connection: Any, encode: Encode, names: Sequence[str]) -> bytes:
    return encode(connection, names)


def _objects(org: str, connection: Any, names: Sequence[str]) -> bytes:
    """The nodes as JSON; made beside the event loop, as all rows are."""
    found = chef_nodes.of_nodes(connection, org, names)
    return b",".join(msgspec.json.encode(as_json(node)) for node in found)


def _parts(org: str, paths: Paths, url: str, connection: Any, names: Sequence[str]) -> bytes:
    data: list[dict[str, Any]]
    if all(path == ["name"] for path in paths.values()):
        data = [dict.fromkeys(paths, name) for name in names]
    else:
        found = {node.name: node for node in chef_nodes.of_nodes(connection, org, names)}
        data = [
            _part(found[name], paths) if name in found else dict.fromkeys(paths) for name in names
        ]
    rows = [{"url": f"{url}{name}", "data": part} for name, part in zip(names, data, strict=True)]
    return msgspec.json.encode(rows)[1:-1]


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
