"""The audit trail: who changed what, from where."""

from typing import Any

import msgspec

from pushcli import durations
from pushcli.client.answers import checked
from pushcli.terminal import folding
from pushcli.terminal.context import App
from pushcli.terminal.fields import value_text
from pushcli.terminal.table import write_table
from pushcli.whitelist import toml_text


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One change; `at` in seconds since the epoch.

    `actor_kind` is user, client, node or server: several may have one name. Records of older
    servers have none.
    """

    at: float
    actor: str
    actor_kind: str | None = None
    action: str
    target: str
    origin: str = ""
    detail: Any = None


class _Answer(msgspec.Struct, frozen=True):
    records: list[Record]
    truncated: bool = False


def show(
    app: App,
    *,
    since: float | None,
    user: str | None,
    kind: str | None,
    target: str | None,
    limit: int,
    of_server: bool,
) -> None:
    """The newest records that fit, the newest last.

    Args:
        since: seconds since the epoch.
        kind: of the actor: user, client, node or server.
        of_server: what concerns no organization.
    """
    given = {"since": since, "user": user, "kind": kind, "target": target, "limit": limit}
    query = {name: str(value) for name, value in given.items() if value is not None}
    raw = app.client.get("/audit" if of_server else "audit", query)
    answer = checked(raw, _Answer)
    if not app.is_text:
        app.emit(raw)
    else:
        rows = [
            (durations.local(one.at), _actor(one), one.action, one.target, one.origin,
             detail_text(_abridged(one)))
            for one in answer.records
        ]  # fmt: skip
        write_table(app, ("time", "actor", "action", "target", "from", "detail"), rows)
    if answer.truncated:
        app.note(f"These are the newest {len(answer.records)}; --limit shows more")


def _actor(record: Record) -> str:
    """`user ann`, `node web01`; the server has no name beside its kind."""
    if record.actor_kind in (None, record.actor):
        return record.actor
    return f"{record.actor_kind} {record.actor}"


def _abridged(record: Record) -> Any:
    """The detail for people: of a whitelist's edit what is new, and where if that is not said."""
    detail = record.detail
    if not isinstance(detail, dict) or record.action != "whitelist edit":
        return detail
    changes, nodes = detail.get("changes"), detail.get("nodes")
    if not isinstance(changes, list) or not all(isinstance(one, dict) for one in changes):
        return detail
    shown: dict[str, Any] = {"changes": "; ".join(map(_change, changes))}
    if isinstance(nodes, list) and record.target.endswith(" nodes"):
        shown["nodes"] = folding.fold(map(str, nodes))
    return {**shown, "key": detail.get("key")}


def _change(change: dict[str, Any]) -> str:
    """`name = value` as a file has it, or `-name`."""
    name = str(change.get("name"))
    try:
        return f"-{name}" if change.get("removed") else toml_text.pair(name, change.get("value"))
    except TypeError:
        return name


def detail_text(detail: Any) -> str:
    """The details in one line: `uses=3, node=web01`; what is empty is left out."""
    if not isinstance(detail, dict):
        return value_text(detail)
    return ", ".join(
        f"{value_text(name)}={_detail(name, value)}"
        for name, value in detail.items()
        if value not in (None, "", [], {})
    )


def _detail(name: str, value: Any) -> str:
    if name in ("expires", "former_until") and isinstance(value, int | float):
        return durations.local(value)
    return value_text(value)
