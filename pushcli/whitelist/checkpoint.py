"""What a checkpoint keeps of the statements about editors before it (docs/editors.md)."""

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pushcli.protocol import limits
from pushcli.whitelist.chain import ADD, REMOVE, Statement

MAX_KEPT = limits.MAX_STATEMENTS * 3 // 4
MAX_KEPT_SIZE = limits.MAX_STATEMENTS_SIZE * 3 // 4
"""Bytes: statements that come later need room, too."""
_MAX_OF_SIGNER = 4
_MAX_ABOUT = 20
"""Statements about one key, of one signer and of all."""


class Kept(NamedTuple):
    """What stands for all before.

    Args:
        statements: in their order.
        dropped: the newest statements about keys that would not count any more: there is no room.
    """

    statements: list[Statement]
    dropped: list[Statement]


def live(said: Sequence[Statement]) -> list[Statement]:
    """The statements that vouch for keys which nobody took back since, in their order."""
    last = _last(said)
    return [said[place] for place in sorted(last.values()) if said[place].action == ADD]


def kept(said: Sequence[Statement], signer: str) -> Kept:
    """What is needed to know who may edit, on nodes that heard nothing before.

    First the keys that are vouched for, the newest first, each with what made its vouchers
    editors; then the keys that were taken back. On which nodes a signer counts is not known here,
    and one who counts nowhere, or does not count any more, must not hide what another said.

    Args:
        signer: the fingerprint of the key that signs the checkpoint.
    """
    room = _Room(said)
    last, spoken = _last(said), _Spoken(said)
    newest = sorted(last, key=lambda subject: (subject != signer, -last[subject]))
    added = [subject for subject in newest if said[last[subject]].action == ADD]
    dropped = [last[subject] for subject in added if not room.keep(spoken.why(subject))]
    for subject in newest:
        if subject not in added and not room.keep(spoken.why(subject)):
            # Without what made it count, and whoever took it back: it does not count either way.
            room.keep(place for place in spoken.last(subject) if said[place].action == REMOVE)
    return Kept(
        [said[place] for place in sorted(room.taken)], [said[place] for place in sorted(dropped)]
    )


class _Room:
    """What is taken, as far as there is room."""

    def __init__(self, said: Sequence[Statement]) -> None:
        self.taken: set[int] = set()
        self._said = said
        self._size = MAX_KEPT_SIZE

    def keep(self, places: Iterable[int]) -> bool:
        """Whether all of them are in: some without the others would say something else."""
        new = set(places) - self.taken
        size = sum(self._said[place].size for place in new)
        if size > self._size or len(self.taken) + len(new) > MAX_KEPT:
            return False
        self._size -= size
        self.taken |= new
        return True


def _last(said: Sequence[Statement]) -> dict[str, int]:
    """The place of the last statement about each key."""
    return {one.subject: place for place, one in enumerate(said) if _is_about_a_key(one)}


class _Spoken:
    """What was said of each key, in its order.

    A signer may have been an editor for some of it only, so that an earlier word of his counts
    where a later one does not: his standing is how often somebody had spoken of him by then.
    """

    def __init__(self, said: Sequence[Statement]) -> None:
        self._said = said
        self._of: dict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(said):
            if _is_about_a_key(one):
                self._of[one.subject].append(place)

    def why(self, subject: str) -> set[int]:
        """What decides whether the key counts now, and whether those count who said so."""
        taken = set(self.last(subject))
        seen: set[str] = set()
        waiting = list(taken)
        while waiting:
            signer = self._said[waiting.pop()].content.key
            if signer not in seen:
                seen.add(signer)
                words = self.ever(signer)
                taken.update(words)
                waiting.extend(words)
        return taken

    def last(self, subject: str) -> list[int]:
        """What decides whether the key counts now: each signer's last word of each standing."""
        words = {self._speaker(place): place for place in self._of[subject]}
        return self._newest(words.values())

    def ever(self, subject: str) -> list[int]:
        """What decided it at any time: all but repeats with nothing between that matters."""
        words: list[int] = []
        latest: dict[str, tuple[tuple[str, int], str, int]] = {}
        action, turn = "", 0
        for place in self._of.get(subject, ()):
            one = self._said[place]
            turn += one.action != action
            action = one.action
            word = (self._speaker(place), action, turn)
            if latest.get(one.content.key) != word:
                latest[one.content.key] = word
                words.append(place)
        return self._newest(words)

    def _speaker(self, place: int) -> tuple[str, int]:
        signer = self._said[place].content.key
        return signer, bisect.bisect(self._of.get(signer, ()), place)

    def _newest(self, places: Iterable[int]) -> list[int]:
        by_signer: dict[str, list[int]] = defaultdict(list)
        for place in sorted(places):
            by_signer[self._said[place].content.key].append(place)
        newest = itertools.chain.from_iterable(
            each[-_MAX_OF_SIGNER:] for each in by_signer.values()
        )
        return sorted(newest)[-_MAX_ABOUT:]


def _is_about_a_key(one: Statement) -> bool:
    return one.action in (ADD, REMOVE) and bool(one.subject)
