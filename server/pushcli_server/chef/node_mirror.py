"""What is known of the nodes of an organization on a Chef Infra Server, what has to be read of it
again, and when. Pure.

Three answers tell of a node: the list of all says which there are, search whether its attributes
changed, and the node itself what they are. None is believed alone to take something away: a node
that is not listed is gone once it is not found either.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from pushcli_server.chef.node_answers import NO_ATTRIBUTES, NOTHING, Attributes

MAX_READS = 1_000
"""Nodes that are read at one look."""
AGAIN = 10
"""Nodes that are read again at each look though nothing seems to have changed: that an entry went
from one level to another does not show.
"""
ROWS = 1_000
"""Of a page of search, at first."""
_STALE = 1_000
"""Nodes that search may find besides those that there are."""
_FEWER = 10
"""By what a page that does not come is divided."""
_TRY_MORE = 10
"""Looks after which a larger page may come again."""
_MANY_PAGES = 100
"""Of one look; for more a larger page is tried at once."""
MOST_PAUSE = 300.0
"""Seconds after which it is looked again, at the latest, however often that failed."""
_PATIENCE = 5.0
"""The same in pauses between looks that did not fail."""
SOON = 1.0
"""Seconds until the next look where one did not come to its end."""
UNSEEN = "?"
"""Shown of a node that was read without search."""


class Known(NamedTuple):
    """A node.

    Args:
        there: it exists; else it was deleted.
        shown: what search showed when it was read.
        digest: of its attributes.
    """

    there: bool
    shown: str
    digest: str


class Heard(NamedTuple):
    """What is to be kept of a node from now on.

    Args:
        changed: its whitelist may be another one.
    """

    name: str
    known: Known
    attributes: Attributes
    changed: bool


class Plan(NamedTuple):
    """What follows from a list and a search.

    Args:
        bare: nodes that are new and have no attributes of ours: nothing to read.
        read: nodes to read, the most urgent first.
        unfinished: some that should be read have to wait for the next look.
    """

    bare: list[str]
    read: list[str]
    unfinished: bool


class _Rank(IntEnum):
    NEW = 0
    CHANGED = 1
    MISSING = 2
    NOT_SHOWN = 3
    AS_BEFORE = 4


class Mirror:
    """The nodes of an organization.

    Each question has a ticket, and later ones higher tickets: what an earlier one brought never
    replaces what a later one did, in whatever order the answers come.
    """

    def __init__(self, known: Mapping[str, Known] | None = None) -> None:
        self.known = dict(known or {})
        self._asked: dict[str, int] = {}
        """When a node was last asked for, whether or not it answered."""
        self._heard: dict[str, int] = {}
        self._refused: dict[str, str | None] = {}
        """What search showed of nodes that could not be used when they were read."""

    @property
    def names(self) -> list[str]:
        """The nodes that there are."""
        return [name for name, known in self.known.items() if known.there]

    @property
    def gone(self) -> list[str]:
        """The nodes that were deleted."""
        return [name for name, known in self.known.items() if not known.there]

    def plan(self, listed: frozenset[str], shown: Mapping[str, str]) -> Plan:
        """What to do about the nodes that are listed, and those that are not any more.

        Args:
            shown: by search; nodes that it did not show are missing, rows of others mean nothing.
        """
        self._asked = {
            name: ticket
            for name, ticket in self._asked.items()
            if name in listed or name in self.known
        }
        self._refused = {n: seen for n, seen in self._refused.items() if n in listed}
        bare = []
        ranked: list[tuple[_Rank, int, str]] = []
        for name in listed:
            known = self.known.get(name)
            is_new = known is None or not known.there
            if is_new and shown.get(name) == NOTHING:
                bare.append(name)
            else:
                rank = _rank(known, shown.get(name))
                if name in self._refused and self._refused[name] == shown.get(name):
                    # However many of them there are, edits of others do not wait for these.
                    rank = max(rank, _Rank.NOT_SHOWN)
                ranked.append((rank, self._asked.get(name, 0), name))
        missing = [name for name in self.names if name not in listed]
        ranked += [(_Rank.MISSING, self._asked.get(name, 0), name) for name in missing]
        ranked.sort()
        due = [name for rank, _, name in ranked if rank is not _Rank.AS_BEFORE]
        again = [name for rank, _, name in ranked if rank is _Rank.AS_BEFORE]
        urgent = sum(1 for rank, _, _ in ranked if rank < _Rank.NOT_SHOWN)
        read = [*due[:MAX_READS], *again[:AGAIN]]
        return Plan(sorted(bare), read, unfinished=urgent > MAX_READS)

    def asks(self, name: str, ticket: int) -> None:
        """This node is asked for."""
        self._asked[name] = ticket

    def refused(self, name: str, shown: str | None) -> None:
        """What this node answered cannot be used; until search shows something else of it, that is
        not urgent.
        """
        self._refused[name] = shown

    def hear(
        self, name: str, attributes: Attributes | None, shown: str, ticket: int
    ) -> Heard | None:
        """A node answered.

        Args:
            attributes: None: there is no such node.
            shown: by the search before; `UNSEEN` without one.

        Returns:
            None: it says nothing that was not known.
        """
        if ticket < self._heard.get(name, 0):
            return None
        self._refused.pop(name, None)
        before = self.known.get(name)
        if attributes is None and before is None:
            # Whoever looks may name what he likes.
            self._asked.pop(name, None)
            return None
        self._heard[name] = ticket
        there, attributes = attributes is not None, attributes or NO_ATTRIBUTES
        now = Known(there, shown if there else UNSEEN, attributes.digest)
        self.known[name] = now
        if now == before:
            return None
        changed = before is None or (before.there, before.digest) != (there, now.digest)
        return Heard(name, now, attributes, changed)

    def forget(self, names: Iterable[str]) -> None:
        """Nobody needs to know any more that these are gone."""
        for name in names:
            known = self.known.get(name)
            if known is not None and not known.there:
                del self.known[name]
                self._asked.pop(name, None)
                self._heard.pop(name, None)


def _rank(known: Known | None, shown: str | None) -> _Rank:
    if known is None or not known.there:
        return _Rank.NEW
    if shown is None:
        return _Rank.NOT_SHOWN
    return _Rank.AS_BEFORE if shown == known.shown else _Rank.CHANGED


def next_page(start: int, rows: int, total: int, listed: int, *, is_empty: bool) -> int | None:
    """Where the page after this one begins; None: this was the last.

    A page may have fewer rows than were asked for, where nodes were deleted whose index entries
    are still there; and the total may be whatever it likes.

    Args:
        total: that search says it found.
        listed: nodes that there are.
    """
    after = start + rows
    return None if is_empty or after >= min(total, listed + _STALE) else after


def rows_to_ask(rows: int, listed: int, looks: int) -> int:
    """How many rows a look begins with: those that came last, and sometimes more, as they may not
    have come because the server was away for a moment.

    Args:
        rows: of the last page that came.
        listed: nodes that there are.
        looks: before this one.
    """
    is_more = looks % _TRY_MORE == 0 or listed > rows * _MANY_PAGES
    return min(rows * _FEWER, ROWS) if is_more else rows


def fewer_rows(rows: int) -> int | None:
    """How many rows to ask for where so many did not come; None: give the search up."""
    return rows // _FEWER if rows >= _FEWER else None


def pause(poll: float, failures: int, *, unfinished: bool = False) -> float | None:
    """Seconds until the next look; None: there is none.

    Args:
        poll: the setting; 0: there is none after one that came to its end.
        failures: in a row.
    """
    if failures:
        first = poll or SOON
        longest = max(poll, min(MOST_PAUSE, _PATIENCE * first))
        return min(first * 2.0 ** min(failures - 1, 20), longest)
    if unfinished:
        return min(SOON, poll or SOON)
    return poll or None
