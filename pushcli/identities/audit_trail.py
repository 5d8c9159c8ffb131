"""The audit trail: who changed what, from where."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli import durations
from pushcli.client.answers import checked
from pushcli.errors import NotFound, NotOffered
from pushcli.protocol.names import is_job_id
from pushcli.terminal import folding
from pushcli.terminal.context import App, is_terminal
from pushcli.terminal.fields import value_text
from pushcli.terminal.formats import Format
from pushcli.terminal.table import write_table
from pushcli.terminal.times import dated, times_column
from pushcli.whitelist import toml_text

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

_DATES = ("expires", "former_until", "until")
"""Keys of details that hold moments."""
SHORT_ID = 8
"""Digits of a job's id in lists."""


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
    raw = app.client.get("/audit", query) if of_server else _read(app.client, query)
    answer = checked(raw, _Answer)
    if not app.is_text:
        records = [_as_data(one) for one in raw["records"]]
        by_line = app.options.format is Format.NDJSON
        app.emit(records if by_line else {**raw, "records": records})
    elif answer.records:
        _write(app, answer.records)
    else:
        app.note("No record matches")
    if answer.truncated:
        app.note(f"These are the newest {len(answer.records)}; --limit shows more")


def _read(client: "ApiClient", query: dict[str, str]) -> Any:
    """Below `pushy/`, which Chef's nginx leads to the server; an older one has it beside that."""
    try:
        return client.get("pushy/audit", query)
    except NotFound as error:
        if "audit" in client.extensions:
            raise
        is_older = bool(client.extensions)
        try:
            return client.get("audit", query)
        except NotOffered:
            if is_older:
                # Beside that there is a Chef Infra Server, which never heard of it.
                raise error from None
            raise


def _as_data(raw: dict[str, Any]) -> dict[str, Any]:
    detail = raw.get("detail")
    if isinstance(detail, dict):
        return {**dated(raw, "at"), "detail": dated(detail, *_DATES)}
    return dated(raw, "at")


def _write(app: App, records: Sequence[Record]) -> None:
    """A row a record; what is not cut is what leads on: the ids of jobs, shortened, and tokens."""
    when = times_column(app)
    is_short = is_terminal(app.stdout) and not app.is_wide
    rows = [
        (when.text(one.at), _actor(one), one.action, _target(one, short=is_short), one.origin,
         detail_text(_abridged(one)))
        for one in records
    ]  # fmt: skip
    ids = [len(row[3]) for row, one in zip(rows, records, strict=True) if _is_id(one)]
    cut = {"detail": 8, "target": max(ids, default=8), "action": 9, "actor": 8}
    header = (when.title, "actor", "action", "target", "from", "detail")
    write_table(app, header, rows, cut=cut, extra=("from",))


def _is_id(record: Record) -> bool:
    return record.action.startswith(("job ", "token "))


def _target(record: Record, *, short: bool) -> str:
    """Of a job its id, or as much of it as tells it from others."""
    is_job = record.action.startswith("job ") and is_job_id(record.target)
    return record.target[:SHORT_ID] if short and is_job else record.target


def _actor(record: Record) -> str:
    """`user ann`, `node web01`; the server has no name beside its kind."""
    if record.actor_kind in (None, record.actor):
        return record.actor
    return f"{record.actor_kind} {record.actor}"


def _abridged(record: Record) -> Any:
    """The detail for people: of an edit what is new, of a job what was to run, and where."""
    detail = record.detail
    if isinstance(detail, dict) and record.action == "job start":
        return _of_job(detail)
    if not isinstance(detail, dict) or record.action != "whitelist edit":
        return detail
    changes, nodes = detail.get("changes"), detail.get("nodes")
    if not isinstance(changes, list) or not all(isinstance(one, dict) for one in changes):
        return detail
    shown: dict[str, Any] = {"changes": "; ".join(map(_change, changes))}
    if isinstance(nodes, list) and record.target.endswith(" nodes"):
        shown["nodes"] = folding.fold(map(str, nodes))
    return {**shown, "key": detail.get("key")}


def _of_job(detail: dict[str, Any]) -> str:
    """The command, and the nodes folded, or how many they are."""
    nodes = detail.get("nodes")
    counted = f"{detail.get('count')} nodes"
    where = folding.fold(map(str, nodes)) if isinstance(nodes, list) else counted
    return f"{detail.get('command')} on {where}"


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
    if name in _DATES and isinstance(value, int | float):
        return durations.local(value)
    return value_text(value)
