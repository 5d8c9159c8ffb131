"""Which nodes a command is about: names, sets, globs and files, as typed, to node names. Pure.

An expression is operands with operators between them, applied from the left, as ClusterShell's
NodeSet has it: `web[01-20,33],db1!web07` is all of those but `web07`, `&` is what both have and
`^` what one of the two has. An operand is a name, a set `web[01-20]`, a glob over the names that
the server knows, or `@FILE`. Ranges are ClusterShell's RangeSet: its NodeSet reads configuration
files of its own as soon as it is imported, and fails where one is damaged.
"""

import fnmatch
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from difflib import SequenceMatcher
from itertools import product
from math import prod
from typing import NamedTuple

from pushcli.errors import NotFound, UsageError
from pushcli.protocol.names import by_number, is_node_name

MOST = 100_000
"""Nodes that a command may be about; a job's request holds fewer."""
STDIN = "-"
_MOST_GLOBS = 1_000
_OPERATORS = ",!&^"
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})(?:/([0-9]{1,9}))?)?")
_LIMIT = re.compile(r"([0-9]{1,9})|([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_WIDEST = 10**9 - 1
"""Numbers that a range in steps may span: what RangeSet reads."""
_SIMILAR = 0.6
_SET_REMEDY = "write it like web[01-20,33]"

Files = Mapping[str, str]
"""What the files say, by their names; `-` is standard input."""


@dataclass(frozen=True)
class File:
    """`@FILE`, or `-`."""

    path: str


@dataclass(frozen=True)
class Names:
    """Names as typed, in their order."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Glob:
    """Whatever the server knows that matches one of the patterns."""

    text: str
    patterns: tuple[str, ...]


Operand = File | Names | Glob


@dataclass(frozen=True)
class Expression:
    """One argument: what is done with each operand, and the operand."""

    text: str
    steps: tuple[tuple[str, Operand], ...]

    @property
    def files(self) -> list[str]:
        """The files that it names."""
        return [operand.path for _, operand in self.steps if isinstance(operand, File)]

    @property
    def has_glob(self) -> bool:
        """Whether the names that the server knows decide what it is."""
        return any(isinstance(operand, Glob) for _, operand in self.steps)


def parse(text: str, *, files: bool = True) -> Expression:
    """Read one argument.

    Args:
        files: whether it may name files; what stands in a file may not.

    Raises:
        UsageError: it cannot be read, or would be too many nodes.
    """
    if text == STDIN or text.startswith("@"):
        return Expression(text, ((",", _file(text, files=files)),))
    steps = tuple((operator, _operand(each, files=files)) for operator, each in _split(text))
    return Expression(text, steps)


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Operators and operands; blanks separate names as commas do."""
    joined = re.sub(rf"\s*([{_OPERATORS}])\s*|\s+", lambda m: m[1] or ",", text.strip())
    operator, start, inside = ",", 0, False
    for place, character in enumerate(joined + ","):
        inside = character == "[" or (inside and character != "]")
        # The last comma ends the text, also where a bracket was left open.
        if character in _OPERATORS and (not inside or place == len(joined)):
            if place == start:
                raise UsageError(
                    f"cannot read {text!r}: a name is missing beside an operator",
                    "`web[1-9]!web3` is a set without a name; -a -x web3 is all nodes but web3",
                )
            yield operator, joined[start:place]
            operator, start = character, place + 1


def _file(text: str, *, files: bool) -> File:
    if not files:
        raise UsageError(f"{text!r} is in a file", "a file of names cannot name other files")
    path = STDIN if text == STDIN else text[1:]
    if not path:
        raise UsageError("'@' without a file", "write @FILE, or - for standard input")
    return File(path)


def _operand(text: str, *, files: bool) -> Operand:
    if text.startswith("@"):
        return _file(text, files=files)
    is_glob = "*" in text or "?" in text
    names = _expanded(text, _MOST_GLOBS if is_glob else MOST)
    for name in names:
        if not is_node_name(re.sub(r"[*?]", "x", name) if is_glob else name):
            raise UsageError(f"invalid node name {name!r}", "use letters, digits and _ . : -")
    return Glob(text, names) if is_glob else Names(names)


def _expanded(text: str, most: int) -> tuple[str, ...]:
    """`web[1-3]` as three texts; what has no brackets as it is."""
    if "[" not in text and "]" not in text:
        return (text,)
    *pieces, last = _BRACKETS.split(text)
    if any(character in piece for piece in [*pieces[::2], last] for character in "[]"):
        raise UsageError(f"invalid node set {text!r}", _SET_REMEDY)
    # Counted before it is expanded: a few characters can stand for more than memory holds.
    count = prod(_count(ranges, text) for ranges in pieces[1::2])
    if count > most:
        raise UsageError(f"{text!r} is {count:,} nodes", f"at most {most:,} can be named at once")
    from ClusterShell.RangeSet import RangeSet, RangeSetException  # noqa: PLC0415 - few need it

    try:
        numbers = [list(RangeSet(ranges)) for ranges in pieces[1::2]]
    except RangeSetException:
        raise UsageError(f"invalid node set {text!r}", _SET_REMEDY) from None
    before = pieces[::2]
    return tuple(
        "".join(map("".join, zip(before, chosen, strict=True))) + last
        for chosen in product(*numbers)
    )


def _count(ranges: str, text: str) -> int:
    count = 0
    for each in ranges.split(","):
        found = _RANGE.fullmatch(each)
        if found is None or (found[3] and not int(found[3])):
            raise UsageError(f"invalid node set {text!r}", _SET_REMEDY)
        last = int(found[2] or found[1])
        if found[3] and last - int(found[1]) >= _WIDEST:
            raise UsageError(f"the range {each} is too wide", _SET_REMEDY)
        count += max(0, last - int(found[1])) // int(found[3] or 1) + 1
    return count


def evaluate(
    expression: Expression, known: Sequence[str], files: Files, *, strict: bool = True
) -> list[str]:
    """The names that an expression stands for, in the order in which it has them.

    Args:
        known: what globs match, in the order to have them in.
        strict: an expression, and a glob that adds nodes, must match something.

    Raises:
        NotFound: one does not.
        UsageError: a file cannot be read as names.
    """
    found: dict[str, None] = {}
    for operator, operand in expression.steps:
        right = _names(operand, known, files)
        if strict and operator == "," and not right:
            raise NotFound(*_nothing(operand))
        match operator:
            case ",":
                found |= right
            case "!":
                found = {name: None for name in found if name not in right}
            case "&":
                found = {name: None for name in found if name in right}
            case "^":
                left = found
                found = {name: None for name in left if name not in right}
                found |= {name: None for name in right if name not in left}
        require_bounded(found)
    if strict and not found:
        raise NotFound(f"no node matches {expression.text!r}", "`pushcli node list` lists all")
    return list(found)


def _names(operand: Operand, known: Sequence[str], files: Files) -> dict[str, None]:
    match operand:
        case Names(names):
            return dict.fromkeys(names)
        case Glob(_, patterns):
            matches = [re.compile(fnmatch.translate(pattern)).match for pattern in patterns]
            return {name: None for name in known if any(match(name) for match in matches)}
        case File(path):
            found: dict[str, None] = {}
            for expression in in_file(files[path]):
                found |= dict.fromkeys(evaluate(expression, known, files))
                require_bounded(found)
            return found


def _nothing(operand: Operand) -> tuple[str, str]:
    match operand:
        case File(path):
            where = "standard input" if path == STDIN else path
            return f"no node names in {where}", "one or more a line; # begins a comment"
        case Glob(text, _):
            return f"no node matches {text!r}", "`pushcli node list` lists all"
        case Names():
            raise AssertionError("a name is a node")


def in_file(text: str) -> list[Expression]:
    """What a file of names says: expressions, separated by blanks; # begins a comment."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    return [parse(word, files=False) for line in lines for word in line.split()]


def require_bounded(names: Collection[str]) -> None:
    """Refuse more nodes than a command may be about.

    Raises:
        UsageError: there are more.
    """
    if len(names) > MOST:
        raise UsageError(f"{len(names):,} nodes", f"at most {MOST:,} can be named at once")


def without(names: Iterable[str], excluded: Iterable[str]) -> list[str]:
    """The names but those.

    Raises:
        NotFound: none is left.
    """
    left_out = set(excluded)
    left = [name for name in names if name not in left_out]
    if not left:
        raise NotFound("no nodes are left after --exclude", "exclude fewer")
    return left


def limit_of(text: str, count: int) -> int:
    """How many of so many nodes a limit such as `10` or `10%` leaves; a percentage rounds up.

    Raises:
        UsageError: it is neither, or 0.
    """
    found = _LIMIT.fullmatch(text.replace(" ", ""))
    if found and found[1]:
        limit = int(found[1])
    elif found and Decimal(found[2]) <= 100:
        share = Decimal(found[2]) * count / 100
        limit = int(share.to_integral_value(ROUND_CEILING))
    else:
        raise UsageError(f"invalid limit {text!r}", "give a number of nodes (10) or a part (10%)")
    if limit == 0:
        raise UsageError(f"--limit {text} leaves no nodes", "give more than 0")
    return min(limit, count)


def sample(names: Sequence[str], count: int, seed: str) -> list[str]:
    """So many of the names, in their order: the same for the same seed, whatever else there is."""

    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{name}".encode()).digest()

    chosen = set(sorted(names, key=rank)[:count])
    return [name for name in names if name in chosen]


class Strangers(NamedTuple):
    """Names that are not known: how many, in one line, and a hint (or "") at what was meant."""

    total: int
    shown: str
    hint: str

    @property
    def what(self) -> str:
        """What is wrong with them."""
        if self.total == 1:
            return f"unknown node {self.shown}"
        return f"{self.total} unknown nodes: {self.shown}"

    @property
    def remedy(self) -> str:
        """What is the nearest that there is, or where to look."""
        searched = "`-s QUERY` searches; " if ":" in self.shown else ""
        return self.hint or f"{searched}`pushcli node list` lists all"


def require_known(names: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that no node has.

    Raises:
        UsageError: there are some; it names the nearest that there is.
    """
    unknown = strangers(names, known)
    if unknown is None:
        return
    joint = "" if unknown.remedy.endswith("?") else ";"
    raise UsageError(unknown.what, f"{unknown.remedy}{joint} --allow-unknown starts anyway")


def strangers(names: Iterable[str], known: Collection[str]) -> Strangers | None:
    """Those of the names that are not known; None: all are."""
    there = frozenset(known)
    missing = [name for name in names if name not in there]
    if not missing:
        return None
    nearest = _nearest(missing[0], known)
    hint = f"did you mean {nearest!r}?" if nearest else ""
    if len(missing) == 1:
        return Strangers(1, repr(missing[0]), hint)
    from pushcli.terminal.folding import fold  # noqa: PLC0415 - only for this error

    more = len(missing) - _NAMED
    shown = fold(missing[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return Strangers(len(missing), shown, hint)


_NAMED = 10
"""Names in one line."""


def _nearest(name: str, known: Iterable[str]) -> str:
    matcher = SequenceMatcher(b=name, autojunk=False)
    nearest, best = "", _SIMILAR
    for candidate in sorted(known, key=by_number):
        matcher.set_seq1(candidate)
        if (
            matcher.real_quick_ratio() > best
            and matcher.quick_ratio() > best
            and matcher.ratio() > best
        ):
            nearest, best = candidate, matcher.ratio()
    return nearest
