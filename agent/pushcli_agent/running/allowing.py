"""What would allow a job that this node refuses: a line for agent.toml, or for the entry."""

from collections.abc import Collection, Sequence

from pushcli.whitelist import toml_text

_SHOWN = 256
"""Characters of a name that an operator gets to read."""
_LONGEST = 400
"""Characters of a line that is worth copying."""


def list_line(
    setting: str,
    listed: Collection[str],
    entry_key: str,
    widened: Sequence[str],
    wanted: Sequence[str],
) -> str:
    """The words that end a refusal: either line, whole, with what is in its list already.

    Args:
        setting, listed: a list of agent.toml, and what it has.
        entry_key, widened: the list of the whitelist's entry that allows the same, likewise.
        wanted: names that the job needs.
    """
    names = [name[:_SHOWN] for name in wanted]
    return (
        f"allow it with {_line(setting, sorted(listed), names)} in agent.toml, "
        f"or {_line(entry_key, widened, names)} in the entry"
    )


def user_line(listed: Collection[str], user: str, *, may_widen: bool) -> str:
    """The same for `allowed_users`, and `user` of an entry where that may allow it."""
    line = f"allow it with {_line('allowed_users', sorted(listed), [user])} in agent.toml"
    return f"{line}, or {toml_text.pair('user', user)} in the entry" if may_widen else line


def _line(key: str, listed: Sequence[str], names: Sequence[str]) -> str:
    line = toml_text.pair(key, [*listed, *names])
    return line if len(line) <= _LONGEST else f"{toml_text.value(names)[:_LONGEST]} in {key}"
