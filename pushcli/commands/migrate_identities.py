"""`pushcli migrate identities`."""
# ruff: noqa: PLC0415

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
    from pushcli_server.importing.identities import Found

_LARGEST = 64 * 1024 * 1024
"""Bytes of an answer."""
_STAYS = (
    "passwords, invitations, rights on single objects (ACLs), cookbooks, roles, environments, "
    "policies, data bags: no counterpart here"
)


@click.command(cls=Command)
@click.argument("url")
@directory_option
@dry_run_option
@operator_options
@click.pass_obj
def identities(app: App, url: str, directory: Path | None, dry_run: bool) -> None:
    """Take over users, clients, keys, groups and nodes from a Chef Infra Server.

    For whoever leaves Chef. URL is that of an organization, which must be on our server under the
    same name; it is asked as the profile, -u and -k say, best as pivotal. It is only read. Stop
    our server first; --dry-run needs no stop.

    Nothing is overwritten: what is here under the same name and is not the same is listed, and
    stays out of groups. Run it again to go on after an interruption.

    \b
    Examples:
      pushcli migrate identities https://chef.x.com/organizations/acme --dry-run
      pushcli migrate identities https://chef.x.com/organizations/acme -u pivotal
    """
    import time
    from contextlib import closing
    from dataclasses import replace

    from pushcli.client.api import ApiClient
    from pushcli.client.limits import Limits
    from pushcli.errors import UsageError
    from pushcli.protocol.names import is_organization_name
    from pushcli.terminal.asking import agrees
    from pushcli.terminal.context import profile_of
    from pushcli_server.importing import identities as importing
    from pushcli_server.importing.chef_directory import Directory

    org = url.rstrip("/").rpartition("/organizations/")[2]
    if not url.startswith(("https://", "http://")) or not is_organization_name(org):
        raise UsageError("URL is not an organization's", "give https://HOST/organizations/ORG")
    place = place_of(directory)
    # What root may read, such as his keys, the server's user may not.
    profile = profile_of(replace(app.options, server_url=url), app.env)
    with closing(ApiClient(profile, limits=Limits(size=_LARGEST))) as client:
        become_owner(place)
        importing.require_ready(place, stopped=not dry_run)
        source = Directory(client, org, time.time())
        if dry_run or not app.options.yes:
            with progress(app, writes=False) as looked_at:
                found = importing.run(place, source, org, looked_at, write=False)
            _show(app, url, found, "Would take over")
            if dry_run:
                _emit(app, url, found, place, dry_run=True)
                return
            if not found.is_empty and not agrees(app, f"Take this over into {place}?"):
                return
        with progress(app, writes=True) as looked_at:
            found = importing.run(place, source, org, looked_at, write=True)
        _show(app, url, found, "Took over")
        _emit(app, url, found, place, dry_run=False)


def _show(app: App, url: str, found: "Found", verb: str) -> None:
    if not app.is_text:
        return
    from pushcli.escape import escape_line
    from pushcli.terminal.table import print_folded

    app.print(escape_line(f"From {url}:"))
    new = ", ".join(f"{part.new:,} {kind}" for kind, part in found.parts.items())
    took = f"{verb} {new}; {found.keys:,} keys, {found.members:,} members of groups"
    print_folded(app, took, indent=2)
    there = ", ".join(f"{part.there:,} {kind}" for kind, part in found.parts.items() if part.there)
    if there:
        app.print(f"  The same here already: {there}")
    app.print("")
    for count in found.tally.counts:
        print_folded(app, str(count))
    print_folded(app, f"note: {_STAYS}")


def _emit(app: App, url: str, found: "Found", place: Path, *, dry_run: bool) -> None:
    if app.is_text:
        return
    import msgspec

    app.emit(
        {
            "source": url, "directory": str(place), "dry_run": dry_run,
            **{kind: msgspec.structs.asdict(part) for kind, part in found.parts.items()},
            "keys": found.keys, "members": found.members,
            "remarks": [msgspec.structs.asdict(count) for count in found.tally.counts],
        }
    )  # fmt: skip
