"""Whitelists on a Chef Infra Server: node by node, through the nodes' own objects.

It has no whitelists: `normal.push_jobs.whitelist` is an attribute like others, and an edit is
a GET and a PUT of the whole node. It gives no tag to make the PUT conditional, so the two
stand close together.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli.client.paths import quoted
from pushcli.errors import NotFound, PushcliError, RequestRefused, ServerError
from pushcli.protocol.attributes import LEVELS, NORMAL
from pushcli.whitelist.statements import Change, next_version
from pushcli.whitelist.workstation.partial import naming_what_is_done
from pushcli.whitelist.workstation.verifying import Signers
from pushcli.whitelist.workstation.views import NodeWhitelist, ServerEntry, Signature

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

_NAMED = 10
"""Names in one line of an error."""
_PLACES = (
    (NORMAL,), (NORMAL, "push_jobs"), (NORMAL, "push_jobs", "whitelist"),
    (NORMAL, "push_jobs", "whitelist_signatures"),
)  # fmt: skip
"""What is written to, from the outside to the inside."""
_KINDS: dict[type, str] = {
    type(None): "null", str: "text", list: "a list", bool: "true or false",
}  # fmt: skip

Step = Callable[[str], None]
"""Told each node that is done."""


def read(client: "ApiClient", nodes: Sequence[str], step: Step) -> list[NodeWhitelist]:
    """The whitelists of these nodes, in their order; nobody says what is in force there.

    Raises:
        RequestRefused: the attributes of one are in the way.
    """
    found = []
    for node in nodes:
        content = _get(client, node)
        if (fault := _fault(content)) is not None:
            fault.message = f"{node}: {fault.message}"
            raise fault
        found.append(_view(node, content))
        step(node)
    return found


def look(
    client: "ApiClient", nodes: Sequence[str], step: Step, name: str | None = None
) -> tuple[list[NodeWhitelist], dict[str, RequestRefused]]:
    """The same to be shown: with what signatures prove, and apart why a node's cannot be read.

    Args:
        name: of the entry that is shown; None: of all.
    """
    found, faults = [], {}
    signers = Signers(client)
    for node in nodes:
        content = _get(client, node)
        if (fault := _fault(content)) is not None:
            faults[node] = fault
        else:
            found.append(_verified(_view(node, content), content, signers, name))
        step(node)
    return found, faults


def verified(
    client: "ApiClient", whitelist: NodeWhitelist, signers: Signers, name: str
) -> NodeWhitelist:
    """What our server says of a node, with what a record in its object proves of the entry."""
    return _verified(whitelist, _get(client, whitelist.node), signers, name)


def _verified(
    whitelist: NodeWhitelist, content: Mapping[str, Any], signers: Signers, name: str | None
) -> NodeWhitelist:
    """The whitelist with what the records in the node object prove of its entries."""
    records = _attribute(content, NORMAL, "whitelist_signatures")
    values = _attribute(content, NORMAL, "whitelist")

    def judged(entry: ServerEntry) -> ServerEntry:
        if entry.signer is None or name not in (None, entry.name):
            return entry
        signature = signers.judge(
            records.get(entry.name), node=whitelist.node, name=entry.name,
            value=values.get(entry.name),
        )  # fmt: skip
        signer = None if signature is Signature.MISMATCH else entry.signer
        return msgspec.structs.replace(entry, signature=signature, signer=signer)

    return msgspec.structs.replace(whitelist, entries=list(map(judged, whitelist.entries)))


def change(
    client: "ApiClient", nodes: Sequence[str], changes: Sequence[Change], step: Step
) -> None:
    """Sign the changes and make them, one node after the other.

    Raises:
        NotFound: a node does not exist; nothing was done.
        PushcliError: a node could not be changed; it, and what is done, stand in the message.
    """
    _require_all(client, nodes)
    done: list[str] = []
    with naming_what_is_done(nodes, done):
        for node in nodes:
            try:
                _change(client, node, changes)
            except PushcliError as error:
                error.message = f"{node}: {error.message}"
                raise
            done.append(node)
            step(node)


def _change(client: "ApiClient", node: str, changes: Sequence[Change]) -> None:
    content = _get(client, node)
    if (fault := _fault(content)) is not None:
        raise fault
    for one in changes:
        _check(content, one)
    seen = [
        version
        for records in (_attribute(content, NORMAL, "whitelist_signatures"),)
        for one in changes
        if (version := _version(records.get(one.name))) is not None
    ]
    records = client.signer.records([node], changes, next_version(time.time(), seen))[node]
    jobs = content.setdefault(NORMAL, {}).setdefault("push_jobs", {})
    whitelist = jobs.setdefault("whitelist", {})
    for one in changes:
        if one.value is None:
            whitelist.pop(one.name, None)
        else:
            whitelist[one.name] = one.value
    jobs.setdefault("whitelist_signatures", {}).update(records)
    client.put(_path(node), content)


def _check(content: Mapping[str, Any], change: Change) -> None:
    """What wins over the level that is written cannot be changed there."""
    removing = change.value is None
    for level in reversed(LEVELS):
        if level == NORMAL or (level == "default" and not removing):
            continue
        if change.name in _attribute(content, level, "whitelist"):
            raise RequestRefused(f"{change.name!r} is set at the level {level}", "change it there")
    if removing and change.name not in _attribute(content, NORMAL, "whitelist"):
        raise NotFound(f"no entry {change.name!r} on its whitelist", "see `whitelist list`")


def _require_all(client: "ApiClient", nodes: Sequence[str]) -> None:
    """Before anything is done: each of many nodes exists."""
    if len(nodes) < 2:
        return
    known = client.get("nodes")
    missing = [node for node in nodes if node not in known]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise NotFound(
            f"no such node: {', '.join(missing[:_NAMED])}{more}", "see `pushcli node status`"
        )


def _get(client: "ApiClient", node: str) -> dict[str, Any]:
    content = client.get(_path(node))
    if not isinstance(content, dict) or content.get("name") != node:
        raise ServerError(f"the answer for {node} is not a node", "is the URL a Chef Server's?")
    return content


def _fault(content: Mapping[str, Any]) -> RequestRefused | None:
    """The error for attributes that no whitelist can be read from, or written to; None: it can."""
    for place in _PLACES:
        found: Any = content
        for key in place:
            # What holds it was looked at before.
            found = found.get(key, {})
        if not isinstance(found, dict):
            kind = _KINDS.get(type(found), "a number")
            where = ".".join(place)
            return RequestRefused(f"{where} is {kind}, not an object", "see `knife node edit`")
    return None


def _view(node: str, content: Mapping[str, Any]) -> NodeWhitelist:
    merged: dict[str, tuple[str, Any]] = {}
    for level in LEVELS:
        for name, value in _attribute(content, level, "whitelist").items():
            merged[name] = (level, value)
    records = _attribute(content, NORMAL, "whitelist_signatures")
    entries = [_entry(name, level, value, records) for name, (level, value) in merged.items()]
    return NodeWhitelist(node=node, entries=entries, removed=dict(_removed(records)))


def _entry(name: str, level: str, value: Any, records: Mapping[str, Any]) -> ServerEntry:
    record = records.get(name)
    if level != NORMAL or not isinstance(record, dict) or record.get("removed"):
        return ServerEntry(name=name, value=value, level=level)
    signer = record.get("signer")
    return ServerEntry(
        name=name, value=value, level=level,
        signer=signer if isinstance(signer, str) else None, version=_version(record),
    )  # fmt: skip


def _removed(records: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    for name, record in records.items():
        if isinstance(record, dict) and record.get("removed"):
            yield name, _version(record)


def _attribute(content: Mapping[str, Any], level: str, name: str) -> dict[str, Any]:
    """`push_jobs.NAME` of a level; empty if it is not there, or no object."""
    found: Any = content
    for key in (level, "push_jobs", name):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _version(record: Any) -> int | None:
    version = record.get("version") if isinstance(record, dict) else None
    return version if isinstance(version, int) else None


def _path(node: str) -> str:
    return f"nodes/{quoted(node)}"
