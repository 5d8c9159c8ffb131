"""What a Chef Infra Server's answers say of nodes: which there are, what search shows of them,
and of their attributes what whitelists are made of. Pure.

Search shows attributes merged, and cannot be asked for a level (oc_erchef looks the path up in
what it indexes). Whose signature an entry has depends on its level: so what search shows only
tells which nodes changed, and those are read whole.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from pushcli.protocol import names, nesting
from pushcli.protocol.chef_answers import (
    ChefRefuses,
    decoded,
    require_missing,
    require_success,
    unexpected,
)

MAX_NODES = 100_000
"""Of an organization."""
MAX_ATTRIBUTES = 1_000_000
"""Characters of a node's `push_jobs`, all levels together, as JSON."""
PUSH_JOBS = "push_jobs"
WANTED = msgspec.json.encode({"name": ["name"], PUSH_JOBS: [PUSH_JOBS]})
"""The body of a search for what a page is made of."""
NOTHING = ""
"""Shown of a node without such attributes."""
_OF_A_NODE = "/nodes/"
"""Stands in its URL."""
_EMPTY = "{}"
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""Of a JSON text: its strings, and its brackets outside of them."""
_ROW_DEPTH = 3
"""At which a row of a page begins: within an object, within a list."""


class Attributes(NamedTuple):
    """A node's `push_jobs` by level, as JSON texts: `{}`, or an object with that key alone."""

    default: str
    normal: str
    override: str

    @property
    def digest(self) -> str:
        """Another one for other attributes."""
        return hashlib.sha256("\n".join(self).encode()).hexdigest()


NO_ATTRIBUTES = Attributes(_EMPTY, _EMPTY, _EMPTY)


class Page(NamedTuple):
    """What search shows of some nodes.

    Args:
        total: nodes that the search found, in all pages.
        shown: for each node a digest of its merged attributes, `NOTHING` if it has none.
        strange: rows that say nothing of a node.
    """

    total: int
    shown: Mapping[str, str]
    strange: int


class _Page(msgspec.Struct):
    total: int
    rows: list[msgspec.Raw]


class _Data(msgspec.Struct):
    name: str
    push_jobs: msgspec.Raw = msgspec.Raw(b"null")


class _Row(msgspec.Struct):
    data: _Data


class _Node(msgspec.Struct):
    name: str
    default: msgspec.Raw = msgspec.Raw(b"{}")
    normal: msgspec.Raw = msgspec.Raw(b"{}")
    override: msgspec.Raw = msgspec.Raw(b"{}")


class _Level(msgspec.Struct):
    push_jobs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


UNREADABLE = (msgspec.MsgspecError, nesting.TooNested, ValueError, RecursionError)
"""What reading attributes may raise."""
_row = msgspec.json.Decoder(_Row)
_level = msgspec.json.Decoder(_Level)


def listed(status: int, content: bytes) -> frozenset[str]:
    """Of `GET organizations/ORG/nodes`: the names of all; what is none is left out.

    Raises:
        ChefAway, ChefRefuses: it is no answer to that.
    """
    require_success(status, content, "nodes")
    found = decoded(content, dict[str, Any], "nodes")
    if len(found) > MAX_NODES:
        raise unexpected("nodes", f"more than {MAX_NODES} names")
    nodes = {name for name, url in found.items() if isinstance(url, str) and _OF_A_NODE in url}
    if found and not nodes:
        raise unexpected("nodes", "a list of other things")
    return frozenset(filter(names.is_node_name, nodes))


def page(status: int, content: bytes) -> Page:
    """Of `POST organizations/ORG/search/node` with `WANTED`.

    A row that is none, or of a node of no possible name, is counted and changes nothing else; of
    a node that comes twice the later row counts.

    Raises:
        ChefAway, ChefRefuses: it is no answer to that.
    """
    require_success(status, content, "search/node")
    rows: Sequence[bytes | msgspec.Raw]
    try:
        found = decoded(content, _Page, "search/node")
        rows = found.rows
    except ChefRefuses:
        # What a node says of itself, however deep or odd, costs no other its row.
        rows, rest = _apart(content)
        found = decoded(rest, _Page, "search/node")
    shown: dict[str, str] = {}
    strange = 0
    for raw in rows:
        try:
            data = _row.decode(raw).data
            if not names.is_node_name(data.name):
                raise ValueError(data.name)
            shown[data.name] = _shown(data.push_jobs)
        except UNREADABLE:
            strange += 1
    return Page(found.total, shown, strange)


def _apart(content: bytes) -> tuple[list[bytes], bytes]:
    """The rows of a page of search, each unread, and the page without them."""
    rows: list[bytes] = []
    depth = start = first = last = 0
    for token in _STRUCTURE.finditer(content):
        match token[0]:
            case b"{" | b"[":
                depth += 1
                if depth == _ROW_DEPTH:
                    start = token.start()
                    first = first or start
            case b"}" | b"]":
                if depth == _ROW_DEPTH:
                    last = token.end()
                    rows.append(content[start:last])
                depth -= 1
    return rows, content[:first] + content[last:]


def _shown(push_jobs: msgspec.Raw) -> str:
    value = _read(push_jobs)
    if value is None:
        return NOTHING
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def attributes(status: int, content: bytes, name: str) -> Attributes | None:
    """Of `GET organizations/ORG/nodes/NAME`; None: there is no such node.

    A level that is no object counts as empty, as everywhere.

    Raises:
        ChefAway, ChefRefuses: it is no answer to that.
    """
    what = f"nodes/{name}"
    if status == 404:
        require_missing(content, what, "node")
        return None
    require_success(status, content, what)
    node = decoded(content, _Node, what)
    if node.name != name:
        raise unexpected(what, "another node")
    try:
        found = Attributes(*map(push_jobs, (node.default, node.normal, node.override)))
    except UNREADABLE:
        raise ChefRefuses(f"its {PUSH_JOBS} attributes cannot be read") from None
    if sum(map(len, found)) > MAX_ATTRIBUTES:
        raise ChefRefuses(
            f"its {PUSH_JOBS} attributes take more than {MAX_ATTRIBUTES:,} characters"
        )
    return found


def push_jobs(level: msgspec.Raw) -> str:
    """Of a level's attributes those that whitelists are made of, as in `Attributes`.

    Raises:
        *UNREADABLE: they cannot be read.
    """
    try:
        found = _level.decode(level).push_jobs
    except msgspec.ValidationError:
        return _EMPTY
    if found is msgspec.UNSET:
        return _EMPTY
    return msgspec.json.encode({PUSH_JOBS: _read(found)}, order="sorted").decode()


def _read(raw: msgspec.Raw) -> Any:
    nesting.require_bounded(bytes(raw))
    return msgspec.json.decode(raw)
