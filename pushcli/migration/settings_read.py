"""What statements come to, one after the other: the last value of each setting, and remarks."""

from collections.abc import Container, Iterable, Iterator

import msgspec

from pushcli.errors import ConfigError
from pushcli.migration.ruby_values import Hash, Remainder, Statement, Unread, Value, plain


class Remark(msgspec.Struct, frozen=True):
    """What whoever migrates should know.

    Args:
        kind: `left out`, `changed`, `narrower` or `note`.
        about: a setting, an entry or a line.
    """

    kind: str
    about: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.about}: {self.why}"


class Settings:
    """The settings of a Ruby file.

    Args:
        file: what errors call it.
        tables: names of settings that are hashes, which may be written key by key.
        known: names of settings that matter: a value that code may have changed is not used.
    """

    def __init__(
        self, statements: Iterable[Statement], file: str, tables: frozenset[str],
        known: frozenset[str],
    ) -> None:  # fmt: skip
        self.remarks: list[Remark] = []
        self._file = file
        self._values: dict[str, Value | dict[Value, Value]] = {}
        self._used: set[str] = set()
        self._lines: dict[str, int] = {}
        for statement in statements:
            if isinstance(statement, Remainder):
                self._skip(statement, known)
                continue
            name, keys, value = statement.name, statement.keys, statement.value
            self._lines[name] = statement.line
            for variable in statement.variables if name in known else ():
                self._remark("changed", name, f"${variable} as it is here and now")
            if not keys:
                self._values[name] = _table(value) if name in tables else value
            elif name in tables:
                _put(self._values, (name, *keys), value)
            elif isinstance(value, Unread):
                self._remark("left out", f"line {value.line}", f"not a literal: {value.text}")
            else:
                self._values[f"{name}[{plain(keys[0]) or '...'}]"] = value

    def _skip(self, skipped: Remainder, known: frozenset[str]) -> None:
        touched = sorted(skipped.names & known)
        for name in touched:
            self._values[name] = Unread(skipped.line, skipped.text)
            self._lines[name] = skipped.line
        about = f"line {skipped.line}"
        why = f"not a literal: {skipped.text}"
        if touched and len(skipped.names) > 1:
            why += f" (with {', '.join(touched)})"
        self._remark("left out", about, why)

    def _remark(self, kind: str, about: str, why: str) -> None:
        remark = Remark(kind, about, why)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def left_out(self, name: str, why: str) -> None:
        """Remark that a setting is not taken over."""
        self._remark("left out", name, why)

    def changed(self, name: str, why: str) -> None:
        """Remark that a setting means something else with us."""
        self._remark("changed", name, why)

    def note(self, name: str, why: str) -> None:
        """Remark something else."""
        self._remark("note", name, why)

    def is_unread(self, name: str) -> bool:
        """Whether code gives it a value."""
        return isinstance(self._values.get(name), Unread)

    def value(self, name: str) -> Value:
        """A value as it was read; None: there is none."""
        self._used.add(name)
        value = self._values.get(name)
        return None if isinstance(value, dict | Unread) else value

    def table(self, name: str) -> dict[Value, Value] | None:
        """A hash; None: there is none.

        Raises:
            ConfigError: it is something else.
        """
        self._used.add(name)
        value = self._values.get(name)
        if value is None or isinstance(value, Unread):
            return None
        if not isinstance(value, dict):
            raise self.error(name, "is not a hash")
        return value

    def text(self, name: str) -> str | None:
        """A string or symbol; None: there is none.

        Raises:
            ConfigError: it is something else.
        """
        value = self.value(name)
        if value is None:
            return None
        text = plain(value)
        if text is None:
            raise self.error(name, "is not a string")
        if "-----BEGIN" in text:
            raise self.error(name, "holds a key, not its path")
        return text

    def error(self, name: str, why: str) -> ConfigError:
        """What is wrong with a setting."""
        return ConfigError(f"{self._file}, line {self._lines.get(name, 1)}: {name} {why}", "fix it")

    def require(self, name: str) -> str:
        """A string that cannot be done without.

        Raises:
            ConfigError: there is none.
        """
        text = self.text(name)
        if text:
            return text
        if self.is_unread(name):
            line = self._lines[name]
            raise ConfigError(
                f"{self._file}, line {line}: {name} is not a literal",
                "write its value out in a copy of the file, and give that",
            )
        raise ConfigError(f"{self._file} has no {name}", "add it, or give another file")

    def unused(self, *, but: Container[str]) -> Iterator[str]:
        """Names of settings that nobody asked for, or of `but`, in their order."""
        for name, value in self._values.items():
            if (name not in self._used or name in but) and not isinstance(value, Unread):
                yield name


def _table(value: Value) -> Value | dict[Value, Value]:
    if not isinstance(value, Hash):
        return value
    table: dict[Value, Value] = {}
    for key, content in value.pairs:
        # A list cannot be a key with us, nor is it the name of anything.
        table[Unread(0, "a list") if isinstance(key, list | Hash) else key] = content
    return table


def _put(values: dict[str, Value | dict[Value, Value]], path: tuple[Value, ...], v: Value) -> None:
    name, key, *others = path
    table = values.get(str(name))
    if not isinstance(table, dict):
        if isinstance(table, Unread):
            # Code made the rest of it: what is added to that alone would be a part.
            return
        table = values[str(name)] = {}
    if isinstance(key, list | Hash):
        return
    if not others:
        table[key] = v
        return
    inner = table.get(key)
    pairs = inner.pairs if isinstance(inner, Hash) else ()
    table[key] = Hash((*pairs, (others[0], v)))
