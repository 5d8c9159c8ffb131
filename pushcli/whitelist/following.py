"""Going along with the server's chain of statements about editors (docs/editors.md).

Pure: statements, pinned keys and the time go in; who may edit comes out, and what has no
effect, with the reason. A node goes on from what it knows and never back, so that each
statement is judged, and its signature verified, once.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from pushcli.protocol import limits
from pushcli.whitelist import chain
from pushcli.whitelist.chain import CHECKPOINT, Link, Statement, Unreadable
from pushcli.whitelist.judge import Judge, line
from pushcli.whitelist.standing import Extended, Pins, Standing
from pushcli.whitelist.statements import EditorStatement

_MOST_OLD = 500
"""Statements of the old form: more than fit into a message of a server that has no other."""


class Offered(NamedTuple):
    """What a server has: a set of statements, and the links of the chain after it."""

    base: Sequence[Statement] = ()
    links: Sequence[Statement] = ()


class _Kept(Exception):
    """The node keeps what it has; the text is one line."""


def read(base: Sequence[Any], links: Sequence[Any]) -> Offered:
    """Statements as in JSON.

    Raises:
        Unreadable: one of them is none, or there are too many.
    """
    if len(base) + len(links) > limits.MAX_STATEMENTS:
        raise Unreadable(f"more than {limits.MAX_STATEMENTS} statements about editors")
    offered = Offered([Statement(one) for one in base], [Statement(one) for one in links])
    if sum(one.size for one in (*offered.base, *offered.links)) > limits.MAX_STATEMENTS_SIZE:
        raise Unreadable(f"more than {limits.MAX_STATEMENTS_SIZE} bytes of statements")
    if any(one.is_old for one in offered.links):
        raise Unreadable("a link of the chain that is of the old form")
    return offered


def is_joined(offered: Offered) -> bool:
    """Whether each link names what stands before it."""
    links = offered.links
    if not links:
        return True
    first = links[0].content
    if not isinstance(first, Link):
        return False
    if first.action == CHECKPOINT:
        founded = first.kept == chain.digest_of_set(offered.base)
    else:
        founded = first.previous == chain.digest_of_set(chain.in_order(offered.base))
    pairs = itertools.pairwise(links)
    return founded and all(_previous(link) == before.digest for before, link in pairs)


def read_old(said: Sequence[Any]) -> Offered:
    """Statements of the old form as in JSON; what is none is left out."""
    found = []
    for raw in said[:_MOST_OLD]:
        try:
            one = Statement(raw)
        except Unreadable:
            continue
        if one.is_old:
            found.append(one)
    return Offered(found)


def inherit(accepted: Sequence[EditorStatement], pins: Pins, *, latest: int) -> Standing:
    """What a node of the version without a chain goes by: what it accepted still counts.

    Args:
        accepted: the newest of each key.
    """
    judge = Judge(Standing(), pins, org="", latest=latest)
    for statement in accepted:
        judge.inherit(statement)
    return judge.standing()


def anew(standing: Standing) -> Standing:
    """What is known, to be told everything once more: another key is pinned."""
    return msgspec.structs.replace(standing, head="", version=0, seen=())


def extend(standing: Standing, pins: Pins, offered: Offered, *, org: str, latest: int) -> Extended:
    """Go along with a chain, as far as it goes on from what the node knows.

    Args:
        latest: the version up to which statements count: 5 minutes ahead of the clock.
    """
    links = offered.links
    try:
        first = _first_new(standing, offered)
    except _Kept as kept:
        return Extended(standing, error=str(kept))
    judge = Judge(standing, pins, org=org, latest=latest)
    has_gap = first == 0 and bool(links and standing.head) and _jumps(standing, links[0])
    if not links:
        judge.old(offered.base)
    elif first == 0 and (not standing.head or links[0].action == CHECKPOINT):
        counts = judge.found(offered.base, links[0])
        # Who knows keys, but no place in the chain, cannot tell what it would leave out.
        has_gap = has_gap or not (counts or standing.head or not standing.vouched)
        if counts or has_gap:
            judge.settle(offered.base, links[0])
            first = 1
        else:
            # As a link of the chain it is without effect; what it would stand for, too.
            judge = Judge(standing, pins, org=org, latest=latest)
    for link in links[first:]:
        judge.judge(link)
    if has_gap and not judge.is_bridged:
        # A key that was taken back in the gap would say that it was not: only a pinned one may.
        return Extended(
            standing,
            error=f"the checkpoint of {line(links[0].content.signer)} stands for statements about "
            "editors that this node did not hear of, and no key that is pinned here signed it: "
            "let an editor whose key is sign one (`pushcli whitelist editors checkpoint`)",
        )
    return Extended(judge.standing(), tuple(judge.void))


def _first_new(standing: Standing, offered: Offered) -> int:
    """The place of the first link that the node has not seen.

    Raises:
        _Kept: they do not go on from what it knows.
    """
    links = offered.links
    if not is_joined(offered):
        raise _Kept("the server's statements about editors do not follow each other")
    if not standing.head:
        return 0
    if not links:
        raise _Kept("the server has lost the statements about editors that this node knows")
    # What stands after the last link that an editor signed may be anybody's, and may go again.
    places = {digest: place for place, digest in enumerate(standing.seen)}
    firm = places.get(standing.head, len(places))
    new = next((i for i, link in enumerate(links) if link.digest not in places), len(links))
    if new == len(links):
        if places[links[-1].digest] < firm:
            raise _Kept("the server's statements about editors end before what this node knows")
        return new
    if places.get(_previous(links[new]), -1) >= firm or _jumps(standing, links[new]):
        return new
    raise _Kept(
        f"two statements about editors follow the same one: what {line(links[new].content.signer)} "
        "signed does not go on from what this node knows"
    )


def _jumps(standing: Standing, link: Statement) -> bool:
    """Whether a checkpoint stands for statements that the node did not hear of.

    It does not lead over them by itself: a pinned key has to sign it, or a later one.
    """
    return (
        link.action == CHECKPOINT
        and _previous(link) not in standing.seen
        and link.content.version > standing.version
    )


def _previous(link: Statement) -> str:
    content = link.content
    return "" if isinstance(content, EditorStatement) else content.previous
