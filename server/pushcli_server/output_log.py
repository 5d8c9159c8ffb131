"""How far the output of a job has come, for any number of readers with a position each.

It holds sizes, never bytes: what a reader has not read costs nothing, and a job of a thousand
nodes some two thousand entries, however much they write.
"""

import asyncio
from collections.abc import Iterator

from pushcli.protocol.run import OutputChannel

Part = tuple[str, OutputChannel]
"""A node and its channel."""
_MARKS = 16
"""Moments that are remembered of a part, for readers that come back: of older ones half."""


class OutputLog:
    """Sizes that only grow; each growth has a number, and numbers rise.

    Args:
        prefix: of the ids that readers go on from (`PREFIX-NUMBER`).
    """

    def __init__(self, prefix: str) -> None:
        self.readers = 0
        self.number = 0
        """Of the last growth."""
        self.prefix = prefix
        self._sizes: dict[Part, int] = {}
        self._grown: dict[Part, int] = {}
        """The number of each part's last growth, in rising order."""
        self._marks: dict[Part, list[tuple[int, int]]] = {}
        self._news = asyncio.Event()

    def grow(self, part: Part, size: int) -> None:
        """So many bytes of a part can be read."""
        self.number += 1
        self._sizes[part] = max(size, self._sizes.get(part, 0))
        self._grown.pop(part, None)
        self._grown[part] = self.number
        marks = self._marks.setdefault(part, [])
        marks.append((self.number, self._sizes[part]))
        if len(marks) > _MARKS:
            marks[: _MARKS // 2] = marks[: _MARKS // 2 : 2]
        self._news.set()
        self._news = asyncio.Event()

    def size(self, part: Part) -> int:
        """Bytes of a part that can be read."""
        return self._sizes.get(part, 0)

    def since(self, number: int) -> list[tuple[Part, int]]:
        """What grew after this number, each part once with the number of its last growth."""
        return list(self._since(number))[::-1]

    def _since(self, number: int) -> Iterator[tuple[Part, int]]:
        for part in reversed(self._grown):
            if self._grown[part] <= number:
                return
            yield part, self._grown[part]

    def size_at(self, part: Part, number: int) -> int:
        """How large a part was, at least, when this number was given."""
        sizes = (size for at, size in reversed(self._marks.get(part, [])) if at <= number)
        return next(sizes, 0)

    def event_id(self, number: int) -> str:
        """What a reader says that has all up to this number."""
        return f"{self.prefix}-{number}"

    def position(self, event_id: str) -> int:
        """The number that an id stands for; 0 for one that is not of this log."""
        prefix, _, number = event_id.rpartition("-")
        if prefix != self.prefix or not (number.isascii() and number.isdigit()):
            return 0
        return int(number) if len(number) < 18 and int(number) <= self.number else 0

    async def news(self, number: int, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until something grew after this number; False if the time (seconds) ran out."""
        try:
            async with asyncio.timeout(timeout):
                while self.number <= number:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True
