"""`pushcli migrate history`."""
# ruff: noqa: PLC0415

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pushcli.commands.installing import dry_run_option
from pushcli.commands.migrate_progress import progress
from pushcli.commands.server_place import become_owner, directory_option, place_of
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options

if TYPE_CHECKING:
    from pushcli_server.importing.history import Found
    from pushcli_server.importing.source import Source
    from pushcli_server.settings import Settings

_DATABASE = ("postgresql://", "postgres://")


@click.command(cls=Command)
@click.argument("source")
@directory_option
@click.option(
    "--organization",
    "organizations",
    multiple=True,
    metavar="ID=NAME",
    help="Name of the organization that the old database knows by this id (32 hex digits; "
    "`knife org show NAME -a guid`); may be repeated. Needless where server.toml has "
    'identity = "chef": that server is asked.',
)
@dry_run_option
@operator_options
@click.pass_obj
def history(
    app: App, source: str, directory: Path | None, organizations: tuple[str, ...], dry_run: bool
) -> None:
    """Take over the jobs of a Chef Push Jobs server: their nodes' states and their output.

    SOURCE is its database, postgresql://USER@HOST/opscode_pushy (the password in PGPASSWORD or
    ~/.pgpass), or for one organization its REST API, https://HOST/organizations/ORG, asked as
    the profile, -u and -k say. It is only read. Stop our server first; --dry-run needs no stop.

    Jobs that are here already stay as they are: run it again to go on after an interruption.
    What the old server never stored stays unknown: who started a job, exit codes, events.

    \b
    Examples:
      pushcli migrate history postgresql://ro@127.0.0.1/opscode_pushy --dry-run
      pushcli migrate history https://chef.example.com/organizations/acme -u ann
    """
    from contextlib import closing

    from pushcli.terminal.asking import agrees
    from pushcli_server import settings
    from pushcli_server.importing import history as importing

    names = _given(organizations)
    place = place_of(directory)
    # What root may read, such as his keys, the server's user may not.
    config = settings.load(place)
    opened, own = _opened(app, source)
    with closing(opened):
        names = {**own, **names, **_of_chef(config, place, source, names)}
        become_owner(place)
        if not dry_run:
            importing.require_stopped(place, asks_old=not source.startswith(_DATABASE))
        if dry_run or not app.options.yes:
            found = _looked_at(app, importing.survey, place, opened, names, writes=False)
            _show(app, opened.name, found, place, "Would import" if dry_run else "Found")
            if dry_run:
                _emit(app, opened.name, found, place, dry_run=True)
                return
            if found.jobs and not agrees(app, f"Import {found.jobs:,} jobs into {place}?"):
                return
        found = _looked_at(app, importing.bring_in, place, opened, names, writes=True)
        _show(app, opened.name, found, place, "Imported")
        _emit(app, opened.name, found, place, dry_run=False)


def _given(organizations: tuple[str, ...]) -> dict[str, str]:
    from pushcli.errors import UsageError
    from pushcli.protocol.names import is_job_id, is_organization_name

    found: dict[str, str] = {}
    for pair in organizations:
        guid, _, name = pair.partition("=")
        if not is_job_id(guid) or not is_organization_name(name):
            raise UsageError(
                f"--organization {pair}: not ID=NAME", "give 32 hex digits, =, and a name"
            )
        found[guid] = name
    return found


def _opened(app: App, source: str) -> tuple["Source", dict[str, str]]:
    """Where jobs come from, and the names of organizations that it says itself."""
    from dataclasses import replace

    from pushcli.errors import UsageError
    from pushcli.protocol.names import is_organization_name

    if source.startswith(_DATABASE):
        from pushcli_server.store.original import OriginalDatabase

        return OriginalDatabase(source), {}
    org = source.rstrip("/").rpartition("/organizations/")[2]
    if not source.startswith(("https://", "http://")) or not is_organization_name(org):
        raise UsageError(
            "SOURCE is neither a database nor a server's URL",
            "give postgresql://USER@HOST/NAME or https://HOST/organizations/ORG",
        )
    from pushcli_server.importing.original_rest import OriginalRest

    app.options = replace(app.options, server_url=source)
    return OriginalRest(app.client, source, org), {org: org}


def _of_chef(
    config: "Settings", place: Path, source: str, known: Mapping[str, str]
) -> dict[str, str]:
    """Names of organizations as our server's Chef Infra Server has them."""
    if known or config.identity != "chef" or not source.startswith(_DATABASE):
        return {}
    from pushcli.client.api import ApiClient
    from pushcli.client.credentials import Profile
    from pushcli_server.importing.chef_organizations import names_by_id

    profile = Profile(
        name="server.toml",
        chef_server_url=config.chef_server_url.rstrip("/"),
        client_name=config.chef_user,
        client_key=str(place / config.chef_key),
        ca_file=place / config.chef_ca_file if config.chef_ca_file else None,
        fingerprint=config.chef_fingerprint or None,
        identity_remedy="check chef_user and chef_key in server.toml",
        trust_remedy="check chef_ca_file or chef_fingerprint in server.toml",
    )
    client = ApiClient(profile)
    try:
        return names_by_id(client)
    finally:
        client.close()


def _looked_at(
    app: App, run: Callable[..., "Found"], place: Path, opened: "Source",
    names: Mapping[str, str], *, writes: bool,
) -> "Found":  # fmt: skip
    with progress(app, writes=writes) as looked_at:
        return run(place, opened, names, partial(looked_at, "jobs"))


def _show(app: App, source: str, found: "Found", place: Path, verb: str) -> None:
    if not app.is_text:
        return
    from pushcli.escape import escape_line
    from pushcli.terminal.table import print_folded

    app.print(escape_line(f"From {source}:"))
    of = f" of {', '.join(sorted(found.organizations)[:10])}" if found.organizations else ""
    captured = f"output of {found.captured:,} of them"
    if verb == "Imported":
        captured = f"{found.output_bytes:,} bytes of output of {found.outputs:,} of these"
    said = [
        f"{verb} {found.jobs:,} jobs{of}, with the states of {found.nodes:,} nodes, and {captured}"
    ]
    if found.there:
        said.append(f"{found.there:,} jobs are in {place} already")
    if found.left_out:
        said.append(f"{found.left_out:,} jobs left out")
    if found.expired:
        said.append(f"{found.expired:,} jobs are older than job_retention: the server deletes them")
    for line in said:
        print_folded(app, line, indent=2)
    app.print("")
    for count in found.tally.counts:
        print_folded(app, str(count))
    print_folded(app, "note: who started them, exit codes and events were never stored: unknown")


def _emit(app: App, source: str, found: "Found", place: Path, *, dry_run: bool) -> None:
    if app.is_text:
        return
    import msgspec

    app.emit(
        {
            "source": source, "directory": str(place), "dry_run": dry_run,
            "jobs": found.jobs, "there": found.there, "left_out": found.left_out,
            "nodes": found.nodes, "outputs": found.outputs, "output_bytes": found.output_bytes,
            "expired": found.expired, "organizations": sorted(found.organizations),
            "remarks": [msgspec.structs.asdict(count) for count in found.tally.counts],
        }
    )  # fmt: skip
