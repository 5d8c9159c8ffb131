"""What a Ruby file's literals stand for."""

from typing import NamedTuple


class Symbol(NamedTuple):
    """`:name`, or one of the constants STDOUT and STDERR."""

    name: str


class Regexp(NamedTuple):
    """`/source/flags`, the source as it is written."""

    source: str
    flags: str


class Unread(NamedTuple):
    """Something in an array or a hash that is not a literal."""

    line: int
    text: str


class Hash(NamedTuple):
    """A hash; of pairs with the same key the last counts."""

    pairs: "tuple[tuple[Value, Value], ...]"


Value = str | int | float | bool | Symbol | Regexp | Unread | Hash | list["Value"] | None


class Assignment(NamedTuple):
    """`name value`, `name = value` or `name['a']['b'] = value`.

    Args:
        keys: what stands in brackets.
        variables: of the environment, that the value was made of.
    """

    line: int
    name: str
    keys: tuple[Value, ...]
    value: Value
    variables: tuple[str, ...] = ()


class Remainder(NamedTuple):
    """What was not read: code, not a literal.

    Args:
        text: its beginning, on one line.
        names: that it may give another value to.
    """

    line: int
    text: str
    names: frozenset[str]


Statement = Assignment | Remainder


def plain(value: Value) -> str | None:
    """The text of a string or a symbol; None: it is something else."""
    match value:
        case Symbol(name):
            return name
        case str():
            return value
    return None
