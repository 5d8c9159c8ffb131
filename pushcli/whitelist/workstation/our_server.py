"""Whitelists over our server's REST: all nodes in one request (docs/api.md)."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pushcli.client.answers import checked
from pushcli.errors import Outdated
from pushcli.protocol import limits
from pushcli.whitelist.statements import Change, next_version
from pushcli.whitelist.workstation.partial import naming_what_is_done
from pushcli.whitelist.workstation.views import EditOutcome, NodeWhitelist

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

MAX_BODY = limits.MAX_REQUEST - 100_000
"""Bytes of a request; a larger edit goes in several."""
MAX_QUERY = 6_000
"""Characters of names in a URL."""
_MARGIN = 3_000
"""Bytes for all that is neither a node nor a change: the signature, names of the fields."""

T = TypeVar("T")


def read(client: "ApiClient", nodes: Sequence[str]) -> list[NodeWhitelist]:
    """The whitelists of these nodes, in their order."""
    found: list[NodeWhitelist] = []
    for names in _batches(nodes, MAX_QUERY, lambda name: len(name) + len("&node=")):
        answer = client.get("pushy/whitelist", {"node": names})
        found += checked(answer, dict[str, list[NodeWhitelist]]).get("whitelists", [])
    return found


def change(client: "ApiClient", nodes: Sequence[str], changes: Sequence[Change]) -> EditOutcome:
    """Sign the changes and make them on all of the nodes.

    Raises:
        PushcliError: the server refused them; if they took several requests, what is done
            already stands in the message.
    """
    parts = list(_batches(changes, MAX_BODY // 2, _size, limits.MAX_CHANGES))
    room = MAX_BODY - _MARGIN - max(sum(map(_size, part)) for part in parts)
    most = limits.MAX_LEAVES // max(map(len, parts))
    outcome = EditOutcome(nodes=0, connected=0, in_force=0)
    done: list[str] = []
    with naming_what_is_done(nodes, done):
        # Nearly always that is one request.
        for some in _batches(nodes, room, _size, most):
            outcome += _on_same_nodes([_post(client, some, part) for part in parts])
            done += some
    return outcome


def _on_same_nodes(outcomes: Sequence[EditOutcome]) -> EditOutcome:
    """Of several edits of the same nodes: all must hold."""
    last = outcomes[-1]
    lacking = {node: why for one in outcomes for node, why in one.not_in_force.items()}
    held = last.in_force if len(outcomes) == 1 else max(0, last.connected - len(lacking))
    return msgspec.structs.replace(last, in_force=held, not_in_force=lacking)


def _post(client: "ApiClient", nodes: list[str], changes: list[Change]) -> EditOutcome:
    try:
        answer = _signed(client, nodes, changes, next_version(time.time()))
    except Outdated as error:
        # Also if the clock here is behind that of whoever edited last.
        version = next_version(time.time(), [error.version])
        answer = _signed(client, nodes, changes, version)
    return checked(answer, EditOutcome)


def _signed(client: "ApiClient", nodes: list[str], changes: list[Change], version: int) -> Any:
    signed = client.signer.sign(nodes, changes, version)
    said = [_as_json(change) for change in changes]
    body = {"nodes": nodes, "changes": said, **msgspec.to_builtins(signed)}
    return client.post("pushy/whitelist", body)


def _as_json(change: Change) -> dict[str, Any]:
    if change.value is None:
        return {"name": change.name, "removed": True}
    return {"name": change.name, "value": change.value}


def _size(part: str | Change) -> int:
    value = part if isinstance(part, str) else _as_json(part)
    return len(msgspec.json.encode(value)) + 1


def _batches(
    items: Sequence[T], size: int, size_of: Callable[[T], int], count: int | None = None
) -> Iterator[list[T]]:
    """Runs of items that together are at most so large, and so many; each at least one."""
    batch: list[T] = []
    room = size
    for item in items:
        needed = size_of(item)
        if batch and (needed > room or len(batch) == count):
            yield batch
            batch, room = [], size
        batch.append(item)
        room -= needed
    if batch:
        yield batch
