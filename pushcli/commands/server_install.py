"""`pushcli server install`."""
# ruff: noqa: PLC0415

import shlex
from pathlib import Path

import click

from pushcli.commands.installing import (
    dry_run_option,
    force_option,
    root_option,
    run_installation,
)
from pushcli.commands.server_place import directory_option, place_of
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import output_options


@click.command(cls=Command)
@directory_option
@root_option
@dry_run_option
@force_option
@output_options
@click.pass_obj
def install(
    app: App, directory: Path | None, root: Path | None, dry_run: bool, force: bool
) -> None:
    """Install the server as a service of systemd: pushcli-server, of the user pushcli.

    As root. The server's directory is given to that user. A unit that somebody changed is not
    replaced; changes belong into a drop-in, which stays: systemctl edit pushcli-server.

    \b
    Examples:
      pushcli server install --dry-run
      sudo pushcli server install --dir /srv/pushcli
    """
    from pushcli.errors import ConfigError
    from pushcli.systemd.install import program, require_root
    from pushcli_server import service, settings
    from pushcli_server.init import is_prepared

    place = place_of(directory)
    if not dry_run:
        require_root(root)
    starts = program()
    if root is None:
        service.require_reachable(place, Path(starts[0]))
    there = place if root is None else root.absolute() / place.relative_to("/")
    try:
        has_settings = (there / settings.FILE).exists()
    except OSError as error:
        raise ConfigError(f"cannot read {there}: {error.strerror}", "run it as root") from error
    config = settings.load(there) if has_settings else settings.Settings()
    is_made = has_settings and not is_prepared(there)
    where = "" if directory is None else f" --dir {shlex.quote(str(place))}"
    before = []
    if not is_made:
        whose = "" if config.identity == "chef" else " --org ORG --admin USER"
        plain = " --no-tls" if config.trusted_proxies else ""
        before.append(f"pushcli server init{whose}{plain}{where}")
        if not service.is_made_by_systemd(place):
            before.append(f"pushcli server install{where}")
    run_installation(
        app, service.service(place, config, starts, is_made=is_made), root,
        before=before, dry_run=dry_run, force=force,
    )  # fmt: skip
