"""Where a server's directory is."""

import os
import pwd
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from pushcli.terminal.params import Directory

directory_option: Callable[[Any], Any] = click.option(
    "--dir",
    "directory",
    type=Directory(),
    metavar="D",
    help="Server's directory (default: $PUSHCLI_SERVER_DIR, else /var/lib/pushcli/server as "
    "root, ~/.pushcli/server otherwise).",
)


def place_of(directory: Path | None) -> Path:
    """The directory that was given, or the usual one."""
    if directory is not None:
        return directory.absolute()
    if given := os.environ.get("PUSHCLI_SERVER_DIR"):
        return Path(given).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/pushcli/server")
    return Path.home() / ".pushcli" / "server"


def become_owner(place: Path) -> None:
    """Where the server is another user's, root acts as that user.

    What root wrote there, the server could not read. Its home is that user's, too.
    """
    if os.geteuid() != 0 or not place.is_dir():
        return
    owner = place.stat()
    if owner.st_uid != 0:
        os.setgroups([owner.st_gid])
        os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
        with suppress(KeyError):
            # Where PostgreSQL's library looks for what it is to know.
            os.environ["HOME"] = pwd.getpwuid(owner.st_uid).pw_dir
