"""The files of a first use: the pins, and the mark that it is over. Never written over another."""

import os
from pathlib import Path

import msgspec

from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.editors import Content, Editor

MARK = "first_use.json"


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When and from where editors were taken; without them: they were pinned otherwise before."""

    at: float
    chef_server_url: str = ""
    editors: list[Editor] = []


def has_pins(directory: Path) -> bool:
    """Whether there is an `editors.json`, whatever it holds."""
    return os.path.lexists(directory / editors.FILE)


def is_done(directory: Path) -> bool:
    """Whether the first use is over, whatever the mark holds."""
    return os.path.lexists(directory / MARK)


def pin(directory: Path, mark: Mark) -> bool:
    """Pin the mark's editors, then mark; False: somebody pinned others meanwhile.

    Killed in between, the pins are there, which ends the first use as well.

    Raises:
        OSError: it cannot be written; then nothing is pinned.
    """
    content = msgspec.json.format(msgspec.json.encode(Content(mark.editors)), indent=2) + b"\n"
    pinned = _write_new(directory / editors.FILE, content)
    end(directory, mark if pinned else Mark(at=mark.at))
    return pinned


def end(directory: Path, mark: Mark) -> None:
    """The first use is over.

    Raises:
        OSError: it cannot be written.
    """
    _write_new(directory / MARK, msgspec.json.encode(mark) + b"\n")


def _write_new(file: Path, content: bytes) -> bool:
    """Durably, whole or not at all; False: there is one."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(fresh, file)
    except FileExistsError:
        return False
    finally:
        fresh.unlink(missing_ok=True)
    place = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
    return True
