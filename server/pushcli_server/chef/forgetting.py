"""`pushcli server forget-identities`: a running server is asked by a file in its directory.

Who may write there is its owner. The file is gone once the server has done it; each asks by one of
his own, so that nobody takes another's as done.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pushcli.errors import ConfigError, ServerUnreachable, StartError
from pushcli_server import listener, settings

LOOK_INTERVAL = 0.25
"""Seconds between two looks at the server's directory."""
PATIENCE = 10.0
"""Seconds for the server to do it."""
_PREFIX = "forget-identities."

_log = logging.getLogger(__name__)


def have_forgotten(directory: Path) -> None:
    """Have the server that runs in this directory ask again about everybody; it has then.

    Raises:
        ConfigError: there is no server, it has identities of its own, or the directory is another
            user's.
        ServerUnreachable: it does not run, or does not answer.
    """
    config = settings.load(directory)
    if config.identity == "own":
        raise ConfigError(
            f"the server in {directory} has identities of its own: nothing is remembered of them",
            'this is for identity = "chef"',
        )
    with contextlib.suppress(StartError):
        address = ("api_port", "api_listen_address")
        listener.require_free(config.listen_host, config.api_port, address)
        raise ServerUnreachable(
            f"no server is running in {directory}: nothing is remembered",
            "a server that starts asks the Chef Infra Server again",
        )
    try:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir=directory)
    except OSError as error:
        raise ConfigError(
            f"cannot write in {directory}: {error.strerror}", "run it as the server's user"
        ) from error
    os.close(descriptor)
    asked = Path(name)
    try:
        deadline = time.monotonic() + PATIENCE
        while asked.exists():
            if time.monotonic() > deadline:
                raise ServerUnreachable(
                    f"the server in {directory} did not forget within {PATIENCE:g} s",
                    'is it the one that runs, and with identity = "chef" since it started?',
                )
            time.sleep(LOOK_INTERVAL / 5)
    finally:
        asked.unlink(missing_ok=True)


class Forgetting:
    """Does what the command asks for.

    Args:
        directory: the server's.
        forget: asks again about everybody, from its return on.
    """

    def __init__(self, directory: Path, forget: Callable[[], None]) -> None:
        self._directory = directory
        self._forget = forget

    async def run(self) -> None:
        """Look whether anybody asks, until cancelled."""
        while True:
            asked = await asyncio.to_thread(_files, self._directory)
            if asked:
                self._forget()
                _log.info("what the Chef Infra Server said is forgotten")
                # Done before it is told.
                await asyncio.to_thread(_remove, asked)
            await asyncio.sleep(LOOK_INTERVAL)


def _files(directory: Path) -> list[Path]:
    # The command makes files; what else has such a name could not be removed.
    return [file for file in directory.glob(f"{_PREFIX}*") if file.is_file()]


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
