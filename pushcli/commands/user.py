"""`pushcli user`: people, their keys, and which of them belong to the organization."""

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
from pushcli.terminal.params import Duration, Name

USER = Name("user")


@click.group(cls=CommandGroup)
@operator_options
def user() -> None:
    """Manage users: the people who run jobs, and their keys."""


@user.command("list")
@click.option(
    "--all", "everywhere", is_flag=True, help="List all users of the server (superusers only)."
)
@operator_options
@click.pass_obj
def list_(app: App, everywhere: bool) -> None:
    """List the users of the organization.

    \b
    Example:
      pushcli user list
    """
    identities.show_names(app, identities.user_names(app, everywhere=everywhere))


@user.command()
@click.argument("name", type=USER)
@operator_options
@click.pass_obj
def show(app: App, name: str) -> None:
    """Show the user NAME.

    \b
    Example:
      pushcli user show ann
    """
    identities.show_user(app, name)


@user.command()
@click.argument("name", type=USER)
@click.option("--display-name", metavar="TEXT", help="Display name (default: NAME).")
@click.option("--email", metavar="ADDRESS", help="E-mail address.")
@click.option("--no-associate", is_flag=True, help="Do not add them to the organization.")
@key_file_option
@public_key_option
@print_profile_option
@operator_options
@click.pass_obj
def create(
    app: App, *, name: str, display_name: str | None, email: str | None, no_associate: bool,
    key_file: Path | None, public_key: Path | None, print_profile: bool,
) -> None:  # fmt: skip
    """Create the user NAME on the server, and add them to the organization.

    This needs a superuser's profile. A new private key is written to NAME.pem, which only
    you can read; with --public-key the user has made one already. What they need on their
    machine is shown as a command, or with --print-profile printed as their profile: with the
    key in it, which is then in no file, but for --key-file.

    \b
    Examples:
      pushcli user create ann --email ann@example.com --public-key ann.pub
      pushcli user create ann --print-profile | ssh pc pushcli config add-profile
    """
    identities.create_user(
        app, name, file=new_key_file(key_file, public_key, f"{name}.pem"), public_key=public_key,
        display_name=display_name, email=email, associate=not no_associate,
        handing=Handing(print_profile=print_profile, keep_key=key_file is not None),
    )  # fmt: skip


@user.command()
@click.argument("name", type=USER)
@operator_options
@click.pass_obj
def delete(app: App, name: str) -> None:
    """Delete the user NAME from the server, with all their keys.

    This needs a superuser's profile; see `user remove` for the organization alone.

    \b
    Example:
      pushcli user delete ann
    """
    identities.delete(app, "user", name)


@user.command()
@click.argument("name", type=USER)
@operator_options
@click.pass_obj
def add(app: App, name: str) -> None:
    """Add the user NAME, who already exists, to the organization.

    \b
    Example:
      pushcli user add ann
    """
    identities.add_user(app, name)


@user.command()
@click.argument("name", type=USER)
@operator_options
@click.pass_obj
def remove(app: App, name: str) -> None:
    """Remove the user NAME from the organization and its groups.

    \b
    Example:
      pushcli user remove ann
    """
    identities.remove_user(app, name)


user.add_command(key_group("user"))


@user.command()
@click.option(
    "--overlap",
    type=Duration(zero=True),
    metavar="24h",
    default="24h",
    show_default=True,
    help="How long the previous key stays valid; 0 ends it at once.",
)
@click.option(
    "--vouch", is_flag=True, help="Vouch for the new key as an editor's, with the previous one."
)
@operator_options
@click.pass_obj
def rotate_key(app: App, overlap: float, vouch: bool) -> None:
    """Replace your own key: the one that the profile signs with.

    A new key is made, registered and tried, then replaces the one in the file. The
    previous one is kept as FILE.old, and expires. If anything fails, the profile still works.

    Agents accept edits of whitelists only from editors whose keys they know: --vouch
    introduces the new one.

    \b
    Example:
      pushcli user rotate-key --overlap 1h
    """
    from pushcli.identities import own_key  # noqa: PLC0415 - `--help` need not wait for cryptography

    own_key.rotate(app, overlap=overlap, vouch=vouch)
