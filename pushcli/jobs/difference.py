"""How what nodes wrote differs from what most of them wrote. No I/O.

Comparing takes long where much differs, and nobody reads thousands of lines of it: both are
bounded, and what is left out is counted.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

MOST_LINES = 2_000
"""Lines of one output between the first and the last difference that are compared."""
MOST_SHOWN = 200
"""Lines of one comparison that are shown."""
MOST_TEXT = 262_144
"""Characters of the lines of one comparison that are shown: a line may be as long as the output."""
MOST_COMPARED = 50
"""Outputs that are compared; more are only named."""
NOT_COMPARED = "not compared"
_CONTEXT = 3
_Opcode = tuple[Literal["equal", "delete", "insert", "replace"], int, int, int, int]


class Wrote(NamedTuple):
    """Nodes that wrote the same, in their order, and what."""

    nodes: list[str]
    output: bytes

    @property
    def is_binary(self) -> bool:
        """Whether it is not text: it has a zero byte, or is not UTF-8."""
        try:
            self.output.decode()
        except UnicodeDecodeError:
            return True
        return b"\0" in self.output


class Comparison(NamedTuple):
    """One output compared with that of the majority.

    Args:
        lines: of a unified diff, without its head; None: the two are not compared.
        left_out: lines of the diff beyond `MOST_SHOWN`.
        why: they are not compared.
    """

    wrote: Wrote
    lines: list[str] | None
    left_out: int = 0
    why: str = ""


class Difference(NamedTuple):
    """What most nodes wrote to a channel, and all that is different, of most nodes first."""

    majority: Wrote
    others: list[Comparison]

    @property
    def total(self) -> int:
        """How many nodes wrote."""
        return len(self.majority.nodes) + sum(len(one.wrote.nodes) for one in self.others)


def difference(outputs: Iterable[tuple[str, bytes]]) -> Difference:
    """Compare what nodes wrote, one at least, with what most of them wrote.

    Of outputs that equally many nodes wrote that of the first node is the majority's.

    Args:
        outputs: nodes and what each wrote.
    """
    groups: dict[bytes, list[str]] = {}
    for node, output in outputs:
        groups.setdefault(output, []).append(node)
    found = [Wrote(nodes, output) for output, nodes in groups.items()]
    majority, *others = sorted(found, key=lambda wrote: -len(wrote.nodes))
    return Difference(majority, [_compared(i, majority, one) for i, one in enumerate(others)])


def _compared(place: int, majority: Wrote, other: Wrote) -> Comparison:
    if other.is_binary or majority.is_binary:
        return Comparison(other, None, why="binary")
    if place >= MOST_COMPARED:
        return Comparison(other, None, why=NOT_COMPARED)
    before, after = _lines(majority.output), _lines(other.output)
    first = _alike(before, after)
    rest = min(len(before), len(after)) - first
    last = _alike(before[::-1][:rest], after[::-1][:rest])
    longest = max(len(before), len(after)) - first - last
    if longest > MOST_LINES:
        why = f"too much to compare: {longest:,} lines from line {first + 1:,} on"
        return Comparison(other, None, why=why)
    lines = _unified(before, after, first, last)
    shown = lines[:MOST_SHOWN]
    if (size := sum(map(len, shown))) > MOST_TEXT:
        why = f"too much to show: {size:,} characters from line {first + 1:,} on"
        return Comparison(other, None, why=why)
    return Comparison(other, shown, len(lines) - len(shown))


def _lines(output: bytes) -> list[bytes]:
    """With their ends; the last one may have none."""
    *lines, last = output.split(b"\n")
    return [line + b"\n" for line in lines] + ([last] if last else [])


def _alike(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many lines they begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _unified(before: Sequence[bytes], after: Sequence[bytes], first: int, last: int) -> list[str]:
    """The hunks of a unified diff.

    Args:
        first: lines with which both begin.
        last: lines with which both end.
    """
    shown: list[str] = []
    for hunk in _Matcher(before, after, first, last).get_grouped_opcodes(_CONTEXT):
        (_, i1, _, j1, _), (_, _, i2, _, j2) = hunk[0], hunk[-1]
        shown.append(f"@@ -{_range(i1, i2 - i1)} +{_range(j1, j2 - j1)} @@")
        for tag, i1, i2, j1, j2 in hunk:
            if tag == "equal":
                shown += _marked(" ", before[i1:i2])
            else:
                shown += [*_marked("-", before[i1:i2]), *_marked("+", after[j1:j2])]
    return shown


class _Matcher(difflib.SequenceMatcher[bytes]):
    """Compares only what lies between the lines that are alike at both ends.

    Those count as alike whatever the comparison would make of them: a hunk with none of them
    behind it is one of the end of a file to patch(1).
    """

    def __init__(
        self, before: Sequence[bytes], after: Sequence[bytes], first: int, last: int
    ) -> None:
        self.between = first, len(before) - last, len(after) - last
        self.last = last
        _, i, j = self.between
        super().__init__(None, before[first:i], after[first:j])

    def get_opcodes(self) -> list[_Opcode]:
        """Of the whole texts."""
        (first, i, j), last = self.between, self.last
        found: list[_Opcode] = [("equal", 0, first, 0, first)] if first else []
        found += [
            (tag, i1 + first, i2 + first, j1 + first, j2 + first)
            for tag, i1, i2, j1, j2 in super().get_opcodes()
        ]
        return [*found, ("equal", i, i + last, j, j + last)] if last else found


def _range(first: int, count: int) -> str:
    if count == 1:
        return f"{first + 1}"
    return f"{first + 1 if count else first},{count}"


def _marked(mark: str, lines: Sequence[bytes]) -> Iterator[str]:
    for line in lines:
        yield mark + line.removesuffix(b"\n").decode()
        if not line.endswith(b"\n"):
            yield "\\ No newline at end of output"
