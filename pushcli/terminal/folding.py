"""Many node names in few characters: `web[01-03,07].example.com`.

One number of a name is folded, the one by which most others differ. Node names have no
brackets and no commas, so that what is folded can be told from a name.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

_NUMBER = re.compile("[0-9]+")

_Place = tuple[str, str, int]
"""What stands before the number and after it, and to how many digits it is filled up (0: not)."""


def fold(names: Iterable[str]) -> str:
    """The names, sorted, in one line."""
    return ",".join(text for _, text in sorted(_folded(set(names))))


def _folded(names: set[str]) -> Iterator[tuple[str, str]]:
    """Each group with the name that it is sorted by."""
    left = set(names)
    groups: dict[_Place, set[str]] = defaultdict(set)
    for name in names:
        for place, _ in _places(name):
            groups[place].add(name)
    for place, members in sorted(groups.items(), key=_most_first):
        found = members & left
        if len(found) > 1:
            left -= found
            yield min(found), _range(place, found)
    yield from ((name, name) for name in left)


def _most_first(group: tuple[_Place, set[str]]) -> tuple[int, int, _Place]:
    """The largest group; of equal ones that of the last number, which counts the machines."""
    place, members = group
    return -len(members), -len(place[0]), place


def _places(name: str) -> Iterator[tuple[_Place, int]]:
    """Each number of the name, as the place where it stands and the number."""
    for found in _NUMBER.finditer(name):
        digits = found[0]
        # 08, 09, 10 are filled up alike; 8, 9, 10 are not. A number of two digits can be of
        # both; which one is seen when it is known what stands beside it.
        widths = [len(digits)] if digits[0] == "0" and len(digits) > 1 else [0, len(digits)]
        for width in widths:
            yield (name[: found.start()], name[found.end() :], width), int(digits)


def _range(place: _Place, names: set[str]) -> str:
    before, after, width = place
    numbers = sorted(int(name[len(before) : len(name) - len(after)]) for name in names)
    return f"{before}[{','.join(_runs(numbers, width))}]{after}"


def _runs(numbers: list[int], width: int) -> Iterator[str]:
    first = last = numbers[0]
    for number in [*numbers[1:], None]:
        if number is not None and number == last + 1:
            last = number
            continue
        yield f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}"
        if number is not None:
            first = last = number
