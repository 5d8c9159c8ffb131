"""`pushcli client`: machines that sign requests: nodes, validators, programs."""

from pathlib import Path

import click

from pushcli.commands.identity_keys import (
    key_file_option,
    key_group,
    print_profile_option,
    public_key_option,
)
from pushcli.identities import identities
from pushcli.identities.handing_over import Handing
from pushcli.identities.new_key import key_file as new_key_file
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Name

CLIENT = Name("client")


@click.group(cls=CommandGroup)
@operator_options
def client() -> None:
    """Manage clients: nodes and programs, and their keys."""


@client.command("list")
@operator_options
@click.pass_obj
def list_(app: App) -> None:
    """List the clients of the organization.

    \b
    Example:
      pushcli client list
    """
    identities.show_names(app, identities.client_names(app))


@client.command()
@click.argument("name", type=CLIENT)
@operator_options
@click.pass_obj
def show(app: App, name: str) -> None:
    """Show the client NAME.

    \b
    Example:
      pushcli client show web01
    """
    identities.show_client(app, name)


@client.command()
@click.argument("name", type=CLIENT)
@click.option("--admin", is_flag=True, help="Give it all rights of administrators.")
@click.option("--validator", is_flag=True, help="Let it create clients, and nothing else.")
@key_file_option
@public_key_option
@print_profile_option
@operator_options
@click.pass_obj
def create(
    app: App, *, name: str, admin: bool, validator: bool, key_file: Path | None,
    public_key: Path | None, print_profile: bool,
) -> None:  # fmt: skip
    """Create the client NAME.

    A new private key is written to NAME.pem, which only you can read. Nodes make their
    own: see `agent enroll`.

    \b
    Example:
      pushcli client create deployer --public-key deployer.pub
    """
    identities.create_client(
        app, name, file=new_key_file(key_file, public_key, f"{name}.pem"), public_key=public_key,
        admin=admin, validator=validator,
        handing=Handing(print_profile=print_profile, keep_key=key_file is not None),
    )  # fmt: skip


@client.command()
@click.argument("name", type=CLIENT)
@operator_options
@click.pass_obj
def delete(app: App, name: str) -> None:
    """Delete the client NAME; a node is disconnected at once.

    \b
    Examples:
      pushcli client delete web01
      pushcli client delete acme-validator
    """
    identities.delete(app, "client", name)


client.add_command(key_group("client"))
