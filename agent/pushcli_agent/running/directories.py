"""Where a job's command begins.

A directory is chosen by what it is, not by its name: what a job names counts only as far as
it is one of those that the node or the entry names, and the command then begins in that one.
It stays open from here to the command's start, so that nothing else can take its place.
"""

import os
from collections.abc import Collection, Sequence

import msgspec

from pushcli_agent.running import allowing

DEFAULT = "/"
_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class DirectoryRefused(Exception):
    """A job's directory that does not exist or is not allowed; one line, for the operator."""


class Directory(msgspec.Struct, frozen=True):
    """Where a command begins.

    Args:
        path: absolute.
        descriptor: of the directory that was judged, open; -1: whichever the path leads to.
    """

    path: str
    descriptor: int = -1

    def close(self) -> None:
        """Let go of it; whoever inherited the descriptor has one of his own."""
        if self.descriptor >= 0:
            os.close(self.descriptor)


def choose(
    asked: str | None,
    allowed: Collection[str] | None,
    *,
    preset: str | None = None,
    widened: Sequence[str] = (),
) -> Directory:
    """The directory that a job names, or the entry's, or `/`; it exists.

    Whether its user may enter it is seen when he does.

    Args:
        asked: what the job names.
        allowed: `allowed_dirs`; None: any that exists.
        preset: the entry's `dir`.
        widened: the entry's `dirs`.

    Raises:
        DirectoryRefused: there is none, or it is not allowed.
    """
    if asked is None:
        return Directory(DEFAULT) if preset is None else _opened(preset)
    if allowed is None:
        # pathlib's would raise for a name that is too long.
        if not asked.startswith("/") or not os.path.isdir(asked):  # noqa: PTH112
            raise DirectoryRefused(_missing(asked))
        return Directory(asked)
    mine = [*allowed, *widened] if preset is None else [preset, *allowed, *widened]
    if asked in mine:
        return _opened(asked)
    if not asked.startswith("/") or not _is_text(asked):
        raise DirectoryRefused(_missing(asked))
    found = _same_as(asked, mine)
    if found is not None:
        return found
    line = allowing.list_line("allowed_dirs", allowed, "dirs", widened, [asked])
    raise DirectoryRefused(f"directory {asked[:256]!r} is not allowed: {line}")


def _same_as(asked: str, allowed: Collection[str]) -> Directory | None:
    """The allowed directory that this is, whatever links lead to it."""
    if not allowed:
        # A caller has no business on this disk, not even a look.
        return None
    try:
        status = os.stat(asked)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    for path in allowed:
        try:
            directory = _opened(path)
        except DirectoryRefused:
            continue
        if os.path.samestat(os.fstat(directory.descriptor), status):
            return directory
        directory.close()
    return None


def _opened(path: str) -> Directory:
    try:
        return Directory(path, os.open(path, _OPEN))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DirectoryRefused(_missing(path)) from None
    except OSError as error:
        # Somebody listed it: that it is there is no secret, and why it cannot be used is news.
        reason = f"cannot use directory {path[:256]!r}: {error.strerror}"
        raise DirectoryRefused(reason) from error


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _missing(path: str) -> str:
    return f"no such directory: {path[:256]!r}"
