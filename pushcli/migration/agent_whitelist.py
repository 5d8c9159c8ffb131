r"""The original agent's whitelist as ours."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pushcli.migration import ruby_patterns
from pushcli.migration.ruby_patterns import Translated, Untranslatable
from pushcli.migration.ruby_values import Hash, Regexp, Symbol, Unread, Value, plain
from pushcli.migration.settings_read import Remark
from pushcli.whitelist import entry, pattern, toml_text

DEFAULT = {"chef-client": "chef-client"}
"""What the original runs where nothing is said."""

_SHOWN = 100
"""Characters of a name."""


class Entries(msgspec.Struct, kw_only=True):
    """Entries as they stand in `[whitelist]`, and what is to be said of them."""

    values: dict[str, Any] = msgspec.field(default_factory=dict)
    remarks: list[Remark] = msgspec.field(default_factory=list)


def converted(table: Mapping[Value, Value], *, unsafe: bool, lock_file: str) -> Entries:
    """Our entries for those of the original, in their order.

    Args:
        unsafe: where only that keeps the meaning, groups are pasted into the shell's text.
        lock_file: that of Chef's client, which `lock` means in the original.
    """
    entries = Entries()
    patterns = [key for key in table if isinstance(key, Regexp)]
    for key, value in table.items():
        shown = _shown(key)
        try:
            command, others = _command(value)
            others = dict(_options(shown, others, entries.remarks, lock_file))
            if isinstance(key, Regexp):
                goes_on = key != patterns[-1]
                found = _pattern(key, command, others, entries.remarks, unsafe, goes_on=goes_on)
            else:
                found = _plain(key, command, others)
        except (Untranslatable, _LeftOut) as error:
            behind = isinstance(key, Regexp) and key != patterns[-1]
            why = f"{error}; requests for it go on to the patterns behind it" if behind else error
            entries.remarks.append(Remark("left out", shown, str(why)))
            continue
        if found[0] in entries.values:
            entries.remarks.append(Remark("left out", shown, "an entry before it is the same"))
            continue
        entries.values[found[0]] = found[1]
    return entries


class _LeftOut(Exception):
    """Why an entry is not taken over."""


def _shown(key: Value) -> str:
    match key:
        case Regexp(source, flags):
            return f"whitelist /{_cut(source)}/{flags}"
        case Unread(line, text):
            return f"whitelist, line {line}, {text}"
        case _:
            return f"whitelist {_cut(plain(key) or repr(key))}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _command(value: Value) -> tuple[str, dict[str, Value]]:
    options: dict[str, Value] = {}
    if isinstance(value, Hash):
        options = {plain(key) or "...": content for key, content in value.pairs}
        value = options.pop("command_line", None)
    if isinstance(value, Unread):
        raise _LeftOut(f"line {value.line} is not a literal: {value.text}")
    if not isinstance(value, str):
        raise _LeftOut("its command is not a string")
    return value, options


def _options(
    shown: str, options: Mapping[str, Value], remarks: list[Remark], lock_file: str
) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        match name, value:
            case "lock", bool():
                if value:
                    remarks.append(
                        Remark(
                            "changed", shown,
                            "lock = true is a lock of the entry's own; the original waits for "
                            f"chef-client's: lock = {toml_text.string(lock_file)} keeps that",
                        )
                    )  # fmt: skip
                    yield "lock", True
            case _:
                remarks.append(Remark("left out", f"{shown}, {name}", "entries have no such key"))


def _plain(key: Value, command: str, options: dict[str, Any]) -> tuple[str, Any]:
    if isinstance(key, Unread):
        raise _LeftOut("its name is not a literal")
    if isinstance(key, Symbol):
        raise _LeftOut("a symbol, which no request is equal to")
    if not isinstance(key, str):
        raise _LeftOut("its name is not a string")
    if pattern.is_pattern(key):
        raise _LeftOut(
            "a string, which the original compares as it is; in agent.toml it would be a pattern"
        )
    return key, _checked(key, command, options)


def _pattern(
    key: Regexp, command: str, options: dict[str, Any], remarks: list[Remark], unsafe: bool,
    *, goes_on: bool,
) -> tuple[str, Any]:  # fmt: skip
    shown = _shown(key)
    translated = ruby_patterns.translate(key)
    if not translated.expression:
        raise _LeftOut("an empty expression")
    references = ruby_patterns.references(command, translated)
    is_same = translated.is_whole and references <= translated.harmless
    keeping = _keeping(translated, command, options)
    if not is_same and unsafe and isinstance(keeping, tuple):
        remarks.append(
            Remark("changed", shown, "unsafe_substitution: a request can put anything into it")
        )
        return keeping
    name = f"/{translated.expression}/"
    why = _difference(translated, references, goes_on=goes_on)
    remedy = ""
    if isinstance(keeping, tuple):
        remedy = f"; to keep its meaning, unsafe: {toml_text.pair(*keeping)}"
    try:
        narrow = ruby_patterns.command(command, translated, wide=False)
        value = _checked(name, narrow, options)
    except (Untranslatable, _LeftOut) as error:
        raise _LeftOut(f"{error}{remedy}") from error
    if not is_same:
        remarks.append(Remark("narrower", shown, f"{why}{remedy}"))
    return name, value


def _keeping(
    translated: Translated, command: str, options: dict[str, Any]
) -> tuple[str, Any] | str:
    """The entry that means what the original does; or why there is none."""
    wide = not translated.is_whole
    expression = ruby_patterns.widened(translated) if wide else translated.expression
    try:
        text = ruby_patterns.command(command, translated, wide=wide)
        name = f"/{expression}/"
        return name, _checked(name, text, {**options, "unsafe_substitution": True})
    except (Untranslatable, _LeftOut) as error:
        return str(error)


def _difference(translated: Translated, references: frozenset[int], *, goes_on: bool) -> str:
    parts = []
    if not translated.is_whole:
        parts.append(
            "it must match the whole request, where the original finds it anywhere in one and "
            "runs the rest, too"
        )
        if goes_on:
            parts.append("what it no longer matches goes on to the patterns behind it")
    if not references <= translated.harmless:
        parts.append("a group is one argument, never text for the shell")
    return "; ".join(parts)


def _checked(name: str, command: str, options: dict[str, Any]) -> Any:
    value = {"command_line": command, **options}
    try:
        return entry.to_value(entry.parse(name, value, local=True))
    except entry.InvalidEntry as error:
        raise _LeftOut(error.reason) from error
