"""`pushcli server join`."""
# ruff: noqa: PLC0415

import shlex
import socket
from pathlib import Path
from typing import Any

import click

from pushcli.commands.server_place import become_owner, directory_option, place_of
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options


@click.command(cls=Command)
@directory_option
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of server.toml that is another on this machine; may be repeated.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Bring secrets and certificate to a server that joined before.",
)
@operator_options
@click.pass_obj
def join(app: App, directory: Path | None, values: tuple[str, ...], refresh: bool) -> None:
    """Make another server for the PostgreSQL database of the one that runs.

    The profile is a superuser's, such as pivotal. What servers share is brought here: settings,
    secrets, certificate. It is sealed for this command, so that no proxy can read it.

    \b
    Examples:
      pushcli server join --server-url https://push1:10003/organizations/acme \\
        -u pivotal -k pivotal.pem --set advertised_host=push2.example.com
      pushcli server join --refresh -u pivotal -k pivotal.pem
    """
    from pushcli.errors import NotFound, NotOffered, PermissionDenied, UsageError
    from pushcli.escape import escape_line
    from pushcli_server import join as joining

    if refresh and values:
        raise UsageError("--set is for a new server", "edit its server.toml")
    place = place_of(directory)
    if refresh:
        joining.require_server(place)
    else:
        joining.require_room(place)
    asking = joining.Joining()
    try:
        said: Any = app.client.post("/pushy/servers", asking.request(socket.gethostname()))
    except PermissionDenied as error:
        error.remedy = "give -u pivotal -k FILE: its key is in DIR/keys of the first server"
        raise
    except NotOffered:
        raise
    except NotFound as error:
        raise NotOffered("this server cannot take in another one", "upgrade it") from error
    answer = asking.opened(said)
    become_owner(place)
    joined = joining.refresh(place, answer) if refresh else joining.join(place, answer, values)
    if not app.is_text:
        app.emit(
            {"directory": str(place), "database": joined.database, "refreshed": refresh,
             "changed": joined.changed, "outside": joined.outside}
        )  # fmt: skip
        return
    if refresh:
        changed = ", ".join(joined.changed) or "nothing: all was as it is there"
        app.print(escape_line(f"Brought to {place}: {changed}"))
    else:
        app.print(f"Made {place}, a server for {joined.database}")
    for file in joined.outside:
        app.print(escape_line(f"Its settings name {file}: bring it from the first machine"))
    for name, value in joined.of_a_machine.items():
        line = f"{name} is {value!r} as on the first: edit server.toml if it is another here"
        app.print(escape_line(line))
    if not refresh:
        here = f" --dir {shlex.quote(str(place))}"
        app.remark(f"It stands ready once it runs: pushcli server install{here}")
