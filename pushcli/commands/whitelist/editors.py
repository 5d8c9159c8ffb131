"""`editors list`, `add`, `remove`."""

from pathlib import Path

import click

from pushcli.commands.whitelist.group import FILE, whitelist
from pushcli.exit_status import ExitStatus
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import NodeName
from pushcli.whitelist.workstation import editors as statements


@whitelist.group(cls=CommandGroup)
@operator_options
def editors() -> None:
    """See and change whose signatures the agents accept.

    An agent trusts the editors that it pinned when it enrolled, and those they vouch for.
    """


@editors.command("list")
@operator_options
@click.pass_obj
def list_(app: App) -> None:
    """List the keys that are vouched for, and those taken back.

    \b
    Example:
      pushcli whitelist editors list
    """
    statements.show(app)


@editors.command()
@click.argument("name", type=NodeName("user"))
@click.argument("file", type=FILE)
@operator_options
@click.pass_obj
def add(app: App, name: str, file: Path) -> None:
    """Vouch for the public key in FILE (PEM) as that of the editor NAME.

    \b
    Example:
      pushcli whitelist editors add bob bob.pub.pem
    """
    statements.add(app, name, file)


@editors.command()
@click.argument("name", type=NodeName("user"))
@click.argument("file", type=FILE, required=False)
@click.option(
    "--sign-again", is_flag=True, help="Sign the entries of that key with yours, without asking."
)
@operator_options
@click.pass_obj
def remove(app: App, name: str, file: Path | None, *, sign_again: bool) -> ExitStatus:
    """Take back the key in FILE, or all keys, of the editor NAME.

    Entries that were signed with it are refused from then on. They are listed, and you are
    asked whether to sign them again with your key: look at them first, -y does not answer that.

    \b
    Example:
      pushcli whitelist editors remove bob
    """
    return statements.remove(app, name, file, sign_again=sign_again)


@editors.command()
@operator_options
@click.pass_obj
def checkpoint(app: App) -> None:
    """Sign what is needed of all statements, so that the rest need not reach the agents.

    This is done by itself when there is no room for another statement. It asks first if so
    many keys are vouched for that the oldest of them would no longer be trusted.

    \b
    Example:
      pushcli whitelist editors checkpoint
    """
    statements.checkpoint(app)
