"""The options that commands share, taken before and after the subcommand.

knife's users type `-F json` at the end, scripts put it first: root, groups and commands
all take them, and what stands later wins. `-s` is reserved for search, `-q` for quorum.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from pushcli.terminal.context import App
from pushcli.terminal.formats import Format
from pushcli.terminal.help import CONNECTION, OUTPUT, SharedOption
from pushcli.terminal.params import Directory

F = TypeVar("F", bound=Callable[..., Any])


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep what was given; an option that was not given leaves the earlier one alone."""
    app = context.find_object(App)
    if app is None or value in (None, False, 0):
        return
    app.options = replace(app.options, **{str(parameter.name): value})


def _format(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    _remember(context, parameter, Format(value) if value else None)


def _no_colour(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    app = context.find_object(App)
    if app is not None and value:
        # Whatever draws, here or in a program that we start, goes by the environment.
        app.env = {**app.env, "NO_COLOR": "1"}


def _profiles(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """For the shell: those of the credentials file that go on like this."""
    from pushcli.client.credentials import default_path, profiles  # noqa: PLC0415 - rarely needed

    app = context.ensure_object(App)
    path = app.options.config or default_path(app.env)
    return [name for name in profiles(path) if name.startswith(begun)]


_connection = partial(
    click.option, cls=SharedOption, section=CONNECTION, expose_value=False, callback=_remember
)
_output = partial(click.option, cls=SharedOption, section=OUTPUT, expose_value=False)


def _signer(*flags: str) -> Callable[[F], F]:
    return _connection(*flags, "user", metavar="NAME", help="Name to sign requests with.")


_SIGNER: Callable[[F], F] = _signer("-u", "--user")
_PATH = click.Path(path_type=Path)
_CONNECTION: tuple[Callable[[F], F], ...] = (
    _connection(
        "-c", "--config", type=_PATH, metavar="FILE",
        help="Credentials file (default: ~/.pushcli/credentials, else ~/.chef/credentials).",
    ),
    _connection(
        "--profile", metavar="NAME", shell_complete=_profiles,
        help="Profile in the credentials file.",
    ),
    _connection(
        "--server-url", metavar="URL", help="URL of the server, including /organizations/ORG."
    ),
    _SIGNER,
    _connection(
        "-k", "--key", type=_PATH, metavar="FILE", help="Private key to sign requests with."
    ),
    _connection(
        "--ca-file", type=_PATH, metavar="FILE",
        help="CA certificates to verify the server with (PEM).",
    ),
    _connection(
        "--fingerprint", metavar="SHA256:...", help="Fingerprint of the server's certificate."
    ),
)  # fmt: skip
_OUTPUT: tuple[Callable[[F], F], ...] = (
    _output(
        "-F", "--format", type=click.Choice([form.value for form in Format]), callback=_format,
        help="Format of the answer (default: text).",
    ),
    _output(
        "-o", "--columns", type=click.Choice(["wide"]), callback=_remember,
        help="All columns of a table, and nothing cut.",
    ),
    _output("--no-color", is_flag=True, callback=_no_colour, help="No colours."),
    _output(
        "-V", "--verbose", count=True, callback=_remember,
        help="Show more detail; -VV: the requests too, without their secrets.",
    ),
    _output(
        "-y", "--yes", is_flag=True, callback=_remember, help="Answer all questions with yes."
    ),
)  # fmt: skip
_OPTIONS = (*_OUTPUT, *_CONNECTION)


agent_directory_option = click.option(
    "--dir",
    "directory",
    type=Directory(file_okay=False),
    metavar="DIR",
    help="The agent's directory (default: $PUSHCLI_AGENT_DIR, else /var/lib/pushcli/agent "
    "for root, ~/.pushcli/agent otherwise).",
)


def output_options(command: F) -> F:
    """Give a command that talks to no server the options about its answer."""
    for option in reversed(_OUTPUT):
        command = option(command)
    return command


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
