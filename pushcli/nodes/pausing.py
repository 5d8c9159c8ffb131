"""Nodes that take no part in jobs for a while, and why."""

from collections.abc import Sequence

import msgspec

from pushcli import durations
from pushcli.client.answers import checked
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.times import dated


class _Answer(msgspec.Struct, frozen=True):
    nodes: list[str]
    until: float = 0.0


def pause(app: App, names: Sequence[str], *, reason: str, seconds: float) -> None:
    """These nodes vote against every job until then."""
    asked = {"nodes": list(names), "reason": reason, "seconds": seconds}
    raw = app.client.post("pushy/pauses", asked)
    paused = checked(raw, _Answer)
    if not app.is_text:
        app.emit(dated(raw, "until"))
        return
    until = durations.local(paused.until)
    app.print(f"Paused until {until}: {_counted(paused.nodes)}")


def resume(app: App, names: Sequence[str]) -> None:
    """These nodes take part in jobs again."""
    raw = app.client.post("pushy/resumes", {"nodes": list(names)})
    resumed = checked(raw, _Answer).nodes
    if not app.is_text:
        app.emit(raw)
        return
    if resumed:
        app.print(f"No longer paused: {_counted(resumed)}")
    untouched = sorted(set(names) - set(resumed))
    if untouched:
        app.print(f"Was not paused: {_counted(untouched)}")


def _counted(names: Sequence[str]) -> str:
    return fold(names) if len(names) == 1 else f"{fold(names)} ({len(names)})"
