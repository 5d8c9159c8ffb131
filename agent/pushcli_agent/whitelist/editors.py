"""The editors that this node trusts by itself: `editors.json`, read again when it changes.

What editors signed about each other since is `pushcli.whitelist.standing`'s.
"""

import os
from pathlib import Path

import msgspec

from pushcli.errors import ConfigError
from pushcli.whitelist import rsa_numbers
from pushcli.whitelist.standing import Pin, Pins
from pushcli_agent.whitelist.source import (
    Signature,
    Unusable,
    check_owner,
    is_settled,
    signature,
)

FILE = "editors.json"
MAX_SIZE = 4 * 1024 * 1024
"""Bytes of the file."""


class Editor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody who may edit; `public_key` is PEM; `first_use`: taken so from a server."""

    name: str
    public_key: str
    fingerprint: str = ""
    first_use: bool = False


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """The file.

    Args:
        distrusted: fingerprints of keys that do not count here, whoever vouches for them.
    """

    editors: list[Editor]
    distrusted: list[str] = []


def read(file: Path) -> Content:
    """The file; without it there are no editors.

    Raises:
        ConfigError: it cannot be read, holds something else, a key that is none, or others may
            write to it.
    """
    try:
        with file.open("rb") as stream:
            check_owner(file, os.fstat(stream.fileno()))
            content = stream.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise ConfigError(f"{file} is larger than {MAX_SIZE} bytes", "shorten it")
        found = msgspec.json.decode(content, type=Content)
        for editor in found.editors:
            rsa_numbers.from_pem(editor.public_key)
    except FileNotFoundError:
        return Content([])
    except Unusable as unusable:
        raise ConfigError(str(unusable)) from unusable
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", "check its owner") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}".replace("`", ""), "fix it there") from error
    return found


def load(file: Path) -> Pins:
    """The keys in the file.

    Raises:
        ConfigError: as for `read`.
    """
    content = read(file)
    pins = [
        Pin(one.name, rsa_numbers.from_pem(one.public_key), one.first_use)
        for one in content.editors
    ]
    return Pins({pin.key.fingerprint: pin for pin in pins}, frozenset(content.distrusted))


class PinnedEditors:
    """The file as it is now; what is wrong with it changes nothing.

    Raises:
        ConfigError: there is nothing to begin with.
    """

    def __init__(self, file: Path) -> None:
        self.error: str | None = None
        """Why the file as it stands is not in force; one line."""
        self._file = file
        self._signature = self._look()
        self.pins = load(file)

    def refresh(self) -> bool:
        """Read it again if it changed, or may have; whether pins or `error` are others now."""
        seen = self._look()
        if seen is not None and seen == self._signature:
            return False
        self._signature = seen
        before = (self.pins, self.error)
        try:
            self.pins, self.error = load(self._file), None
        except ConfigError as error:
            self.error = str(error)
        return before != (self.pins, self.error)

    def _look(self) -> Signature | None:
        """What distinguishes this state of the file; None: look again."""
        try:
            status = self._file.stat()
        except OSError:
            return ()
        return signature(status) if is_settled(status) else None
