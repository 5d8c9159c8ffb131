"""Shows what would be written and what is to be said, asks, and writes: never over anything."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pushcli.errors import ConfigError
from pushcli.escape import escape_line, escape_text
from pushcli.migration.settings_read import Remark
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App
from pushcli.terminal.table import print_folded


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be there.

    Args:
        summary: shown instead of what is in it.
    """

    path: Path
    content: str
    summary: str = ""


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is to stand in a file beside what is there.

    Args:
        add: puts it there.
    """

    path: Path
    content: str
    is_there: bool
    add: Callable[[], object]
    summary: str = ""


def carry_out(
    app: App, files: Sequence[NewFile | Addition], remarks: Sequence[Remark], *, source: str,
    dry_run: bool, then: Sequence[str],
) -> None:  # fmt: skip
    """Write files that are not there yet.

    Args:
        source: what they are made of.
        then: commands that are left to do.

    Raises:
        ConfigError: one is there and says something else, or cannot be written.
    """
    missing = [file for file in files if not _is_there(file)]
    _show(app, files, remarks, source)
    written: list[NewFile | Addition] = []
    if missing and not dry_run:
        if not agrees(app, f"Write {_named(missing)}?"):
            return
        for file in missing:
            _write(file)
        written = missing
    if not app.is_text:
        app.emit(
            {
                "source": source, "dry_run": dry_run,
                "files": [
                    {"path": str(file.path), "content": file.content, "written": file in written}
                    for file in files
                ],
                "remarks": [msgspec.structs.asdict(remark) for remark in remarks],
            }
        )  # fmt: skip
        return
    if missing:
        app.print(escape_line(f"{'Would write' if dry_run else 'Wrote'} {_named(missing)}"))
    else:
        app.print(escape_line(f"{_named(files)}: there already: nothing was changed"))
    if not dry_run:
        app.print("\nThen:")
        for command in then:
            app.print(f"  {escape_line(command)}")


def _show(
    app: App, files: Sequence[NewFile | Addition], remarks: Sequence[Remark], source: str
) -> None:
    if not app.is_text:
        return
    app.print(escape_line(f"From {source}"))
    for file in files:
        app.print("\n" + escape_line(f"{file.path}:"))
        shown = file.summary or file.content.rstrip("\n")
        app.print("\n".join(f"  {line}".rstrip() for line in escape_text(shown).split("\n")))
    app.print("")
    for remark in remarks:
        print_folded(app, str(remark))
    if remarks:
        app.print("")


def _named(files: Sequence[NewFile | Addition]) -> str:
    return " and ".join(dict.fromkeys(str(file.path) for file in files))


def _is_there(file: NewFile | Addition) -> bool:
    if isinstance(file, Addition):
        return file.is_there
    try:
        content = file.path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(
            f"cannot read {file.path}: {error.strerror}", "check the path and its permissions"
        ) from error
    if content != file.content.encode():
        raise _in_the_way(file)
    return True


def _write(file: NewFile | Addition) -> None:
    """Write it whole or not at all, for its owner alone."""
    if isinstance(file, Addition):
        file.add()
        return
    place = file.path.parent
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{file.path.name}.", dir=place)
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(file.content.encode())
                opened.flush()
                os.fsync(opened.fileno())
            file.path.hardlink_to(beside)
        finally:
            beside.unlink()
    except FileExistsError as error:
        raise _in_the_way(file) from error
    except OSError as error:
        raise ConfigError(
            f"cannot write {file.path}: {error.strerror}", "check the directory and its owner"
        ) from error


def _in_the_way(file: NewFile) -> ConfigError:
    return ConfigError(
        f"{file.path} is there already, and says something else",
        "move it away, or give another --dir",
    )
