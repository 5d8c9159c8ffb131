"""What a checkpoint keeps of the statements about editors before it (docs/editors.md)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pushcli.protocol import limits
from pushcli.whitelist.chain import ADD, REMOVE, Statement

MAX_KEPT = limits.MAX_STATEMENTS * 3 // 4
MAX_KEPT_SIZE = limits.MAX_STATEMENTS_SIZE * 3 // 4
"""Bytes: statements that come later need room, too."""
_MAX_ABOUT = 10
"""Statements about one key."""


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

    First the keys that are vouched for, the newest first; then what made their vouchers
    editors; then the keys that were taken back. Of each key stays what each signer said last: on
    which nodes a signer counts is not known here, and one who counts nowhere must not hide
    what another said.

    Args:
        signer: the fingerprint of the key that signs the checkpoint.
    """
    room = _Room(said)
    last, about = _last(said), _about(said)
    newest = sorted(last, key=lambda subject: (subject != signer, -last[subject]))
    added = [subject for subject in newest if said[last[subject]].action == ADD]
    dropped = [last[subject] for subject in added if not room.keep(about[subject])]
    for places in _vouchers(said, room.taken):
        room.keep(places)
    for subject in newest:
        if subject not in added:
            room.keep(about[subject])
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


def _about(said: Sequence[Statement]) -> dict[str, list[int]]:
    """For each key the places of what each signer said last of it."""
    last = {
        (one.subject, one.content.key): place
        for place, one in enumerate(said)
        if _is_about_a_key(one)
    }
    about: dict[str, list[int]] = defaultdict(list)
    for (subject, _), place in last.items():
        about[subject].append(place)
    return {subject: sorted(places)[-_MAX_ABOUT:] for subject, places in about.items()}


def _vouchers(said: Sequence[Statement], of: Iterable[int]) -> Iterator[list[int]]:
    """For the signer of each statement what made him an editor, and took that back since."""
    seen: set[int] = set()
    waiting = sorted(of, reverse=True)
    while waiting:
        place = waiting.pop(0)
        signer = said[place].content.key
        adds = [i for i in range(place) if said[i].subject == signer and said[i].action == ADD]
        if not adds or adds[-1] in seen:
            continue
        seen.add(adds[-1])
        waiting.append(adds[-1])
        after = range(adds[-1], len(said))
        yield [i for i in after if said[i].subject == signer and _is_about_a_key(said[i])]


def _is_about_a_key(one: Statement) -> bool:
    return one.action in (ADD, REMOVE) and bool(one.subject)
