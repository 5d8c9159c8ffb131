"""No job starts, until somebody says that they may again."""

import msgspec

from pushcli import durations
from pushcli.client.answers import checked
from pushcli.errors import PushcliError
from pushcli.escape import escape_line
from pushcli.terminal.context import App
from pushcli.terminal.times import dated

EXTENSION = "freeze"
_PATH = "pushy/freeze"


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """Whether jobs are frozen (docs/api.md); `since` in seconds since the epoch."""

    frozen: bool
    reason: str = ""
    by: str = ""
    since: float = 0.0


def freeze(app: App, reason: str) -> None:
    """No job of the organization starts from now on; those that run go on."""
    raw = app.client.put(_PATH, {"reason": reason})
    checked(raw, Freeze)
    if not app.is_text:
        app.emit(dated(raw, "since"))
        return
    app.print("Frozen: no job starts until `pushcli job unfreeze`.")
    app.note("jobs that run go on; `pushcli job abort --all` ends them")


def unfreeze(app: App) -> None:
    """Jobs may start again."""
    raw = app.client.delete(_PATH)
    before = checked(raw, Freeze)
    if not app.is_text:
        app.emit(dated(raw, "since"))
    elif before.frozen:
        app.print(f"Jobs may start again. They were {_words(before)}")
    else:
        app.print("Jobs were not frozen.")


def warn_if_frozen(app: App) -> None:
    """A line beside the answer, where jobs are frozen and the server can tell."""
    if EXTENSION not in app.client.extensions:
        return
    try:
        state = checked(app.client.get(_PATH), Freeze)
    except PushcliError:
        # What was asked for is there, and this is only beside it.
        return
    if state.frozen:
        app.note(f"no job starts: {_words(state)}")


def _words(state: Freeze) -> str:
    since = durations.local(state.since)
    return escape_line(f"frozen by {state.by} since {since}: {state.reason}")
