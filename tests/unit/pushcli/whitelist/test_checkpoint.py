"""What a checkpoint keeps: whoever hears of it alone knows the same editors."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pushcli.whitelist import checkpoint, following
from pushcli.whitelist.chain import ADD, Statement
from pushcli.whitelist.standing import Pins, Standing
from tests.support.editors import LATEST, NOW, ORG, Chain, fp, old, pins

PEOPLE = ("ann", "bob", "carl", "dora", "eve")


def editors(said: Chain, pinned: Pins) -> set[str]:
    extended = following.extend(Standing(), pinned, said.offered, org=ORG, latest=LATEST)
    assert extended.error is None
    return {name for name in PEOPLE if extended.standing.editor(fp(name), pinned) is not None}


def checkpointed(said: Chain, by: str) -> Chain:
    kept = checkpoint.kept(said.all, fp(by))
    assert kept.dropped == []
    said.checkpoint(by, kept.statements)
    return said


def test_what_was_undone_is_not_kept() -> None:
    said = Chain(old("ann", "bob", NOW - 9))
    for _ in range(20):
        said.say("ann", "add", "carl")
        said.say("ann", "remove", "carl")
    last = said.say("ann", "add", "dora")
    kept = checkpoint.kept(said.all, fp("ann"))
    gone = said.links[-2]
    assert [one.digest for one in kept.statements] == [
        said.base[0].digest, gone.digest, last.digest,
    ]  # fmt: skip


def test_the_way_from_a_pinned_key_stays_though_keys_on_it_are_gone() -> None:
    said = Chain()
    for by, of in (("ann", "bob"), ("bob", "carl"), ("carl", "dora")):
        said.say(by, "add", of)
    said.say("dora", "remove", "bob")
    said.say("dora", "remove", "carl")
    before = editors(said, pins("ann"))
    assert before == {"ann", "dora"}
    assert editors(checkpointed(said, "dora"), pins("ann")) == before


@pytest.mark.parametrize("pinned", [("ann", "bob", "carl"), ("bob", "carl")])
def test_pinned_keys_that_were_taken_back_stay_so(pinned: tuple[str, ...]) -> None:
    said = Chain()
    said.say("ann", "remove", "ann")
    said.say("bob", "remove", "dora")
    said.say("carl", "remove", "dora")
    before = editors(said, pins(*pinned, "dora"))
    assert before == {"bob", "carl"}
    assert editors(checkpointed(said, "bob"), pins(*pinned, "dora")) == before


def test_if_there_is_no_room_the_oldest_keys_go_and_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "MAX_KEPT", 2)
    said = Chain()
    for of in ("bob", "carl", "dora"):
        said.say("ann", "add", of)
    kept = checkpoint.kept(said.all, fp("bob"))
    # Whoever signs it stays.
    assert [one.content.editor for one in kept.statements] == ["bob", "dora"]
    assert [one.content.editor for one in kept.dropped] == ["carl"]


def test_years_of_rotations_fit() -> None:
    said: list[Statement] = []
    made = Chain()
    for number in range(300):
        by, of = ("bob", "carl") if number % 2 else ("carl", "bob")
        said += [made.say(by, "add", of), made.say(of, "remove", by)]
    kept = checkpoint.kept(said, fp("bob"))
    assert kept.dropped == []
    assert len(kept.statements) <= checkpoint.MAX_KEPT
    assert sum(one.size for one in kept.statements) <= checkpoint.MAX_KEPT_SIZE
    assert any(one.action == ADD and one.subject == fp("carl") for one in kept.statements)


def test_who_is_no_editor_hides_nothing_that_one_said() -> None:
    said = Chain()
    said.say("ann", "add", "bob")
    said.say("ann", "add", "carl")
    # Administrators of the server may say this; on the nodes it counts for nothing.
    said.say("eve", "remove", "bob")
    said.say("eve", "add", "carl")
    assert editors(said, pins("ann")) == {"ann", "bob", "carl"}
    assert editors(checkpointed(said, "ann"), pins("ann")) == {"ann", "bob", "carl"}


def test_a_key_that_was_taken_back_stays_so_though_there_is_no_room_for_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = Chain()
    for by, action, of in REPEATED:
        said.say(by, action, of)
    monkeypatch.setattr(checkpoint, "MAX_KEPT", 3)
    assert editors(checkpointed(said, "ann"), pins("ann")) == {"ann", "carl"}


says = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE), st.sampled_from(["add", "add", "remove"]),
        st.sampled_from(PEOPLE),
    ),
    max_size=12,
)  # fmt: skip


REPEATED = [("ann", "add", "bob"), ("ann", "add", "carl"), ("carl", "remove", "bob"),
            ("ann", "add", "carl")]  # fmt: skip
"""Of the second word about carl alone, carl was no editor when he took bob back."""
TAKEN_BACK_TOO = [("ann", "add", "bob"), ("bob", "add", "carl"), ("ann", "remove", "bob"),
                  ("bob", "add", "carl")]  # fmt: skip
"""What bob says when he counts no more hides nothing that he said before."""


@settings(max_examples=100, deadline=None)
@given(says)
@example(REPEATED)
@example(TAKEN_BACK_TOO)
@example([("ann", "add", "carl"), ("bob", "add", "carl"), ("carl", "add", "bob"),
          ("ann", "add", "carl")])  # fmt: skip
def test_whoever_pinned_the_signers_key_knows_no_other_editors_than_before(
    said: list[tuple[str, str, str]],
) -> None:
    made, pinned = Chain(), pins("ann")
    for by, action, of in said:
        # A key that takes itself back signs no checkpoint.
        if (by, action, of) != ("ann", "remove", "ann"):
            made.say(by, action, of)
    before = editors(made, pinned)
    after = editors(checkpointed(made, "ann"), pinned)
    assert after == before
