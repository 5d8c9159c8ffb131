"""`pushcli group`: who may what."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pushcli.errors import UsageError
from pushcli.identities import group_members, identities
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options, options_about_users
from pushcli.terminal.params import Name

F = TypeVar("F", bound=Callable[..., Any])
GROUP = Name("group")


@click.group(cls=CommandGroup)
@operator_options
def group() -> None:
    """Manage groups: who may start jobs, look at them, administer."""


@group.command("list")
@operator_options
@click.pass_obj
def list_(app: App) -> None:
    """List the groups of the organization.

    \b
    Example:
      pushcli group list
    """
    identities.show_names(app, identities.group_names(app))


@group.command()
@click.argument("name", type=GROUP)
@operator_options
@click.pass_obj
def show(app: App, name: str) -> None:
    """Show who is in the group NAME.

    \b
    Example:
      pushcli group show pushy_job_writers
    """
    group_members.show(app, name)


@group.command()
@click.argument("name", type=GROUP)
@operator_options
@click.pass_obj
def create(app: App, name: str) -> None:
    """Create the group NAME, without members.

    \b
    Example:
      pushcli group create deployers
    """
    identities.create_group(app, name)


@group.command()
@click.argument("name", type=GROUP)
@operator_options
@click.pass_obj
def delete(app: App, name: str) -> None:
    """Delete the group NAME; its members stay.

    \b
    Example:
      pushcli group delete deployers
    """
    identities.delete(app, "group", name)


def _members(command: F) -> F:
    """`--user`, `--client`, `--group`, each any number of times."""
    for kind in ("group", "client", "user"):
        command = click.option(
            f"--{kind}", f"{kind}s", type=Name(kind), metavar="NAME", multiple=True,
            help=f"A {kind}; may be repeated.",
        )(command)  # fmt: skip
    return command


@group.command()
@click.argument("name", type=GROUP)
@_members
@options_about_users
@click.pass_obj
def add(app: App, /, name: str, **members: tuple[str, ...]) -> None:
    """Add users, clients or the members of other groups to the group NAME.

    \b
    Example:
      pushcli group add pushy_job_writers --user ann --group deployers
    """
    group_members.add(app, name, _given(members))


@group.command()
@click.argument("name", type=GROUP)
@_members
@options_about_users
@click.pass_obj
def remove(app: App, /, name: str, **members: tuple[str, ...]) -> None:
    """Remove users, clients or groups from the group NAME.

    \b
    Example:
      pushcli group remove pushy_job_writers --user ann
    """
    group_members.remove(app, name, _given(members))


def _given(members: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    given = {kind: list(dict.fromkeys(names)) for kind, names in members.items() if names}
    if not given:
        raise UsageError("no members given", "name them with --user, --client or --group")
    return given
