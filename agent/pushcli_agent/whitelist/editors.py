"""Whose signatures this node goes by: the editors pinned when it enrolled, and those that
editors vouched for since.

The server only carries what editors signed. It can withhold a statement, but not make one.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pushcli.errors import ConfigError
from pushcli.whitelist import rsa_numbers, statements
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.statements import EditorStatement

FILE = "editors.json"
MAX_STATEMENTS = 1000


class Editor(msgspec.Struct, frozen=True):
    """Somebody who may edit; `public_key` is PEM."""

    name: str
    public_key: str
    fingerprint: str = ""


class _File(msgspec.Struct, frozen=True):
    editors: list[Editor]


def load(file: Path) -> dict[str, PublicNumbers]:
    """The pinned editors' keys by fingerprint; without the file there are none.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        pinned = msgspec.json.decode(file.read_bytes(), type=_File).editors
        found = [rsa_numbers.from_pem(editor.public_key) for editor in pinned]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", "check its owner") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}".replace("`", ""), "fix it there") from error
    return {key.fingerprint: key for key in found}


class Editors:
    """The keys that count, by fingerprint.

    Args:
        pinned: as `load` gives them.
        accepted: statements that were checked before, the newest of each key.
    """

    def __init__(
        self, org: str, pinned: dict[str, PublicNumbers], accepted: Sequence[EditorStatement] = ()
    ) -> None:
        self._org = org
        self._keys = dict(pinned)
        self._accepted: dict[str, EditorStatement] = {}
        for statement in accepted:
            self._accept(statement)

    @property
    def accepted(self) -> list[EditorStatement]:
        """The statements that count, the newest of each key."""
        return list(self._accepted.values())

    def key(self, fingerprint: str) -> PublicNumbers | None:
        """An editor's key."""
        return self._keys.get(fingerprint)

    def consider(self, said: Iterable[Any]) -> None:
        """Accept what editors signed, older versions first; the rest counts for nothing.

        Args:
            said: `EditorStatement`s as in JSON; anything may be in it.
        """
        waiting = sorted(_readable(said), key=lambda statement: statement.version)
        while True:
            fitting = [statement for statement in waiting if self._is_acceptable(statement)]
            if not fitting:
                return
            # One by one: each may make or unmake the signer of the next.
            self._accept(fitting[0])
            waiting.remove(fitting[0])

    def _is_acceptable(self, statement: EditorStatement) -> bool:
        signer = self._keys.get(statement.key)
        if statement.org != self._org or signer is None:
            return False
        known = self._accepted.get(_fingerprint(statement))
        if known is not None and known.version >= statement.version:
            return False
        return statements.editor_statement_holds(statement, signer)

    def _accept(self, statement: EditorStatement) -> None:
        key = statement.editor_key()
        self._accepted[key.fingerprint] = statement
        if statement.removed:
            self._keys.pop(key.fingerprint, None)
        else:
            self._keys[key.fingerprint] = key


def _fingerprint(statement: EditorStatement) -> str:
    return statement.editor_key().fingerprint


def _readable(said: Iterable[Any]) -> list[EditorStatement]:
    found = []
    for value in list(said)[:MAX_STATEMENTS]:
        try:
            statement = msgspec.convert(value, EditorStatement)
            statement.editor_key()
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        found.append(statement)
    return found
