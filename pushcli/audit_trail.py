"""The audit trail: who changed what, from where."""

from typing import Any

import msgspec

from pushcli import durations
from pushcli.context import App
from pushcli.jobs import checked
from pushcli.render.fields import value_text
from pushcli.render.table import write_table


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One change; `at` in seconds since the epoch."""

    at: float
    actor: str
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
    target: str | None,
    limit: int,
    of_server: bool,
) -> None:
    """The newest records that fit, the newest last.

    Args:
        since: seconds since the epoch.
        of_server: what concerns no organization.
    """
    given = {"since": since, "user": user, "target": target, "limit": limit}
    query = {name: str(value) for name, value in given.items() if value is not None}
    raw = app.client.get("/audit" if of_server else "audit", query)
    answer = checked(raw, _Answer)
    if not app.is_text:
        app.emit(raw)
    else:
        rows = [
            (durations.local(one.at), one.actor, one.action, one.target, one.origin,
             detail_text(one.detail))
            for one in answer.records
        ]  # fmt: skip
        write_table(app, ("time", "actor", "action", "target", "from", "detail"), rows)
    if answer.truncated:
        app.note(f"These are the newest {len(answer.records)}; --limit shows more")


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
    if name == "expires" and isinstance(value, int | float):
        return durations.local(value)
    return value_text(value)
