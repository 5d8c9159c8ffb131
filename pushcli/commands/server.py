"""`pushcli server`: set up and run a server."""
# ruff: noqa: PLC0415

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pushcli.commands.server_backup import backup, restore
from pushcli.commands.server_chef import forget_identities, use_chef, use_own
from pushcli.commands.server_database import list_servers, to_postgresql
from pushcli.commands.server_install import install
from pushcli.commands.server_join import join
from pushcli.commands.server_place import become_owner, directory_option, place_of
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import output_options
from pushcli.terminal.params import Duration

if TYPE_CHECKING:
    from pushcli_server.init import Made
    from pushcli_server.settings import Settings


@click.group(cls=CommandGroup)
@output_options
def server() -> None:
    """Set up and run a server."""


@server.command()
@directory_option
@click.option("--org", metavar="ORG", help="Name of the organization to make.")
@click.option("--admin", metavar="USER", help="Its first user, an administrator.")
@click.option(
    "--server-name",
    metavar="NAME",
    help="Name or address that agents and operators reach the server by (default: 127.0.0.1).",
)
@click.option(
    "--tls/--no-tls",
    "with_tls",
    default=None,
    help="Make a self-signed certificate (default: unless the server's name is loopback).",
)
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of server.toml; may be repeated.",
)
@click.option("--profile", metavar="NAME", help="Profile to add to ~/.pushcli/credentials.")
@click.option(
    "--validator/--no-validator",
    "with_validator",
    default=True,
    help="Make a key that enrolls any number of nodes, as Chef does (default); without it, "
    "nodes enroll with tokens.",
)
@output_options
@click.pass_obj
def init(
    app: App,
    directory: Path | None,
    org: str | None,
    admin: str | None,
    server_name: str | None,
    with_tls: bool | None,
    values: tuple[str, ...],
    profile: str | None,
    with_validator: bool,
) -> None:
    """Make a server: its directory, keys, database, organization and first user.

    With --set identity=chef these two are on a Chef Infra Server, and neither is made.

    Example: pushcli server init --org acme --admin ann
    """
    from pushcli.client.credentials import add_profile, require_writable
    from pushcli_server import settings
    from pushcli_server.init import (
        bring_up_to_date,
        create,
        create_beside_chef,
        holds_server,
        is_prepared,
        require_room,
    )

    place = place_of(directory)
    if holds_server(place):
        become_owner(place)
        bring_up_to_date(place, org)
        if app.is_text:
            app.print(f"{place} already holds a server: nothing was changed")
        else:
            app.emit({"directory": str(place), "created": False})
        return
    config = settings.load(place) if is_prepared(place) else settings.Settings()
    changes = [*values, *([f"server_name={server_name}"] if server_name else [])]
    if changes:
        config = settings.with_values(config, changes, "--set")
    beside_chef = config.identity == "chef"
    _require_names(org, admin, beside_chef=beside_chef)
    require_room(place, org=org, admin=admin)
    tls = with_tls if with_tls is not None else _needs_tls(config)
    if org is None or admin is None:
        fingerprint = create_beside_chef(place, config=config, with_tls=tls)
        _print_beside_chef(app, place, config.api_url, fingerprint)
        return
    credentials = Path.home() / ".pushcli" / "credentials"
    require_writable(credentials)
    made = create(
        place,
        org=org,
        admin=admin,
        config=config,
        with_tls=tls,
        with_validator=with_validator,
    )
    names = [profile] if profile else ["default", org]
    own = _profile_values(admin, made)
    added = next((name for name in names if add_profile(credentials, name, own)), None)
    if app.is_text:
        _print_made(app, made, credentials, added, own)
    else:
        app.emit(_facts(made, added))


@server.command()
@directory_option
@click.option(
    "--stand-by",
    is_flag=True,
    help="While another server works with the PostgreSQL database, wait and take its place.",
)
@output_options
def start(directory: Path | None, stand_by: bool) -> None:
    """Run the server in the foreground, until SIGTERM or Ctrl-C.

    Example: pushcli server start --dir /var/lib/pushcli/server
    """
    from pushcli_server.server import main

    place = place_of(directory)
    become_owner(place)
    main(place, stands_by=stand_by)


@server.command("rotate-keys")
@directory_option
@click.option(
    "--overlap",
    type=Duration(longest="30d"),
    metavar="DURATION",
    help="How long the previous secrets stay valid, such as 2h (default: twice the lifetime of an "
    "agent's configuration).",
)
@click.option("--now", "at_once", is_flag=True, help="End the previous secrets at once.")
@output_options
@click.pass_obj
def rotate_keys(app: App, directory: Path | None, overlap: float | None, at_once: bool) -> None:
    """Make new secrets for the server: the keys of heartbeats, command channel and sessions.

    A running server picks them up within seconds, and accepts the new and the previous ones
    until the overlap is over; agents change over by themselves, and jobs go on. With
    --now, for stolen secrets, every agent reconnects within seconds.

    \b
    Examples:
      pushcli server rotate-keys
      pushcli server rotate-keys --dir /var/lib/pushcli/server --now
    """
    from pushcli import durations
    from pushcli.errors import UsageError
    from pushcli.protocol.timestamps import format_iso8601
    from pushcli_server import rotation, settings

    if at_once and overlap:
        raise UsageError("--now leaves no overlap", "give one of --now and --overlap")
    place = place_of(directory)
    config = settings.load(place)
    lifetime = config.lifetime
    span = 0.0 if at_once else 2.0 * lifetime if overlap is None else overlap
    become_owner(place)
    until = rotation.rotate(place, span)
    if not app.is_text:
        app.emit(
            {"directory": str(place / "secrets"),
             "previous_until": None if until is None else format_iso8601(until)}
        )  # fmt: skip
        return
    app.print(f"Made new secrets in {place}/secrets")
    if until is None:
        app.print("The previous ones are no longer valid; a running server notices within seconds")
    else:
        app.print(
            f"The previous ones stay valid until {durations.local(until)}; a running server "
            "takes up the new ones within seconds"
        )
        if span < lifetime:
            app.print(
                f"Agents fetch their configuration every {durations.words(lifetime)}: some will "
                "have to reconnect when the previous ones end"
            )
    if config.database_url.startswith("postgres"):
        app.remark("On a machine that stands ready: pushcli server join --refresh")


@server.command()
@directory_option
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@output_options
@click.pass_obj
def prune(app: App, directory: Path | None, dry_run: bool) -> None:
    """Delete jobs, output and lines of the audit trail that are too old, or too many.

    How long they are kept is set in server.toml. A running server does this by itself, every
    minute; there, only --dry-run is of use.

    Where the newest records are more than a week old it asks whether the clock is right.

    \b
    Examples:
      pushcli server prune --dry-run
      pushcli server prune --dir /var/lib/pushcli/server
    """
    import msgspec

    from pushcli.terminal.asking import agrees
    from pushcli_server import prune as pruning

    place = place_of(directory)
    become_owner(place)
    if not dry_run:
        pruning.require_stopped(place)
    days = pruning.doubt(place)
    if days is not None and not dry_run:
        question = f"The records end {days:,.0f} days before this machine's clock. Delete by it?"
        if not agrees(app, question):
            return
    due = pruning.due(place) if dry_run else pruning.prune(place)
    if days is not None and dry_run:
        app.note(
            f"the records end {days:,.0f} days before this machine's clock: a server that is "
            "started now waits a day before it deletes anything for its age"
        )
    if not app.is_text:
        app.emit({"dry_run": dry_run, **msgspec.structs.asdict(due)})
        return
    app.print(
        f"{'Would delete' if dry_run else 'Deleted'} {due.jobs:,} jobs, the output of "
        f"{due.outputs:,} jobs ({due.output_bytes:,} bytes at most), and {due.audit:,} lines of "
        "the audit trail"
    )


def _needs_tls(config: "Settings") -> bool:
    from pushcli.tls import is_loopback_host

    return not config.tls and not is_loopback_host(config.server_name)


def _require_names(org: str | None, admin: str | None, *, beside_chef: bool) -> None:
    from pushcli.errors import UsageError

    if beside_chef and (org or admin):
        raise UsageError(
            "organizations and users are on the Chef Infra Server", "leave out --org and --admin"
        )
    if not beside_chef and not (org and admin):
        raise UsageError(f"no {'--admin' if org else '--org'} given", "give --org and --admin")


def _print_beside_chef(app: App, place: Path, url: str, fingerprint: str | None) -> None:
    if not app.is_text:
        made = {"directory": str(place), "created": True, "url": url, "fingerprint": fingerprint}
        app.emit(made)
        return
    app.print(f"Made a server in {place} for {url}, whose users are on the Chef Infra Server")
    if fingerprint:
        app.print(f"Certificate fingerprint: {fingerprint}")
    where = "" if place == place_of(None) else f" --dir {shlex.quote(str(place))}"
    app.print(f"\nStart it:\n  pushcli server start{where}")


def _profile_values(admin: str, made: "Made") -> dict[str, str]:
    values = {
        "client_name": admin,
        "client_key": str(made.admin_key.absolute()),
        "chef_server_url": made.url,
    }
    if made.fingerprint is not None:
        values["fingerprint"] = made.fingerprint
    return values


def _facts(made: "Made", profile: str | None) -> dict[str, object]:
    return {
        "directory": str(made.directory),
        "created": True,
        "url": made.url,
        "fingerprint": made.fingerprint,
        "admin_key": str(made.admin_key),
        "validator_key": None if made.validator_key is None else str(made.validator_key),
        "profile": profile,
        "token": made.token,
    }


def _print_made(
    app: App, made: "Made", credentials: Path, profile: str | None, values: dict[str, str]
) -> None:
    from pushcli.terminal.pasting import adding_profile

    app.print(f"Made a server in {made.directory} for {made.url}")
    if made.fingerprint:
        app.print(f"Certificate fingerprint: {made.fingerprint}")
    app.print(f"Your key: {made.admin_key}")
    if made.validator_key:
        app.print(f"Key for enrolling nodes: {made.validator_key}")
    if profile:
        app.print(f"Added profile {profile!r} to {credentials}")
    else:
        app.print(f"{credentials} already has such profiles: none was added")
    there = {**values, "client_key": Path(values["client_key"]).name}
    place = "" if made.directory == place_of(None) else f" --dir {shlex.quote(str(made.directory))}"
    as_admin = "pushcli" if profile == "default" else f"pushcli --profile {profile or 'NAME'}"
    pin = f" \\\n    --fingerprint {made.fingerprint}" if made.fingerprint else ""
    app.print(
        f"\nStart it:\n  pushcli server start{place}\n"
        f"\nEnroll a node, on the node (its token works once, within 24 h; another one: "
        f"`{as_admin} node token create`):\n"
        f"  PUSHCLI_ENROLL_TOKEN={made.token} \\\n"
        f'    pushcli agent enroll --node-name "$(hostname)" \\\n'
        f"    --server {made.url}{pin}\n"
        f"\nWork from another machine: copy your key there, and run beside it:\n"
        f"  {adding_profile(there)}\n"
        "\nLet a colleague in (the pipe makes their profile; they may do nothing yet):\n"
        f"  {as_admin} user create bob --print-profile -u pivotal \\\n"
        f"    -k {shlex.quote(str(made.directory / 'keys' / 'pivotal.pem'))} | "
        "ssh bob@desk pushcli config add-profile\n"
        f"  {as_admin} group add pushy_job_writers --user bob"
    )


server.add_command(install)
server.add_command(backup)
server.add_command(restore)
server.add_command(to_postgresql)
server.add_command(join)
server.add_command(list_servers)
server.add_command(forget_identities)
server.add_command(use_chef)
server.add_command(use_own)
