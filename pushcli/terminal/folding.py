"""Many node names in few characters: `web[01-03,07].example.com`, `web[1-99/2]`.

One number of a name is folded, the one that leaves the fewest groups. Node names have no brackets
and no commas, so that what is folded can be told from a name, and read back
(`pushcli.nodes.targets`).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from pushcli.protocol.names import by_number

_NUMBER = re.compile("([0-9]+)")
_LONGEST = 18
"""Digits of a number that is folded: so many are read back."""
_STEPS = 5
"""Numbers in equal steps that are folded, as `[1-9/2]`: fewer are as easily read one by one."""
_STEPPED = 8
"""Digits of numbers that are folded so: no wider range is read back."""
_MOST_RANGES = 2_500
"""With more the names are shown as they are: it would take over 200 ms, and nobody reads that."""

_Around = tuple[str, str]
"""What stands before the number and after it."""
_Group = tuple[_Around, list[str]]


def fold(names: Iterable[str]) -> str:
    """The names, sorted by their numbers, in one line."""
    return ",".join(folded_groups(names))


def folded_groups(names: Iterable[str]) -> list[str]:
    """What `fold` joins: names, and sets of them, sorted by the first number of each."""
    distinct = set(names)
    groups = list(_groups(distinct))
    if sum(len(numbers) > 1 for _, numbers in groups) > _MOST_RANGES:
        return sorted(distinct, key=by_number)
    texts = [(_first(group), _text(group)) for group in groups]
    return [text for _, text in sorted(texts, key=lambda pair: by_number(pair[0]))]


def _groups(names: Iterable[str]) -> Iterator[_Group]:
    """Names that differ in one number only; a name without any is a group with an empty one."""
    shapes: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for name in names:
        parts = _NUMBER.split(name)
        shapes[tuple(parts[::2])].append(parts)
    for members in shapes.values():
        axis = _axis(members)
        groups: dict[_Around, list[str]] = defaultdict(list)
        for parts in members:
            around = "".join(parts[:axis]), "".join(parts[axis + 1 :])
            groups[around].append(parts[axis] if axis < len(parts) else "")
        yield from groups.items()


def _axis(members: list[list[str]]) -> int:
    """Where the number stands that is folded: of equals the last, which counts the machines."""
    count = len(members[0])
    if len(members) == 1:
        return count
    best, fewest = count, len(members) + 1
    for axis in range(count - 2, 0, -2):
        numbers = {parts[axis] for parts in members}
        if len(numbers) == 1 or max(map(len, numbers)) > _LONGEST:
            continue
        groups = len({(*parts[:axis], *parts[axis + 1 :]) for parts in members})
        if groups < fewest:
            best, fewest = axis, groups
    return best


def _first(group: _Group) -> str:
    (before, after), numbers = group
    return before + min(numbers, key=by_number) + after


def _text(group: _Group) -> str:
    (before, after), numbers = group
    if len(numbers) == 1:
        return f"{before}{numbers[0]}{after}"
    from ClusterShell.RangeSet import RangeSet  # noqa: PLC0415 - only where there is a range

    steps = _STEPS if max(map(len, numbers)) <= _STEPPED else None
    folded = RangeSet(",".join(numbers), autostep=steps)
    return f"{before}[{folded}]{after}"
