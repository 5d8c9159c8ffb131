"""The agent's log: the standard library's, one line per record whatever a peer sent."""

import logging
import sys
from pathlib import Path

from pushcli.errors import ConfigError

LEVELS = {
    "auto": logging.INFO,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class _OneLine(logging.Formatter):
    """Control characters are shown escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of the log."""
        line = super().format(record)
        return line if line.isprintable() else "".join(map(_escaped, line))


def _escaped(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


_handlers: list[logging.FileHandler] = []


def start(level: str, file: Path | None) -> None:
    """Log from now on.

    Raises:
        ConfigError: the file cannot be written.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    try:
        if file is not None:
            handler = logging.FileHandler(file)
            _handlers.append(handler)
    except OSError as error:
        raise ConfigError(
            f"cannot write the log {file}: {error.strerror}", "check log_location"
        ) from error
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=LEVELS[level], handlers=[handler])


def reopen() -> None:
    """Go on in a new file if someone (logrotate) has moved the old one away."""
    for handler in _handlers:
        # A closed handler opens its file again with its next record.
        handler.close()
