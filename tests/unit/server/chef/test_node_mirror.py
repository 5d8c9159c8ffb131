"""What is read of the nodes of a Chef Infra Server, and when."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.chef import node_mirror
from pushcli_server.chef.node_answers import NO_ATTRIBUTES, NOTHING, Attributes
from pushcli_server.chef.node_mirror import AGAIN, MAX_READS, UNSEEN, Known, Mirror

A, B = (Attributes("{}", f'{{"push_jobs":{number}}}', "{}") for number in (1, 2))
BARE = Known(there=True, shown=NOTHING, digest=NO_ATTRIBUTES.digest)
HAS_A = Known(there=True, shown="a", digest=A.digest)
GONE = Known(there=False, shown=UNSEEN, digest=NO_ATTRIBUTES.digest)


def test_a_new_node_without_attributes_is_not_read() -> None:
    plan = Mirror().plan(frozenset({"n1", "n2"}), {"n1": NOTHING, "n2": "x"})
    assert plan == (["n1"], ["n2"], False)
    assert Mirror({"n1": GONE}).plan(frozenset({"n1"}), {"n1": NOTHING}).bare == ["n1"]


def test_what_changed_is_read_and_nothing_is_taken_away_unread() -> None:
    known = {"same": HAS_A, "other": HAS_A, "lost": HAS_A, "unshown": HAS_A, "unlisted": HAS_A,
             "gone": GONE}  # fmt: skip
    shown = {"same": "a", "other": "b", "lost": NOTHING, "stranger": "c"}
    plan = Mirror(known).plan(frozenset({"same", "other", "lost", "unshown"}), shown)
    assert plan == ([], ["lost", "other", "unlisted", "unshown", "same"], False)


def test_what_seems_unchanged_is_read_again_in_turn() -> None:
    names = [f"n{number:02}" for number in range(25)]
    mirror = Mirror(dict.fromkeys(names, HAS_A))
    shown = dict.fromkeys(names, "a")
    read = []
    for look in range(3):
        some = mirror.plan(frozenset(names), shown).read
        assert len(some) == AGAIN
        for name in some:
            mirror.asks(name, look + 1)
        read += some
    assert set(read) == set(names)


def test_one_look_reads_no_more_than_so_many_and_those_that_fail_come_last() -> None:
    names = [f"n{number:05}" for number in range(MAX_READS + 5)]
    mirror = Mirror()
    shown = dict.fromkeys(names, "x")
    first = mirror.plan(frozenset(names), shown)
    assert (len(first.read), first.unfinished) == (MAX_READS, True)
    for name in first.read:
        mirror.asks(name, 1)
    assert mirror.plan(frozenset(names), shown).read[:5] == names[-5:]
    # Search that does not work is no reason to look again at once.
    known = Mirror(dict.fromkeys(names, HAS_A))
    plan = known.plan(frozenset(names), {})
    assert (len(plan.read), plan.unfinished) == (MAX_READS, False)


def test_an_earlier_question_never_replaces_what_a_later_one_brought() -> None:
    mirror = Mirror()
    assert mirror.hear("n1", B, "b", 7) is not None
    assert mirror.hear("n1", A, "a", 5) is None
    assert mirror.hear("n1", None, UNSEEN, 6) is None
    assert mirror.known["n1"].digest == B.digest
    later = mirror.hear("n1", A, "a", 8)
    assert later is not None
    assert later.changed


def test_only_what_is_new_is_kept_and_only_what_changed_is_told() -> None:
    mirror = Mirror({"n1": HAS_A})
    assert mirror.hear("n1", A, "a", 1) is None
    shown = mirror.hear("n1", A, "z", 2)
    assert shown is not None
    assert not shown.changed
    new = mirror.hear("n2", NO_ATTRIBUTES, NOTHING, 3)
    assert new is not None
    assert new.changed
    gone = mirror.hear("n1", None, "z", 4)
    assert gone is not None
    assert (gone.known, gone.attributes, gone.changed) == (GONE, NO_ATTRIBUTES, True)
    assert (mirror.names, mirror.gone) == (["n2"], ["n1"])
    assert mirror.hear("n1", None, "z", 5) is None
    assert mirror.hear("nobody", None, UNSEEN, 6) is None
    assert "nobody" not in mirror.known


def test_only_what_is_gone_is_forgotten() -> None:
    mirror = Mirror({"n1": HAS_A, "n2": GONE})
    mirror.forget(["n1", "n2", "n3"])
    assert mirror.known == {"n1": HAS_A}


_LEVELS = st.sampled_from([None, NO_ATTRIBUTES, A, B])


@given(st.data())
def test_whatever_happens_two_quiet_looks_make_it_equal(data: st.DataObject) -> None:
    """Nodes come, change and go between the questions of a look, whose answers come late; lists
    and pages are not whole. Once all is quiet, what is known is what there is.
    """
    names = ["n1", "n2", "n3"]
    there: dict[str, Attributes] = {}
    mirror = Mirror()
    ticket = 0

    def change() -> None:
        for name in names:
            if data.draw(st.booleans()):
                there.pop(name, None)
                if (new := data.draw(_LEVELS)) is not None:
                    there[name] = new

    def look(*, quiet: bool) -> None:
        nonlocal ticket
        late: list[Any] = []

        def some(found: Any) -> Any:
            return found if quiet else [x for x in found if data.draw(st.booleans())]

        listed = frozenset(some(list(there)))
        if not quiet:
            change()
        ticket += 1
        searched = ticket
        shown = {
            name: NOTHING if there[name] == NO_ATTRIBUTES else there[name].digest
            for name in some(list(there))
        }
        if not quiet:
            change()
        plan = mirror.plan(listed, shown)
        late += [(name, NO_ATTRIBUTES, NOTHING, searched) for name in plan.bare]
        for name in plan.read:
            ticket += 1
            mirror.asks(name, ticket)
            late.append((name, there.get(name), shown.get(name, UNSEEN), ticket))
            if not quiet:
                change()
        for answer in late if quiet else data.draw(st.permutations(late)):
            mirror.hear(*answer)

    for _ in range(data.draw(st.integers(0, 3))):
        change()
        look(quiet=False)
    # The first finds what differs; a node that went and came is found with the second.
    look(quiet=True)
    look(quiet=True)
    assert {name: mirror.known[name].digest for name in mirror.names} == {
        name: found.digest for name, found in there.items()
    }


@pytest.mark.parametrize(
    ("start", "total", "listed", "is_empty", "after"),
    [
        (0, 1_000, 1_000, False, None),
        (0, 1_001, 1_001, False, 1_000),
        (1_000, 1_001, 1_001, False, None),
        (0, 10**9, 5, False, 1_000),
        (1_000, 10**9, 5, False, None),
        (0, 5_000, 5_000, True, None),
        (0, -1, 5_000, False, None),
    ],
)
def test_pages_end(start: int, total: int, listed: int, is_empty: bool, after: int | None) -> None:
    assert node_mirror.next_page(start, 1_000, total, listed, is_empty=is_empty) == after


def test_pages_that_do_not_come_are_asked_for_in_smaller_ones_to_an_end() -> None:
    assert node_mirror.fewer_rows(1_000) == 100
    assert node_mirror.fewer_rows(10) == 1
    assert node_mirror.fewer_rows(1) is None


def test_when_it_is_looked_again() -> None:
    assert node_mirror.pause(60, 0) == 60
    assert node_mirror.pause(0, 0) is None
    assert node_mirror.pause(60, 0, unfinished=True) == 1
    assert node_mirror.pause(0, 0, unfinished=True) == 1
    assert [node_mirror.pause(60, n) for n in (1, 2, 3, 4, 99)] == [60, 120, 240, 300, 300]
    assert [node_mirror.pause(0, n) for n in (1, 2, 3, 4, 9)] == [1, 2, 4, 5, 5]
    assert node_mirror.pause(1, 9) == 5
    assert node_mirror.pause(3_600, 5) == 3_600
