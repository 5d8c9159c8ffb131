"""What is in a directory while a node enrolls, and after an enrolment that broke off.

Until it is over the key and the settings, which say whose key it is, have names of their own. The
settings get theirs last: where `agent.toml` is, the node is enrolled.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pushcli import keys
from pushcli.errors import ConfigError
from pushcli_agent import config
from pushcli_agent.whitelist import editors

KEY, SETTINGS, EDITORS = (f".{name}.new" for name in (config.KEY_FILE, config.FILE, editors.FILE))
_FRESH = f"{SETTINGS}.fresh"


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Nobody else enrolls in this directory meanwhile.

    Raises:
        ConfigError: somebody does.
    """
    # The directory itself is locked: a file for that would be left in it.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ConfigError(
            f"another enrolment is under way in {directory}", "wait for its end"
        ) from error
    finally:
        os.close(descriptor)


def undo_half(directory: Path, server_urls: Sequence[str], node: str) -> bool:
    """Undo half of the last step if this enrolment broke off there: the key has its name already.

    Returns:
        Whether it did: then editors may be pinned, too.
    """
    names = (KEY, SETTINGS, config.KEY_FILE, config.FILE)
    there = {name for name in names if os.path.lexists(directory / name)}
    if there != {SETTINGS, config.KEY_FILE}:
        return False
    key_file = directory / config.KEY_FILE
    try:
        _require_own(key_file)
        _require_same(directory, server_urls, node)
        is_ours = _is_key(key_file)
    except ConfigError:
        return False
    if is_ours:
        key_file.rename(directory / KEY)
    return is_ours


def keep_or_clear(directory: Path, server_urls: Sequence[str], node: str) -> None:
    """Leave the key that the server may have by now, and nothing else.

    Raises:
        ConfigError: the key there is of another enrolment, or somebody else laid it there.
    """
    key_file = directory / KEY
    if os.path.lexists(key_file):
        _require_own(key_file)
        if _is_key(key_file):
            _require_same(directory, server_urls, node)
        else:
            # Nobody registered half a key.
            key_file.unlink()
    (directory / EDITORS).unlink(missing_ok=True)


def write_settings(directory: Path, content: bytes) -> None:
    """Say whose the key is, also where it was said before: never is there a key without that."""
    fresh = directory / _FRESH
    fresh.unlink(missing_ok=True)
    keys.write_secret(fresh, content)
    fresh.rename(directory / SETTINGS)


def clear(directory: Path) -> None:
    """Leave nothing, but for a key that the server may have, and whose it is."""
    is_kept = any(os.path.lexists(directory / name) for name in (KEY, config.KEY_FILE))
    for name in (_FRESH, EDITORS) if is_kept else (_FRESH, EDITORS, SETTINGS):
        (directory / name).unlink(missing_ok=True)


def _require_own(file: Path) -> None:
    # Whoever could lay a key there would know the node's.
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise ConfigError(
            f"{file} is not a file of this user", "remove it, or enroll as the user who began"
        )


def _is_key(file: Path) -> bool:
    pem = keys.read_secret(file)
    try:
        keys.private_key(pem, str(file))
    except ConfigError:
        return False
    return True


def _require_same(directory: Path, server_urls: Sequence[str], node: str) -> None:
    remedy = f"complete that one, or remove {directory / KEY}: no other copy of the key exists"
    try:
        settings = config.load(directory / SETTINGS, config.Overrides())
    except ConfigError as error:
        raise ConfigError(
            f"{directory} has the key of an enrolment of which nothing else is known", remedy
        ) from error
    said, urls = _bare(settings.server_urls), _bare(server_urls)
    # One that is left out, or added, is not another server.
    if settings.node_name != node or said.isdisjoint(urls):
        raise ConfigError(
            f"{directory} has the key of an enrolment of {settings.node_name} at "
            f"{', '.join(settings.server_urls)} that broke off",
            remedy,
        )


def _bare(urls: Sequence[str]) -> set[str]:
    return {url.rstrip("/") for url in urls}
