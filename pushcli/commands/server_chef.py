"""`pushcli server`: beside a Chef Infra Server."""
# ruff: noqa: PLC0415

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pushcli.commands.server_chef_whitelists import lines, losing, report
from pushcli.commands.server_place import become_owner, directory_option, place_of
from pushcli.exit_status import ExitStatus
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import output_options

if TYPE_CHECKING:
    from pushcli_server.chef.comparing import Comparison, Who
    from pushcli_server.chef.copying import Counterpart


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


@click.command("use-chef", cls=Command)
@directory_option
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of server.toml that begins with chef_; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change for whom.")
@click.option(
    "--force",
    is_flag=True,
    help="Also where nobody who may start jobs or administrate here may do so there.",
)
@click.option(
    "--copy-whitelists",
    is_flag=True,
    help="Put whitelist entries, with their signatures, into the node objects there.",
)
@output_options
@click.pass_obj
def use_chef(
    app: App,
    directory: Path | None,
    values: tuple[str, ...],
    dry_run: bool,
    force: bool,
    copy_whitelists: bool,
) -> ExitStatus:
    """Go by the users, clients and groups of a Chef Infra Server, and no longer by your own.

    Shows who of this server is missing there, whose keys differ, and who loses what groups allow,
    asks, and sets identity = "chef" in server.toml. Jobs, output and signed whitelist entries stay,
    and so do this server's users, clients and groups, for `pushcli server use-own`. Stop the
    server first, but for --dry-run.

    From then on whitelists are those of the node objects there. What is only here is shown, and put
    there with --copy-whitelists, also afterwards; nothing that is there is overwritten.

    \b
    Examples:
      pushcli server use-chef --dry-run \\
        --set chef_server_url=https://chef.example.com \\
        --set chef_key=/etc/opscode/pivotal.pem
    """
    from pushcli.errors import ConfigError
    from pushcli.terminal.asking import agrees
    from pushcli_server import settings
    from pushcli_server.chef import copying, moving

    place = place_of(directory)
    become_owner(place)
    config = moving.chef_settings(place, values)
    own = moving.own(config, place)
    is_done = settings.load(place) == config and (own.allows_chef or not own.has_users)
    if not (dry_run or is_done):
        moving.require_stopped(place)
    with _before_any_change(app):
        found = [] if is_done else moving.comparisons(config, place, own.sides)
        ours = copying.own_whitelists(config, place) if copy_whitelists or not is_done else {}
        absent = {one.organization for one in found if not one.exists}
        counterparts = looked = copying.look(config, place, ours, absent)
    answer = {"directory": str(place), "url": config.chef_server_url, "dry_run": dry_run}
    if app.is_text:
        _print_comparisons(app, config.chef_server_url, found, counterparts)
    locked_out = [one for one in found if one.locks_out]
    if locked_out and not force:
        who = "; ".join(f"{_named(one.lost)} in {one.organization}" for one in locked_out)
        refusal = f"nobody would be left who may start jobs or administrate: {who}"
        remedy = "add one of them to a group there, or give --force"
        if not dry_run:
            raise ConfigError(refusal, remedy)
        app.note(f"{refusal}: {remedy}")
    changes = not (dry_run or is_done)
    copies = sum(map(len, copying.to_write(looked).values())) if copy_whitelists else 0
    if not dry_run and (changes or copies):
        if not agrees(app, _question(config.chef_server_url, looked, copies, changes=changes)):
            return ExitStatus.OK
        if changes:
            # It may have been started while the question stood.
            moving.require_stopped(place)
        if copies:
            counterparts = copying.copy(config, place, ours, looked)
            _print_copied(app, looked, counterparts)
    if changes:
        moving.use_chef(place, config, own.sides)
        if lost := losing(counterparts):
            app.note(f"{_entries_of(lost)} are not in force there as they were here")
    if not app.is_text:
        organizations = [_comparison(one) for one in found]
        said = [report(org, one) for org, one in counterparts.items()]
        app.emit({**answer, "changed": changes, "organizations": organizations, "whitelists": said})
    elif is_done and not copies:
        app.print(f"{place} goes by {config.chef_server_url} already: nothing was changed")
    elif changes:
        app.print(f"Set identity to chef in {place / settings.FILE}; the way back is use-own")
    failed = copy_whitelists and not dry_run and any(one.failed for one in counterparts.values())
    return ExitStatus.NOT_IN_FORCE if failed else ExitStatus.OK


@contextmanager
def _before_any_change(app: App) -> Iterator[None]:
    """Whoever interrupts is told that nothing was changed."""
    try:
        yield
    except KeyboardInterrupt:
        app.note("INTERRUPTED: nothing was changed")
        raise


def _question(url: str, looked: Mapping[str, "Counterpart"], copies: int, *, changes: bool) -> str:
    """On a line of 80 columns, but for a long URL."""
    if copies:
        return f"Put {_entries_of(copies)} there" + (", and go by its users?" if changes else "?")
    if changes and (lost := losing(looked)):
        return f"{_entries_of(lost)} will not be in force there. Go by its users?"
    return f"Go by the users, clients and groups of {url}?" if changes else ""


def _entries_of(nodes: int) -> str:
    return f"whitelist entries of {nodes:,} node{'s' if nodes > 1 else ''}"


def _print_copied(
    app: App, looked: Mapping[str, "Counterpart"], counterparts: Mapping[str, "Counterpart"]
) -> None:
    from pushcli.escape import escape_line
    from pushcli.terminal.folding import fold

    for org, one in counterparts.items():
        if app.is_text and one.copied:
            app.print(f"Put whitelist entries of {org} into {fold(one.copied)}")
        for node, why in one.failed.items():
            if node not in looked[org].failed:
                app.note(escape_line(f"nothing was put into {node}: {why}"))


@click.command("use-own", cls=Command)
@directory_option
@click.option("--dry-run", is_flag=True, help="Only show who would count again.")
@output_options
@click.pass_obj
def use_own(app: App, directory: Path | None, dry_run: bool) -> None:
    """Go by this server's own users, clients and groups again: the way back from use-chef.

    They are as they were. The chef_ settings in server.toml become comments. Nodes that
    registered with the Chef Infra Server meanwhile have no key here. Stop the server first, but
    for --dry-run.

    \b
    Examples:
      pushcli server use-own --dry-run
      pushcli server use-own --dir /var/lib/pushcli/server
    """
    from pushcli.errors import ConfigError
    from pushcli.terminal.asking import agrees
    from pushcli.terminal.folding import fold
    from pushcli_server import settings
    from pushcli_server.chef import moving

    place = place_of(directory)
    become_owner(place)
    if not dry_run:
        moving.require_stopped(place)
    config = settings.load(place)
    own = moving.own(config, place)
    if not own.has_users:
        raise ConfigError(
            f"the server in {place} has no users of its own",
            "make another one with `pushcli server init --org ORG --admin USER`",
        )
    is_done = config.identity == "own" and not own.allows_chef
    changes = not (dry_run or is_done)
    if app.is_text and not is_done:
        for org, side in own.sides.items():
            app.print(f"Counting again in {org}: {_named(sorted(side.keys))}")
        if own.keyless:
            app.print(f"Without a key here, until they are enrolled again: {fold(own.keyless)}")
    if changes:
        if not agrees(app, "Go by this server's own users, clients and groups again?"):
            return
        moving.use_own(place, own.sides)
    if not app.is_text:
        organizations = [
            {"name": org, "again": _people(sorted(side.keys))} for org, side in own.sides.items()
        ]
        app.emit(
            {"directory": str(place), "dry_run": dry_run, "changed": changes,
             "organizations": organizations, "keyless": own.keyless}
        )  # fmt: skip
    elif is_done:
        app.print(f"{place} goes by its own already: nothing was changed")
    elif changes:
        app.print(f"Set identity to own in {place / settings.FILE}")


def _print_comparisons(
    app: App, url: str, found: Sequence["Comparison"], counterparts: Mapping[str, "Counterpart"]
) -> None:
    people = {one.organization: one for one in found}
    for org in sorted({*people, *counterparts}):
        said = [*_lines(people[org])] if org in people else []
        said += lines(counterparts[org]) if org in counterparts else []
        if not said:
            continue
        app.print(f"{org} on {url}:")
        for line in said:
            app.print(f"  {line}")
        app.print("")


def _lines(one: "Comparison") -> Iterator[str]:

    if not one.exists:
        yield "there is no such organization"
    elif one.is_same:
        yield "everybody is there, with the same keys and in the same groups"
    if one.exists and one.missing:
        yield f"missing: {_named(one.missing)}"
    for other in one.other_keys:
        yield f"other keys: {other.who.kind} {other.who.name}"
        for where, fingerprints in (("here", other.here), ("there", other.there)):
            if fingerprints:
                yield f"  only {where}: {' '.join(fingerprints)}"
    for group in dict.fromkeys(one.group for one in one.outside):
        outside = [each.who for each in one.outside if each.group == group]
        yield f"not in {group} there: {_named(outside)}"
    if one.kept:
        yield f"may still start jobs or administrate: {_named(one.kept)}"
    if one.lost:
        yield f"may no longer start jobs or administrate: {_named(one.lost)}"


def _named(some: Sequence["Who"]) -> str:
    """Users and clients, those of a kind together."""
    from pushcli.terminal.folding import fold

    kinds = {kind: [who.name for who in some if who.kind == kind] for kind in ("user", "client")}
    return "; ".join(
        f"{kind}{'s' if len(names) > 1 else ''} {fold(names)}"
        for kind, names in kinds.items()
        if names
    )


def _people(some: Sequence["Who"]) -> list[dict[str, str]]:
    return [{"kind": who.kind, "name": who.name} for who in some]


def _comparison(one: "Comparison") -> dict[str, object]:
    return {
        "name": one.organization, "exists": one.exists, "missing": _people(one.missing),
        "other_keys": [
            {"kind": other.who.kind, "name": other.who.name, "here": other.here,
             "there": other.there}
            for other in one.other_keys
        ],
        "outside": [
            {"group": each.group, "kind": each.who.kind, "name": each.who.name}
            for each in one.outside
        ],
        "kept": _people(one.kept), "lost": _people(one.lost),
    }  # fmt: skip
