"""What was learned, for as long as it counts, and no more of it than there is room for. Pure."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Learned(NamedTuple, Generic[V]):
    """A value, and when it was learned (seconds of the clock that `Kept` is given)."""

    value: V
    at: float

    def is_within(self, age: float, now: float) -> bool:
        """Whether it is no older than so many seconds."""
        return now - self.at <= age


class Kept(Generic[K, V]):
    """The newest `limit` things that were learned; of more, what was asked for longest ago goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._learned: OrderedDict[K, Learned[V]] = OrderedDict()

    def find(self, key: K) -> Learned[V] | None:
        """What is known, however old."""
        if (found := self._learned.get(key)) is not None:
            self._learned.move_to_end(key)
        return found

    def put(self, key: K, value: V, now: float) -> None:
        """This was learned now."""
        self._learned[key] = Learned(value, now)
        self._learned.move_to_end(key)
        while len(self._learned) > self._limit:
            self._learned.popitem(last=False)

    def drop(self, key: K) -> None:
        """Of this nothing is known any more."""
        self._learned.pop(key, None)

    def forget(self) -> None:
        """All of it."""
        self._learned.clear()

    def __len__(self) -> int:
        return len(self._learned)
