"""Variables that nobody is to see: from the environment, or asked for without an echo."""

from collections.abc import Iterable

import click

from pushcli.client import foreign
from pushcli.errors import UsageError
from pushcli.protocol import run_wire
from pushcli.terminal.context import App


def read_secrets(app: App, names: Iterable[str], env: Iterable[str] = ()) -> dict[str, str] | None:
    """The values of these variables; None: there are none.

    Args:
        env: names that have a value already, which everybody may see.

    Raises:
        UsageError: there is no value, or more than one.
        RequestRefused: the server would not keep it secret.
    """
    wanted = list(names)
    twice = [name for name in wanted if wanted.count(name) > 1 or name in env]
    if twice:
        raise UsageError(f"the variable {twice[0]!r} was given twice", "leave out one of them")
    secrets = {name: _value(app, name) for name in wanted}
    if secrets and not app.client.offers(run_wire.SECRETS):
        # Asked before it is sent: who does not know it may write it down.
        what = "keep variables secret"
        raise foreign.cannot(app.client.extensions, what, "leave out --secret-env")
    return secrets or None


def _value(app: App, name: str) -> str:
    if not name or "=" in name:
        raise UsageError("--secret-env takes a name alone", "set its value in the environment")
    value = app.env.get(name)
    if value is None:
        if not app.can_ask:
            raise UsageError(f"the secret {name!r} has no value", "set it in the environment")
        value = str(click.prompt(name, hide_input=True, default="", show_default=False, err=True))
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the secret {name!r} is not UTF-8 text", "give another value") from None
    return value
