"""Asking before a job runs on many nodes."""

from pushcli.errors import UsageError
from pushcli.terminal.asking import answer
from pushcli.terminal.context import App, profile_of


def require_confirmation(app: App, count: int, *, everything: bool) -> None:
    """Have the operator type how many nodes there are, if they are many.

    Scripts, and whoever passes -y, are not asked.

    Args:
        everything: all nodes, however few, are many.

    Raises:
        UsageError: something else was typed.
        ConfigError: the profile cannot be read.
    """
    if app.options.yes or not app.can_ask:
        return
    if not everything and count <= profile_of(app.options, app.env).confirm_above:
        return
    nodes = "one node" if count == 1 else f"{count:,} nodes"
    typed = answer(app, f"runs on {nodes}: type {count}: ") or ""
    if typed.strip().replace(",", "") != str(count):
        raise UsageError(f"nothing was started: {count} was not typed", "-y starts without asking")
