"""Asking before something is lost."""

import click

from pushcli.errors import UsageError
from pushcli.escape import escape_line
from pushcli.terminal.context import App


def agrees(app: App, question: str) -> bool:
    """Whether the person says yes; -y says it ahead, and no is the default.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    if app.options.yes:
        return True
    if not app.can_ask:
        raise UsageError("no terminal to confirm on", "pass -y")
    if click.confirm(escape_line(question), default=False, err=True):
        return True
    app.note("nothing was changed")
    return False
