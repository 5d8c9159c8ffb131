"""`pushcli agent install`."""

import shlex
from pathlib import Path

import click

from pushcli.commands.installing import (
    dry_run_option,
    force_option,
    root_option,
    run_installation,
)
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import agent_directory_option, output_options


@click.command(cls=Command)
@agent_directory_option
@root_option
@dry_run_option
@force_option
@output_options
@click.pass_obj
def install(
    app: App, directory: Path | None, root: Path | None, dry_run: bool, force: bool
) -> None:
    """Install the agent as a service of systemd: pushcli-agent, of root.

    As root. Jobs outlive a restart of the service. A unit that somebody changed is not
    replaced; changes belong into a drop-in, which stays: systemctl edit pushcli-agent.

    \b
    Examples:
      pushcli agent install --dry-run
      sudo pushcli agent install
    """
    from pushcli.migration.finding import AGENT, System  # noqa: PLC0415
    from pushcli.systemd.install import program, require_root, require_roots_own  # noqa: PLC0415
    from pushcli_agent import config, service  # noqa: PLC0415 - `--help` need not wait for it

    starts = program()
    if not dry_run:
        require_root(root)
        if root is None:
            require_roots_own(Path(starts[0]))
    place = config.directory(directory, app.env).absolute()
    there = place if root is None else root.absolute() / place.relative_to("/")
    where = "" if directory is None else f" --dir {shlex.quote(str(place))}"
    before = []
    if not (there / config.FILE).exists():
        if any(System(root).there(AGENT)):
            before.append(
                f"pushcli migrate agent{where}  # it takes over what the Ruby client has; or else:"
            )
        before.append(
            f"pushcli agent enroll --server URL --node-name NAME --token-file FILE{where}"
        )
    run_installation(
        app, service.service(place, starts), root,
        before=before, dry_run=dry_run, force=force,
    )  # fmt: skip
