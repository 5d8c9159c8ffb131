"""Changes in the text of `server.toml`: every other byte stays. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence

import msgspec

from pushcli import toml_settings
from pushcli.errors import ConfigError
from pushcli.whitelist import toml_text
from pushcli.whitelist.toml_statements import Statement, statements
from pushcli_server.settings import Settings

_SECRET = frozenset({"database_url"})
"""Settings that may have a password in them."""


def with_values(
    text: str, values: Mapping[str, object], *, without: Collection[str] = (), source: str
) -> str:
    """The text with these settings; those `without` become comments, and so the defaults.

    A setting goes where it stands, or where `server init` left it as a comment.

    Raises:
        ConfigError: the text is not that of settings, or cannot be changed so.
    """
    before = toml_settings.parse(text, Settings, source)
    stated = list(statements(text))
    places = {found.path[0]: found for found in stated if len(found.path) == 1}
    edits = []
    added = []
    for name, value in values.items():
        line = toml_text.pair(name, value)
        comments = re.finditer(rf"(?m)^#[ \t]*{name}[ \t]*=[^\r\n]*", text)
        comment = next((one for one in comments if not _is_within(one.start(), stated)), None)
        if (found := places.get(name)) is not None:
            edits.append((*found.value, toml_text.value(value)))
        elif comment is not None:
            edits.append((*comment.span(), line))
        else:
            added.append(f"{line}\n")
    for name in without:
        if (found := places.get(name)) is not None:
            whole = text[found.start : found.end]
            edits.append((found.start, found.end, re.sub("(?m)^(?=.)", "# ", whole)))
    changed = text
    if added:
        changed += ("" if not text or text.endswith("\n") else "\n") + "".join(added)
    # The last first: places before it stay where they are.
    for start, end, new in sorted(edits, reverse=True):
        changed = changed[:start] + new + changed[end:]
    defaults = {name: getattr(Settings(), name) for name in without}
    meant = msgspec.structs.replace(before, **{**defaults, **values})
    if toml_settings.parse(changed, Settings, source) != meant:
        shown = ", ".join(
            f"{name} = ..." if name in _SECRET else toml_text.pair(name, value)
            for name, value in values.items()
        )
        raise ConfigError(f"{source} cannot be changed in place", f"write there: {shown}")
    return changed


def _is_within(place: int, stated: Sequence[Statement]) -> bool:
    """Whether what begins there is part of a statement, such as a line of a long text."""
    return any(one.start <= place < one.end for one in stated)
