"""`pushcli server to-postgresql` and `server list`."""
# ruff: noqa: PLC0415

from pathlib import Path

import click

from pushcli.commands.server_place import become_owner, directory_option, place_of
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import output_options

_SHOWN = ("job", "node", "client", "user")
"""What a person is told of; there is a table of each."""


@click.command("to-postgresql", cls=Command)
@click.argument("database_url", metavar="URL")
@directory_option
@click.option("--dry-run", is_flag=True, help="Only show what would be moved.")
@output_options
@click.pass_obj
def to_postgresql(app: App, database_url: str, directory: Path | None, dry_run: bool) -> None:
    """Have a server with a SQLite file go on with the PostgreSQL database at URL.

    The database must be empty, and the server stopped, but for --dry-run. Jobs and their output,
    nodes, users, keys and the audit trail are copied, and the file is kept under another name. If
    anything fails, the server goes on with its file.

    Others on this machine can see a password in URL: prefer a ~/.pgpass of the server's user.

    \b
    Examples:
      pushcli server to-postgresql --dry-run postgresql:///push
      pushcli server to-postgresql postgresql://push@db.example.com/push
    """
    from pushcli_server.to_postgresql import look, move

    place = place_of(directory)
    become_owner(place)
    moved = look(place, database_url) if dry_run else move(place, database_url)
    if not app.is_text:
        app.emit(
            {"directory": str(place), "database": moved.database, "rows": moved.rows,
             "file": str(moved.file), "kept": str(moved.kept), "lost": moved.lost,
             "dry_run": dry_run}
        )  # fmt: skip
        return
    counts = ((one, moved.rows.get(f"{one}s", 0)) for one in _SHOWN)
    what = ", ".join(f"{count:,} {one}{'' if count == 1 else 's'}" for one, count in counts)
    if dry_run:
        app.print(f"Would move {place} to {moved.database}: {what}")
        app.print(f"{moved.file} would be kept as {moved.kept.name}")
        return
    app.print(f"Moved {place} to {moved.database}: {what}")
    if moved.lost:
        app.note(f"of {moved.lost:,} outputs the files below {place / 'blobs'} could not be read")
    app.print(f"Its file is {moved.kept.name} now: remove it when all is well")
    same = "" if directory is None else f" --dir {place}"
    app.remark(f"Start it: pushcli server start{same}")


@click.command("list", cls=Command)
@directory_option
@output_options
@click.pass_obj
def list_servers(app: App, directory: Path | None) -> None:
    """Show which server works with the PostgreSQL database of this one, which need not run.

    \b
    Examples:
      pushcli server list
      pushcli server list --dir /var/lib/pushcli/server -F json
    """
    from pushcli import durations
    from pushcli_server.members import members

    place = place_of(directory)
    become_owner(place)
    found = members(place)
    if not app.is_text:
        app.emit(
            [
                {"host": one.host, "state": one.state, "since": durations.utc(one.since),
                 "silent_for": one.silent_for}
                for one in found.members
            ]
        )  # fmt: skip
        return
    for one in found.members:
        since = f"since {durations.local(one.since)}"
        match one.state:
            case "works":
                app.print(f"{one.host} works with {found.database} {since}")
            case "silent":
                silent_for = durations.words(one.silent_for or 0.0)
                app.print(
                    f"{one.host} works with {found.database} {since}: silent for {silent_for}"
                )
                app.remark("Whoever stands ready takes its place")
            case "ready":
                app.print(f"{one.host} stands ready {since}")
            case _:
                app.print(f"nobody works with {found.database}: {one.host} did {since}, and ended")
    if not found.members:
        app.print(f"nobody ever worked with {found.database}")
