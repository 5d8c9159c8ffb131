"""Whether a client was deleted since it was seen: with a bound on what is remembered."""

from pushcli_server.core.deletions import Deletions
from pushcli_server.core.identity import NodeKey

A, B, C = (NodeKey("acme", name) for name in "abc")


def test_what_was_seen_before_a_deletion_counts_no_more() -> None:
    deletions = Deletions()
    before = deletions.count
    deletions.note(A)
    assert (deletions.since(before, A), deletions.since(before, B)) == (True, False)
    assert not deletions.since(deletions.count, A)


def test_the_last_deletion_of_a_name_counts() -> None:
    deletions = Deletions()
    deletions.note(A)
    before = deletions.count
    deletions.note(A)
    assert deletions.since(before, A)


def test_of_what_is_no_longer_known_nothing_older_is_trusted() -> None:
    deletions = Deletions(remembered=1)
    before = deletions.count
    deletions.note(A)
    between = deletions.count
    # A again is the oldest no more, and B takes its place.
    deletions.note(A)
    deletions.note(B)
    assert deletions.since(before, A)
    assert deletions.since(between, A)
    assert deletions.since(before, C)
    assert not deletions.since(deletions.count, C)


def test_no_more_names_are_remembered_than_the_bound() -> None:
    deletions = Deletions(remembered=3)
    for number in range(100):
        deletions.note(NodeKey("acme", f"node{number}"))
    assert len(deletions._last) == 3
