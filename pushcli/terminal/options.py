"""The options of every operator's command, taken before and after the subcommand.

knife's users type `-F json` at the end, scripts put it first: root, groups and commands
all take them, and what stands later wins. `-s` is reserved for search, `-q` for quorum.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from pushcli.terminal.context import App
from pushcli.terminal.formats import Format

F = TypeVar("F", bound=Callable[..., Any])


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep what was given; an option that was not given leaves the earlier one alone."""
    app = context.find_object(App)
    if app is None or value in (None, False, 0):
        return
    app.options = replace(app.options, **{str(parameter.name): value})


def _format(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    _remember(context, parameter, Format(value) if value else None)


def _signer(*flags: str) -> Callable[[F], F]:
    return click.option(
        *flags, "user", metavar="NAME", expose_value=False, callback=_remember,
        help="Name to sign requests with.",
    )  # fmt: skip


_SIGNER: Callable[[F], F] = _signer("-u", "--user")
_PATH = click.Path(path_type=Path)
_OPTIONS: tuple[Callable[[F], F], ...] = (
    click.option(
        "-c", "--config", type=_PATH, metavar="FILE", expose_value=False, callback=_remember,
        help="Credentials file (default: ~/.pushcli/credentials, else ~/.chef/credentials).",
    ),
    click.option(
        "--profile", metavar="NAME", expose_value=False, callback=_remember,
        help="Profile in the credentials file.",
    ),
    click.option(
        "--server-url", metavar="URL", expose_value=False, callback=_remember,
        help="URL of the server, including /organizations/ORG.",
    ),
    _SIGNER,
    click.option(
        "-k", "--key", type=_PATH, metavar="FILE", expose_value=False, callback=_remember,
        help="Private key to sign requests with.",
    ),
    click.option(
        "--ca-file", type=_PATH, metavar="FILE", expose_value=False, callback=_remember,
        help="CA certificates to verify the server with (PEM).",
    ),
    click.option(
        "--fingerprint", metavar="SHA256:...", expose_value=False, callback=_remember,
        help="Fingerprint of the server's certificate.",
    ),
    click.option(
        "-F", "--format", type=click.Choice([form.value for form in Format]),
        expose_value=False, callback=_format, help="Format of the answer (default: text).",
    ),
    click.option(
        "-V", "--verbose", count=True, expose_value=False, callback=_remember,
        help="Show more detail.",
    ),
    click.option(
        "-y", "--yes", is_flag=True, expose_value=False, callback=_remember,
        help="Answer all questions with yes.",
    ),
)  # fmt: skip


agent_directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The agent's directory (default: $PUSHCLI_AGENT_DIR, else /var/lib/pushcli/agent "
    "for root, ~/.pushcli/agent otherwise).",
)


def operator_options(command: F) -> F:
    """Give a command, or a group, the options that all operator's commands share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_about_users(command: F) -> F:
    """The same for a command that is about users, whose `--user` names one: `-u` signs."""
    for option in reversed(_OPTIONS):
        command = (_signer("-u") if option is _SIGNER else option)(command)
    return command
