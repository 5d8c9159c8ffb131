"""The agent's log: the standard library's, one line per record whatever a peer sent."""

import logging
import time
from pathlib import Path

from pushcli.errors import ConfigError
from pushcli.logs.handler import LineHandler
from pushcli.logs.places import LogFile, StandardError, occupy_standard_descriptors

LEVELS = {
    "auto": logging.INFO,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
_handlers: list[LineHandler] = []


def start(level: str, file: Path | None) -> None:
    """Log from now on.

    Raises:
        ConfigError: the file cannot be written.
    """
    occupy_standard_descriptors()
    try:
        handler = LineHandler(StandardError() if file is None else LogFile(file))
    except OSError as error:
        raise ConfigError(
            f"cannot write the log {file}: {error.strerror}", "check log_location"
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _handlers.append(handler)
    logging.basicConfig(level=LEVELS[level], handlers=[handler])


def reopen() -> None:
    """Go on in a new file if someone (logrotate) has moved the old one away."""
    for handler in _handlers:
        handler.reopen()


def tick() -> None:
    """Say how much was left out in the last minute, if anything was."""
    for handler in _handlers:
        handler.tick(time.monotonic())
