"""`editors list`, `add`, `remove`."""

from pathlib import Path

import click

from pushcli.commands.whitelist.group import FILE, whitelist
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
@click.argument("name", type=NodeName())
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
@click.argument("name", type=NodeName())
@click.argument("file", type=FILE, required=False)
@operator_options
@click.pass_obj
def remove(app: App, name: str, file: Path | None) -> None:
    """Take back the key in FILE, or all keys, of the editor NAME.

    Entries that were signed with it are refused from then on.

    \b
    Example:
      pushcli whitelist editors remove bob
    """
    statements.remove(app, name, file)
