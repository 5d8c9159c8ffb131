"""Tokens with which nodes enrol, each for few nodes and a short time."""

from typing import Any

import msgspec

from pushcli import durations
from pushcli.client.answers import checked
from pushcli.client.paths import quoted
from pushcli.identities.identities import print_done
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App
from pushcli.terminal.table import write_table
from pushcli.terminal.times import dated, until


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as the server tells of it; only the answer to its creation has the token itself.

    Args:
        uses: enrolments that are left.
        expires_at: seconds since the epoch.
        node: the only one that may use it.
    """

    id: str
    uses: int
    expires_at: float
    node: str | None = None
    created_by: str | None = None
    token: str | None = None


def create(app: App, *, uses: int, expires_in: float, node: str | None) -> None:
    """Make one; this is the only time that it is shown."""
    wanted = {"uses": uses, "expires_in": expires_in, "node": node}
    raw = app.client.post("tokens", wanted)
    made = checked(raw, Token)
    if not app.is_text:
        app.emit(dated(raw, "expires_at"))
        return
    app.note(
        f"For {node or 'any node'}, {_times(made.uses)}, until {durations.local(made.expires_at)}. "
        "It is shown only now:"
    )
    app.print(made.token or "")


def show(app: App) -> None:
    """Those that can still be used."""
    raw = checked(app.client.get("tokens"), list[dict[str, Any]])
    if not app.is_text:
        app.emit([dated(one, "expires_at") for one in raw])
        return
    rows = [
        (one.id, str(one.uses), until(app, one.expires_at), one.node or "any",
         one.created_by or "")
        for one in checked(raw, list[Token])
    ]  # fmt: skip
    header = ("token", "uses", "expires", "node", "created by")
    write_table(app, header, rows, cut={"created by": 10})


def delete(app: App, token_id: str) -> None:
    """A token can be used no more; what it enrolled stays."""
    if agrees(app, f"Delete the token {token_id}?"):
        app.client.delete(f"tokens/{quoted(token_id)}")
        print_done(app, f"Deleted the token {token_id}", {"id": token_id, "deleted": True})


def _times(uses: int) -> str:
    return "one enrolment" if uses == 1 else f"{uses} enrolments"
