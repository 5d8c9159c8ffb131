"""Moments as a person reads them, and as programs do: ISO 8601 in UTC."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pushcli import durations
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli.terminal.context import App, is_terminal


class TimeColumn(NamedTuple):
    """A column of moments: its title, and what it shows of each, in seconds since the epoch."""

    title: str
    text: Callable[[float], str]


def times_column(app: App, title: str = "time") -> TimeColumn:
    """Ages in lists on a terminal; the moment where a program reads, or with `-o wide`."""
    if app.is_wide or not is_terminal(app.stdout):
        return TimeColumn(title, durations.local)
    now = time.time()
    return TimeColumn("age", lambda at: durations.age(max(0.0, now - at)))


def until(app: App, at: float) -> str:
    """When something ends: `in 59 min` in lists on a terminal, else the moment."""
    if app.is_wide or not is_terminal(app.stdout):
        return durations.local(at)
    left = at - time.time()
    return f"in {durations.age(left)}" if left > 0 else f"{durations.age(-left)} ago"


def in_utc(moment: Any) -> Any:
    """`2026-11-23T20:00:00Z`, with milliseconds if it has any; what is no date stays as it is."""
    seconds = _seconds(moment)
    return moment if seconds is None else durations.utc(seconds)


def dated(record: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The record with the dates under these keys as programs read them."""
    return {**record, **{key: in_utc(record[key]) for key in keys if key in record}}


def _seconds(moment: Any) -> float | None:
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return moment
    if not isinstance(moment, str):
        return None
    try:
        return parse_rfc1123(moment)
    except ValueError:
        return None
