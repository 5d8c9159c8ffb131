"""Searching nodes: the server answers in pages, this reads them all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli.client.answers import checked
from pushcli.errors import NotFound
from pushcli.protocol.names import by_number

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

PAGE = 1_000
"""Rows that are asked for at once; a server may give fewer."""

Row = dict[str, Any]


class _Page(msgspec.Struct, frozen=True):
    total: int
    rows: list[Row]


class _Part(msgspec.Struct, frozen=True):
    data: Row


def names(client: "ApiClient", query: str) -> list[str]:
    """The nodes that match, sorted by their numbers.

    Raises:
        NotFound: none does.
    """
    found = attributes(client, query, {"name": ["name"]})
    return sorted({str(row["name"]) for row in found if row.get("name")}, key=by_number)


def attributes(client: "ApiClient", query: str, paths: Mapping[str, Sequence[str]]) -> list[Row]:
    """Some attributes of the nodes that match.

    Args:
        paths: from what each is to be called to its path in the merged attributes.

    Raises:
        NotFound: no node matches.
    """
    rows = _all(client, query, paths)
    return [part.data for part in checked(rows, list[_Part])]


def nodes(client: "ApiClient", query: str) -> list[Row]:
    """The whole nodes that match.

    Raises:
        NotFound: none does.
    """
    return _all(client, query, None)


def _all(client: "ApiClient", query: str, paths: Mapping[str, Sequence[str]] | None) -> list[Row]:
    rows = [row for page in _pages(client, query, paths) for row in page]
    if not rows:
        raise NotFound(f"no node matches {query!r}", "`pushcli node list` lists all")
    return rows


def _pages(
    client: "ApiClient", query: str, paths: Mapping[str, Sequence[str]] | None
) -> Iterator[list[Row]]:
    start = 0
    while True:
        params = {"q": query, "start": str(start), "rows": str(PAGE)}
        raw = (
            client.get("search/node", params)
            if paths is None
            else client.post("search/node", paths, params=params)
        )
        page = checked(raw, _Page)
        yield page.rows
        start += len(page.rows)
        if not page.rows or start >= page.total:
            return
