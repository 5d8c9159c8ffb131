"""`pushcli server backup` and `restore`."""
# ruff: noqa: PLC0415

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from pushcli.commands.server_place import become_owner, directory_option, place_of
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import output_options


@click.command(cls=Command)
@click.argument("target", type=click.Path(path_type=Path))
@directory_option
@output_options
@click.pass_obj
def backup(app: App, target: Path, directory: Path | None) -> None:
    """Write the server, with its keys, database and output, into the new file TARGET.

    The server may run meanwhile. The file holds the server's secrets: whoever reads it can be the
    server. TARGET may be - for standard output.

    \b
    Examples:
      pushcli server backup /backup/pushcli-monday.tar
      pushcli server backup - | zstd | ssh backup@vault 'cat > pushcli.tar.zst'
    """
    from pushcli.errors import ConfigError, UsageError
    from pushcli_server.backup.backup import backup as make
    from pushcli_server.backup.backup import write

    place = place_of(directory)
    if str(target) != "-":
        made = make(place, target.absolute())
    elif sys.stdout is None:
        raise UsageError("standard output is closed", "give a file, or a pipe")
    elif sys.stdout.isatty():
        raise UsageError("a terminal cannot hold a backup", "give a file, or a pipe")
    else:
        try:
            made = write(place, sys.stdout.buffer)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ConfigError(
                f"cannot write the backup: {error.strerror}", "make room for it"
            ) from error
        app.note(f"Backed up {place}: {made.size:,} bytes, {made.outputs} large outputs")
        return
    if app.is_text:
        app.print(f"Backed up {place} to {target}: {made.size:,} bytes")
        app.remark("It holds the server's secrets; put it back with `pushcli server restore`")
    else:
        app.emit(
            {"directory": str(place), "file": str(target.absolute()), "size": made.size,
             "outputs": made.outputs, "made_at": made.made_at}
        )  # fmt: skip


@click.command(cls=Command)
@click.argument("source", type=click.Path(path_type=Path))
@directory_option
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of server.toml to change; may be repeated.",
)
@output_options
@click.pass_obj
def restore(app: App, source: Path, directory: Path | None, values: tuple[str, ...]) -> None:
    """Make the server again of which SOURCE is a backup, in a new directory.

    Stop the server that was backed up first. With --set database_url=... it moves to another
    database, which must be empty. SOURCE may be - for standard input.

    \b
    Examples:
      pushcli server restore /backup/pushcli-monday.tar
      pushcli server restore monday.tar --set database_url=postgresql:///push
    """
    from pushcli import durations
    from pushcli.errors import ConfigError, UsageError
    from pushcli.protocol.timestamps import format_iso8601
    from pushcli_server.backup.restore import restore as put_back

    place = place_of(directory)
    if str(source) == "-" and sys.stdin is None:
        raise UsageError("standard input is closed", "give a file, or a pipe")
    try:
        opened = nullcontext(sys.stdin.buffer) if str(source) == "-" else source.open("rb")
    except OSError as error:
        raise ConfigError(f"cannot read {source}: {error.strerror}", "give another file") from error
    become_owner(place)
    with opened as stream:
        header = put_back(stream, place, values)
    if app.is_text:
        app.print(f"Restored {place} as it was at {durations.local(header.made_at.timestamp())}")
        same = "" if directory is None else f" --dir {place}"
        app.remark(f"Start it: pushcli server start{same}")
    else:
        made_at = format_iso8601(header.made_at.timestamp())
        app.emit({"directory": str(place), "made_at": made_at, "version": header.version})
