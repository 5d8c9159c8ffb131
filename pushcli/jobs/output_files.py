"""Output in files: `DIRECTORY/NODE/CHANNEL`, and never anywhere else.

Names of nodes come from a server, and the directory may hold whatever somebody put there: a
name must be one, and nothing is written through a link.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pushcli.errors import ServerError, UsageError
from pushcli.jobs.output import CHANNELS, Outputs
from pushcli.protocol.names import is_node_name

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def save(directory: Path, node: str, outputs: Outputs) -> None:
    """A file for each channel that there is; what a previous one held is replaced.

    Only the owner may read them, as on the server.

    Raises:
        ServerError: no node can be called so.
        UsageError: a file cannot be written.
    """
    if not is_node_name(node):
        raise ServerError(f"the server names a node {node!r}", "nothing is written for it")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _opened(os.open(directory, _DIRECTORY)) as root:
            with contextlib.suppress(FileExistsError):
                os.mkdir(node, 0o700, dir_fd=root)
            with _opened(os.open(node, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root)) as place:
                for channel in CHANNELS:
                    if channel in outputs:
                        _write(place, channel, outputs[channel])
    except OSError as error:
        raise UsageError(
            f"cannot write {directory / node}: {error.strerror}", "choose another --outdir"
        ) from error


def _write(place: int, name: str, content: bytes) -> None:
    # A new file: a link, a pipe or another's file of this name is not written into.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=place)
    with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=place), "wb") as file:
        file.write(content)


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
