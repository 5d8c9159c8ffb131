"""Unit files as text: what an installation changes in one, and whether somebody else changed it.

Pure. The first line of a unit that was installed holds a digest of the rest, so that an
administrator's changes are noticed, and not lost.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pushcli.errors import ConfigError

Found = Literal["missing", "same", "ours", "changed"]
"""What is there of a unit: nothing, this very one, another one that we wrote, or one that
somebody wrote or changed."""

_FIRST = "# Installed by pushcli ({digest}); changes belong into a drop-in: systemctl edit {name}"
_MARK = re.compile(r"# Installed by pushcli \(([0-9a-f]{64})\);")


def with_values(unit: str, values: Mapping[str, str | None]) -> str:
    """The unit with other values for settings that it has, each once; None removes one.

    Raises:
        KeyError: a setting is not there.
    """
    lines = unit.splitlines()
    for name, value in values.items():
        found = [at for at, line in enumerate(lines) if line.startswith(f"{name}=")]
        if len(found) != 1:
            raise KeyError(name)
        lines[found[0] : found[0] + 1] = [] if value is None else [f"{name}={value}"]
    return "\n".join(lines) + "\n"


def marked(unit: str, name: str) -> str:
    """The unit as it is installed under this name."""
    return f"{_FIRST.format(digest=_digest(unit), name=name)}\n{unit}"


def compare(present: str | None, wanted: str) -> Found:
    """What is there, beside a marked unit that is to be installed."""
    if present is None:
        return "missing"
    if present == wanted:
        return "same"
    first, _, rest = present.partition("\n")
    mark = _MARK.match(first)
    return "ours" if mark is not None and mark[1] == _digest(rest) else "changed"


def command_line(words: Sequence[str]) -> str:
    """A value for `ExecStart=`.

    Raises:
        ConfigError: a word has a control character.
    """
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def paths(given: Sequence[str]) -> str:
    """A value for `ReadWritePaths=` and its like.

    Raises:
        ConfigError: a path has a control character.
    """
    return " ".join(map(_quoted, given))


def _quoted(word: str) -> str:
    if not word.isprintable():
        raise ConfigError(f"{word!r} has a control character, or is not text", "give another path")
    word = word.replace("%", "%%")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
