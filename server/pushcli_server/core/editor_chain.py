"""What the server has of editors' statements, and how much of it travels (docs/editors.md)."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from pushcli.protocol import limits
from pushcli.whitelist import chain, checkpoint
from pushcli.whitelist.chain import CHECKPOINT, Link, Statement, Unreadable


class Moved(Exception):
    """The chain has gone on, or begun, since the statement was signed; the text says so."""


class Full(Exception):
    """The statement would be one too many; the text says what to do."""


class Stored(NamedTuple):
    """An organization's statements, as JSON.

    Args:
        base: what the first link stands for; without links all that there are, of the old form.
        links: from a checkpoint on, or from the first one.
    """

    base: Sequence[Any]
    links: Sequence[Any]


class Travelling(NamedTuple):
    """Statements for agents, each as JSON text.

    Args:
        old: of the old form, the newest first: for agents that know no other.
        base, links: for the others.
    """

    old: Sequence[bytes] = ()
    base: Sequence[bytes] = ()
    links: Sequence[bytes] = ()


def travelling(stored: Stored, old: Iterable[Any], *, latest: int) -> Travelling:
    """What goes to agents.

    Args:
        old: all statements of the old form.
        latest: the version up to which they count: who dated one later keeps out the others.
    """
    counting = [said for said in old if said.get("version", 0) <= latest]
    counting.sort(key=lambda said: -said.get("version", 0))
    texts = [msgspec.json.encode(said) for said in counting]
    if stored.links:
        base, links = ([msgspec.json.encode(said) for said in part] for part in stored)
    else:
        base, links = newest(texts, limits.MAX_STATEMENTS_SIZE, limits.MAX_STATEMENTS), []
    return Travelling(texts, base, links)


def starts(links: Sequence[int], bases: Sequence[int | None]) -> list[int]:
    """Where what goes to agents may start, the earliest first.

    As much as there is room for: a checkpoint takes nothing away from nodes as long as what it
    stands for reaches them, too.

    Args:
        links: the bytes of each, in their order.
        bases: of those that stand for others, the bytes of these, or fewer; else None.
    """
    room, found = limits.MAX_STATEMENTS_SIZE, []
    for place in range(len(links) - 1, max(-1, len(links) - 1 - limits.MAX_STATEMENTS), -1):
        room -= links[place] + 1
        base = bases[place]
        if base is not None and base <= room:
            found.append(place)
    return found[::-1]


def fits(stored: Stored) -> bool:
    """Whether agents take so much."""
    said = [*stored.base, *stored.links]
    size = sum(len(msgspec.json.encode(one)) + 1 for one in said)
    return len(said) <= limits.MAX_STATEMENTS and size <= limits.MAX_STATEMENTS_SIZE


def newest(texts: Sequence[bytes], room: int, count: int) -> list[bytes]:
    """As many from the front as there is room for, the oldest first."""
    found: list[bytes] = []
    for text in texts[:count]:
        room -= len(text) + 1
        if room < 0:
            break
        found.append(text)
    return found[::-1]


def end(stored: Stored) -> str:
    """What the next statement has to name."""
    base, links = _read(stored)
    return chain.end_of(base, links)


def appended(stored: Stored, raw: Any, kept: Sequence[str]) -> list[Any] | None:
    """What a new link stands for: of a first link or a checkpoint, else None.

    Args:
        kept: of a checkpoint: digests of those of the statements that it keeps.

    Raises:
        Moved: it does not follow the last one.
        Full: there is no room for it.
        Unreadable: it is no link, or keeps anything else than it has to.
    """
    statement = Statement(raw)
    link = statement.content
    if not isinstance(link, Link):
        raise Unreadable("not a link of the chain")
    base, links = _read(stored)
    if link.previous != chain.end_of(base, links):
        raise Moved("somebody signed another statement about editors meanwhile")
    if statement.action == CHECKPOINT:
        known = {one.digest: one for one in (*base, *links)}
        if not known.keys() >= set(kept):
            raise Unreadable("the checkpoint keeps a statement that is not there")
        founded = [known[digest] for digest in kept]
        if link.kept != chain.digest_of_set(founded):
            raise Unreadable("the checkpoint is not signed over what it keeps")
        # Whoever signs it: nodes that hear of it alone must learn which keys were taken back, and
        # in another order, or with an older statement, it would say something else.
        needed = checkpoint.kept([*base, *links], link.key).statements
        if list(kept) != [one.digest for one in needed]:
            raise Unreadable(
                "the checkpoint does not keep what it has to, in its order: is pushcli on this "
                "workstation of another version than the server?"
            )
        _check_room([*founded, statement])
        return [one.raw for one in founded]
    if kept:
        raise Unreadable("only a checkpoint keeps statements")
    _check_room([*base, *links, statement])
    return None if links else [one.raw for one in chain.in_order(base)]


def _check_room(said: Sequence[Statement]) -> None:
    size = sum(one.size for one in said)
    if len(said) > limits.MAX_STATEMENTS or size > limits.MAX_STATEMENTS_SIZE:
        raise Full(
            f"{len(said)} statements about editors of {size} bytes: at most "
            f"{limits.MAX_STATEMENTS} of {limits.MAX_STATEMENTS_SIZE} bytes reach the agents; "
            "sign a checkpoint first (`pushcli whitelist editors checkpoint`)"
        )


def _read(stored: Stored) -> tuple[list[Statement], list[Statement]]:
    base, links = ([Statement(raw) for raw in part] for part in stored)
    return base, links
