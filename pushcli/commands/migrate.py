"""`pushcli migrate`: from Chef Push Jobs, file by file."""
# ruff: noqa: PLC0415

import os
import shlex
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from pushcli.commands.installing import dry_run_option
from pushcli.commands.migrate_history import history
from pushcli.commands.migrate_identities import identities
from pushcli.commands.server_place import directory_option, place_of
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import agent_directory_option, output_options

if TYPE_CHECKING:
    from pushcli_server.settings import Settings

_FILE = click.Path(path_type=Path)
_STOP = "opscode-push-jobs-server-ctl stop"
_root_option: Callable[[Any], Any] = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Read the files of the system below DIR, such as an image, instead of this one's.",
)


@click.group(cls=CommandGroup)
@output_options
def migrate() -> None:
    """Take over settings, history and identities of Chef's programs."""


@migrate.command()
@click.argument("file", type=_FILE, required=False)
@agent_directory_option
@_root_option
@click.option(
    "--unsafe-substitution",
    "unsafe",
    is_flag=True,
    help="Where only that keeps a pattern's meaning, paste requests into its command as they are, "
    "as the old client does: who may start a job may then run anything.",
)
@dry_run_option
@output_options
@click.pass_obj
def agent(
    app: App, file: Path | None, directory: Path | None, root: Path | None, unsafe: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Make agent.toml of a Chef Push Jobs client's FILE, for the same node and key.

    Without FILE it is the first of chef-push-client.rb, push-jobs-client.rb and client.rb in
    /etc/chef. It is Ruby, and is read without being run: what is not a literal is left out, and
    listed. Patterns that would match less than they do there are listed, too.

    \b
    Examples:
      pushcli migrate agent --dry-run
      pushcli migrate agent /etc/chef/client.rb --dir /var/lib/pushcli/agent
    """
    import socket

    from pushcli.migration import agent as migration
    from pushcli.migration import finding, writing
    from pushcli.migration.reading import authorities, statements
    from pushcli_agent import config

    system, path = _system(file, root)
    path = path or system.first(finding.AGENT)
    draft = migration.draft(
        statements(system, path, app.env), file=path, host_name=socket.getfqdn, unsafe=unsafe
    )
    place = config.directory(directory, app.env).absolute()
    trusted, remarks = authorities(system, draft.trust)
    files = []
    if trusted:
        files.append(
            writing.NewFile(
                path=place / "ca.pem", content="".join(trusted),
                summary=f"{len(trusted)} certificate{'s' if len(trusted) > 1 else ''}",
            )
        )  # fmt: skip
    text = migration.text(draft, ca_file="ca.pem" if trusted else None)
    _require_loadable(text, path)
    files.append(writing.NewFile(path=place / config.FILE, content=text))
    usual = place == config.directory(None, app.env)
    where = "" if usual else f" --dir {shlex.quote(str(place))}"
    remarks = [*draft.remarks, *remarks, *migration.missing_key(draft, system)]
    writing.carry_out(
        app, files, remarks, source=str(system.place(path)), dry_run=dry_run,
        then=["systemctl disable --now chef-push-jobs-client  # or what runs the old client here",
              *_as_service("agent", where)],
    )  # fmt: skip


@migrate.command()
@click.argument("files", metavar="[FILE]...", type=_FILE, nargs=-1)
@directory_option
@_root_option
@dry_run_option
@output_options
@click.pass_obj
def server(
    app: App, files: tuple[Path, ...], directory: Path | None, root: Path | None, dry_run: bool
) -> None:
    """Make server.toml of a Chef Push Jobs server's FILEs; `server init` goes on from there.

    FILEs are opscode-push-jobs-server.rb, chef-server-running.json and private-chef-secrets.json;
    without any they are looked for in /etc/opscode-push-jobs-server and /etc/opscode. The first
    is Ruby, and is read without being run. No key and no password is copied.

    \b
    Examples:
      pushcli migrate server --dry-run
      pushcli migrate server opscode-push-jobs-server.rb chef-server-running.json
    """
    import msgspec

    from pushcli.errors import ConfigError
    from pushcli.migration import finding, reading, writing
    from pushcli.migration import server as migration
    from pushcli_server import settings

    system, _ = _system(files[0] if files else None, root)
    paths = [os.path.abspath(file) for file in files]  # noqa: PTH100
    found = reading.server_files(system, paths or list(system.there(finding.SERVER)), app.env)
    draft = migration.draft(
        found.statements, file=found.ruby, running=found.running, secrets=found.secrets,
    )  # fmt: skip
    source = ", ".join(str(system.place(path)) for path in found.paths)
    try:
        made = msgspec.convert(draft.settings, settings.Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}".replace("`", ""), "fix it there") from error
    place = place_of(directory)
    text = settings.render(settings.check(made, source))
    where = "" if place == place_of(None) else f" --dir {shlex.quote(str(place))}"
    writing.carry_out(
        app, [writing.NewFile(path=place / settings.FILE, content=text)], draft.remarks,
        source=source, dry_run=dry_run,
        then=[*_making(made, place, where), *_as_service("server", where, _STOP)],
    )  # fmt: skip


@migrate.command()
@click.argument("file", type=_FILE, required=False)
@click.option("--name", metavar="NAME", default="", help="Profile to make of FILE.")
@dry_run_option
@output_options
@click.pass_obj
def workstation(app: App, file: Path | None, name: str, dry_run: bool) -> None:
    """Make profiles of knife's FILE, and of ~/.chef/credentials.

    Without FILE it is what knife reads: config.rb or knife.rb in $KNIFE_HOME, in .chef here or
    above, or in ~/.chef; and ~/.chef/credentials. Ruby is read without being run. No key is
    copied: profiles say where it lies.

    \b
    Examples:
      pushcli migrate workstation --dry-run
      pushcli migrate workstation ~/.chef/knife.rb --name acme
    """
    from pushcli.migration import knife, writing
    from pushcli.migration.finding import System
    from pushcli.migration.reading import authorities

    home = Path(app.env.get("HOME") or Path.home())
    target = app.options.config or home / ".pushcli" / "credentials"
    found = knife.read(System(None), file, home, app.env, name)
    trusted, remarks = authorities(System(None), found.draft.trust)
    files, more = knife.additions(target, found.draft.profiles, trusted)
    writing.carry_out(
        app, [*files, *more], [*found.draft.remarks, *remarks],
        source=", ".join(found.paths), dry_run=dry_run, then=["pushcli node status"],
    )  # fmt: skip


migrate.add_command(history)
migrate.add_command(identities)


def _system(file: Path | None, root: Path | None) -> tuple[Any, str | None]:
    """Whose files are read, and the whole path of the one that was given."""
    from pushcli.errors import UsageError
    from pushcli.migration.finding import System

    if file is not None and root is not None:
        raise UsageError("--root is for finding FILE", "give one of them")
    return System(root), None if file is None else os.path.abspath(file)  # noqa: PTH100


def _making(made: "Settings", place: Path, where: str) -> list[str]:
    """Commands that make a server of its settings."""
    if made.identity != "chef":
        return [f"pushcli server init --org ORG --admin USER --no-tls{where}"]
    key = PurePosixPath(made.chef_key)
    if os.geteuid() != 0 or not key.is_absolute():
        return [f"pushcli server init --no-tls{where}"]
    # The service is of a user of its own, who may read nothing of Chef's.
    return [
        f"pushcli server init --no-tls --set chef_key={key.name}{where}",
        f"cp {key} {shlex.quote(str(place))}",
    ]


def _as_service(part: str, where: str, *before: str) -> list[str]:
    """Commands that start it: as a service where root asks, for only root installs one.

    Args:
        before: commands that must be run before it starts.
    """
    if os.geteuid() != 0:
        return [*before, f"pushcli {part} start{where}"]
    return [f"pushcli {part} install{where}", *before, f"systemctl enable --now pushcli-{part}"]


def _require_loadable(text: str, source: str) -> None:
    """Have the agent read it, as it will."""
    import tempfile

    from pushcli.errors import ConfigError
    from pushcli_agent import config

    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / config.FILE
        file.write_text(text, encoding="utf-8")
        try:
            config.load(file, config.Overrides())
        except ConfigError as error:
            error.message = error.message.replace(str(file), source)
            raise
