"""`pushcli server`: beside a Chef Infra Server."""
# ruff: noqa: PLC0415

from pathlib import Path

import click

from pushcli.commands.server_place import become_owner, directory_option, place_of
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import output_options


@click.command("forget-identities", cls=Command)
@directory_option
@output_options
@click.pass_obj
def forget_identities(app: App, directory: Path | None) -> None:
    """Have the running server forget what its Chef Infra Server said.

    It asks again about everybody: what was revoked there no longer counts, where it would for up to
    chef_cache (30 s), or longer while the Chef Infra Server does not answer.

    Example: pushcli server forget-identities --dir /var/lib/pushcli/server
    """
    from pushcli_server.chef.forgetting import have_forgotten

    place = place_of(directory)
    become_owner(place)
    have_forgotten(place)
    if app.is_text:
        app.print(f"The server in {place} forgot what its Chef Infra Server said")
    else:
        app.emit({"directory": str(place), "forgotten": True})
