"""Who may edit on a node, of its pinned keys and a chain of statements."""

import itertools
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushcli.protocol import limits
from pushcli.whitelist import chain, following
from pushcli.whitelist.chain import Statement, Unreadable
from pushcli.whitelist.following import Offered
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.standing import Extended, Pins, Standing
from pushcli.whitelist.statements import EditorStatement
from tests.support.editors import LATEST, NOW, ORG, Chain, forged, fp, key_of, old, person, pins

PEOPLE = ("ann", "ann2", "bob", "carl", "dora", "eve")
MINUTE = 60_000_000


def extend(
    standing: Standing, pinned: Pins, offered: Offered | Chain, latest: int = LATEST
) -> Extended:
    if isinstance(offered, Chain):
        offered = offered.offered
    return following.extend(standing, pinned, offered, org=ORG, latest=latest)


def editors(standing: Standing, pinned: Pins) -> set[str]:
    return {name for name in PEOPLE if standing.editor(fp(name), pinned) is not None}


def judged(pinned: Pins, said: Chain) -> tuple[set[str], list[str]]:
    """On a node that hears of it for the first time: the editors, and what is void."""
    extended = extend(Standing(), pinned, said)
    assert extended.error is None
    return editors(extended.standing, pinned), [void.reason for void in extended.void]


# --- vouching and revoking


def test_an_editor_vouches_for_another_who_vouches_for_a_third() -> None:
    said = Chain()
    said.say("ann", "add", "bob")
    said.say("bob", "add", "carl")
    assert judged(pins("ann"), said) == ({"ann", "bob", "carl"}, [])


def test_a_stranger_vouches_for_nobody_and_the_chain_goes_on_behind_him() -> None:
    said = Chain()
    said.say("eve", "add", "eve")
    said.say("eve", "add", "bob")
    said.say("ann", "add", "carl")
    found, void = judged(pins("ann"), said)
    assert found == {"ann", "carl"}
    assert void == ["eve is not an editor on this node"] * 2


def test_vouching_counts_up_to_the_revocation_of_who_vouches() -> None:
    said = Chain()
    said.say("ann", "add", "bob")
    said.say("bob", "add", "carl")
    said.say("ann", "remove", "bob")
    said.say("bob", "add", "dora")
    found, void = judged(pins("ann"), said)
    assert found == {"ann", "carl"}
    assert void == ["bob is not an editor on this node"]


def test_a_date_of_the_past_does_not_change_a_place_in_the_chain() -> None:
    said = Chain()
    said.say("ann", "add", "bob", version=1000)
    said.say("ann", "remove", "bob", version=2000)
    # Of a time when he still was an editor; what comes later in the chain is later.
    said.say("bob", "add", "eve", version=1500)
    assert judged(pins("ann"), said)[0] == {"ann"}


def test_a_key_that_was_taken_back_can_be_vouched_for_again() -> None:
    said = Chain()
    said.say("ann", "add", "bob")
    said.say("ann", "remove", "bob")
    said.say("ann", "add", "bob")
    assert judged(pins("ann"), said)[0] == {"ann", "bob"}


def test_nobody_vouches_for_himself() -> None:
    said = Chain()
    said.say("ann", "add", "ann")
    said.say("ann", "remove", "ann")
    found, void = judged(pins("ann"), said)
    assert (found, void) == (set(), ["nobody vouches for himself"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"org": "evil"}, "organization"),
        ({"signer": "eve"}, "does not match"),
        ({"editor": "eve"}, "does not match"),
        ({"version": 7}, "does not match"),
        ({"previous": "0" * 64}, None),
        ({"role": "run"}, "does not match"),
        ({"more": 1}, "does not match"),
        ({"signature": "AAAA"}, "does not match"),
    ],
)
def test_a_statement_that_was_touched_has_no_effect(
    change: dict[str, Any], reason: str | None
) -> None:
    said = Chain()
    link = said.say("ann", "add", "bob")
    said.links[0] = forged(link, **change)
    extended = extend(Standing(), pins("ann"), said)
    assert editors(extended.standing, pins("ann")) == {"ann"}
    if reason is None:
        assert extended.error is not None
    else:
        assert reason in extended.void[0].reason


# --- what a later version says


def test_what_a_later_version_says_has_no_effect_and_breaks_nothing() -> None:
    said = Chain()
    for more in ({"action": "rename"}, {"role": "run"}, {"action": "add", "until": 5}):
        link = said.statement("ann", "add", "bob")
        raw = {**link.raw, **more}
        del raw["signature"]
        signer = chain.Signer(key_of("ann"), org=ORG, name="ann")
        fields = ("org", "signer", "key", "previous", "version", "action")
        rest = {name: value for name, value in raw.items() if name not in fields}
        made = signer.signed(said.end, link.content.version, str(raw["action"]), **rest)
        said.links.append(Statement(made))
    found, void = judged(pins("ann"), said)
    # What only has more fields counts.
    assert found == {"ann", "bob"}
    assert [reason[:18] for reason in void] == ["it says rename, wh", "it is about the ro"]


# --- versions


def test_a_version_of_2_to_the_62_is_void_and_does_not_keep_out_what_follows() -> None:
    said = Chain()
    said.say("ann", "add", "bob")
    said.say("bob", "add", "eve", version=2**62)
    said.say("ann", "remove", "bob")
    found, void = judged(pins("ann"), said)
    assert found == {"ann"}
    assert "ahead of this node's clock" in void[0]


@pytest.mark.parametrize(("ahead", "counts"), [(-400 * 24 * 60, True), (5, True), (6, False)])
def test_five_minutes_ahead_are_the_limit_and_any_age_is_fine(ahead: int, counts: bool) -> None:
    said = Chain()
    said.say("ann", "add", "bob", version=NOW + ahead * MINUTE)
    assert ("bob" in judged(pins("ann"), said)[0]) == counts


# --- pinned keys


def test_a_stolen_key_cannot_take_back_pinned_ones() -> None:
    said = Chain()
    said.say("ann", "remove", "bob")
    said.say("ann", "remove", "carl")
    found, void = judged(pins("ann", "bob", "carl"), said)
    assert found == {"ann", "bob", "carl"}
    assert all("a second pinned key" in reason for reason in void)


def test_a_key_that_is_only_vouched_for_takes_no_pinned_one_back() -> None:
    said = Chain()
    said.say("ann", "add", "dora")
    said.say("dora", "remove", "bob")
    said.say("ann", "remove", "bob")
    found, void = judged(pins("ann", "bob", "carl"), said)
    assert found == {"ann", "bob", "carl", "dora"}
    assert void[0] == "a pinned key is taken back by pinned ones only"


def test_a_pinned_key_takes_itself_back() -> None:
    said = Chain()
    said.say("ann", "remove", "ann")
    said.say("ann", "add", "eve")
    assert judged(pins("ann", "bob"), said)[0] == {"bob"}


def test_two_pinned_keys_of_different_names_take_a_third_back() -> None:
    said = Chain()
    said.say("ann", "remove", "carl")
    said.say("bob", "remove", "carl")
    assert judged(pins("ann", "bob", "carl"), said)[0] == {"ann", "bob"}


def test_two_keys_of_one_name_do_not() -> None:
    said = Chain()
    said.say("ann", "remove", "carl")
    said.say("ann2", "remove", "carl")
    assert "carl" in judged(pins("ann", "ann2", "carl"), said)[0]


def test_the_same_key_twice_does_not() -> None:
    said = Chain()
    said.say("ann", "remove", "carl")
    said.say("ann", "remove", "carl")
    assert "carl" in judged(pins("ann", "bob", "carl"), said)[0]


@pytest.mark.parametrize("between", [(), ("dora",), ("dora", "eve")])
def test_two_of_whom_one_comes_from_the_other_do_not(between: Sequence[str]) -> None:
    said = Chain()
    way = ("ann", *between, "bob")
    for by, of in itertools.pairwise(way):
        said.say(by, "add", of)
    said.say("ann", "remove", "carl")
    said.say("bob", "remove", "carl")
    assert "carl" in judged(pins("ann", "bob", "carl"), said)[0]


def test_a_key_does_not_guard_itself_by_vouching_for_others() -> None:
    said = Chain()
    said.say("ann", "add", "carl")
    # Stolen: now bob seems to come from ann.
    said.say("carl", "add", "bob")
    said.say("ann", "remove", "carl")
    said.say("bob", "remove", "carl")
    assert "carl" not in judged(pins("ann", "bob", "carl"), said)[0]


def test_the_wish_of_a_key_that_was_taken_back_does_not_count() -> None:
    said = Chain()
    said.say("ann", "remove", "carl")
    said.say("ann", "remove", "ann")
    said.say("bob", "remove", "carl")
    assert judged(pins("ann", "bob", "carl"), said)[0] == {"bob", "carl"}


def test_a_pinned_key_that_is_vouched_for_as_well_stays_pinned() -> None:
    said = Chain()
    said.say("ann", "add", "bob")
    said.say("ann", "remove", "bob")
    assert judged(pins("ann", "bob"), said)[0] == {"ann", "bob"}


def test_what_the_node_distrusts_counts_whoever_vouches_for_it() -> None:
    said = Chain()
    said.say("ann", "add", "bob")
    said.say("bob", "add", "carl")
    assert judged(pins("ann", distrusted=["bob"]), said)[0] == {"ann"}


# --- going on, and never back


def test_a_node_goes_on_from_what_it_knows() -> None:
    said, pinned = Chain(), pins("ann")
    standing = Standing()
    for by, of in (("ann", "bob"), ("bob", "carl"), ("carl", "dora")):
        said.say(by, "add", of)
        standing = extend(standing, pinned, said).standing
    assert editors(standing, pinned) == {"ann", "bob", "carl", "dora"}
    assert extend(standing, pinned, said) == Extended(standing)
    assert standing == extend(Standing(), pinned, said).standing


def test_two_successors_of_one_statement_change_nothing_and_are_reported() -> None:
    said, pinned = Chain(), pins("ann", "bob")
    said.say("ann", "add", "carl")
    other = Chain()
    other.links = list(said.links)
    said.say("ann", "remove", "carl")
    other.say("bob", "add", "eve")
    known = extend(Standing(), pinned, said).standing
    forked = extend(known, pinned, other)
    assert forked.standing == known
    assert forked.error is not None
    assert "follow the same one" in forked.error
    assert "bob" in forked.error
    # And what goes on from the other one neither.
    other.say("bob", "add", "dora")
    assert extend(known, pinned, other).error is not None


def test_another_first_link_is_such_a_fork() -> None:
    said, other, pinned = Chain(), Chain(), pins("ann", "bob")
    said.say("ann", "add", "carl")
    other.say("bob", "add", "eve")
    known = extend(Standing(), pinned, said).standing
    forked = extend(known, pinned, other)
    assert (forked.standing, forked.error is None) == (known, False)


def test_a_chain_that_ends_earlier_changes_nothing_and_is_reported() -> None:
    said, pinned = Chain(), pins("ann")
    said.say("ann", "add", "bob")
    said.say("ann", "remove", "bob")
    known = extend(Standing(), pinned, said).standing
    for links in (said.links[:1], []):
        behind = extend(known, pinned, Offered([], links))
        assert behind.standing == known
        assert behind.error is not None


def test_links_in_another_order_or_without_one_of_them_are_refused() -> None:
    said, pinned = Chain(), pins("ann")
    for of in ("bob", "carl", "dora"):
        said.say("ann", "add", of)
    one, two, three = said.links
    for links in ([two, one, three], [one, three], [two, three], [one, one, two, three]):
        extended = extend(Standing(), pinned, Offered([], links))
        assert extended.standing == Standing()
        assert extended.error == "the server's statements about editors do not follow each other"


def test_what_nobody_signed_cannot_lead_a_node_away_from_the_chain() -> None:
    said, pinned = Chain(), pins("ann")
    said.say("ann", "add", "bob")
    known = extend(Standing(), pinned, said).standing
    lie = Chain()
    lie.links = list(said.links)
    lie.say("eve", "add", "eve")
    led = extend(known, pinned, lie).standing
    assert editors(led, pinned) == {"ann", "bob"}
    said.say("ann", "remove", "bob")
    back = extend(led, pinned, said)
    assert (editors(back.standing, pinned), back.error) == ({"ann"}, None)


def test_a_checkpoint_that_nobody_signed_leads_nowhere_either() -> None:
    said, pinned = Chain(), pins("ann")
    said.say("ann", "add", "bob")
    known = extend(Standing(), pinned, said).standing
    lie = Chain()
    lie.say("eve", "add", "eve")
    lie.checkpoint("eve", lie.links, version=LATEST - 1)
    led = extend(known, pinned, lie).standing
    said.say("ann", "remove", "bob")
    back = extend(led, pinned, said)
    assert (editors(back.standing, pinned), back.error) == ({"ann"}, None)


# --- each is verified once


class _Counted:
    """Verifications, counted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        verify = PublicNumbers.signed

        def signed(key: PublicNumbers, message: bytes, signature: str) -> bool:
            self.count += 1
            return verify(key, message, signature)

        patch.setattr(PublicNumbers, "signed", signed)


def test_each_statement_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _Counted(monkeypatch)
    said, pinned = (
        Chain(*(old("ann", of, NOW - 1000 - i) for i, of in enumerate(PEOPLE[2:]))),
        pins("ann"),
    )
    standing = extend(Standing(), pinned, said.offered).standing
    assert counted.count == 4
    for _ in range(5):
        said.say("ann", "add", "ann2")
        said.say("ann", "remove", "ann2")
    for _ in range(3):
        standing = extend(standing, pinned, said).standing
    # The old ones count already; they are looked at once more as what the chain stands on.
    assert counted.count == 4 + 10
    said.checkpoint("ann", said.base)
    for _ in range(3):
        standing = extend(standing, pinned, said).standing
    assert counted.count == 4 + 10 + 1


def test_old_statements_whose_signers_come_later_are_verified_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Three hundred of them took seven seconds.
    counted = _Counted(monkeypatch)
    many = [old("ann", "bob", NOW - i, removed=bool(i % 2)) for i in range(300)]
    begin = time.monotonic()
    extend(Standing(), pins("ann"), Offered(many))
    assert counted.count <= 300
    assert time.monotonic() - begin < 2


# --- the old form


def test_old_statements_count_until_there_is_a_chain_and_in_it() -> None:
    before = [old("ann", "bob", NOW - 9), old("bob", "carl", NOW - 5)]
    pinned = pins("ann")
    standing = extend(Standing(), pinned, Offered(before)).standing
    assert editors(standing, pinned) == {"ann", "bob", "carl"}
    said = Chain(*before)
    said.say("carl", "add", "dora")
    assert editors(extend(standing, pinned, said).standing, pinned) == {
        "ann", "bob", "carl", "dora",
    }  # fmt: skip
    assert judged(pinned, said)[0] == {"ann", "bob", "carl", "dora"}


def test_the_first_link_closes_the_set_of_old_ones() -> None:
    said, pinned = Chain(old("ann", "bob", NOW - 9)), pins("ann")
    said.say("ann", "remove", "bob")
    # Dated back to when bob was one: the set is another then.
    said.base = chain.in_order([*said.base, old("bob", "eve", NOW - 5)])
    extended = extend(Standing(), pinned, said)
    assert extended.error == "the server's statements about editors do not follow each other"
    assert editors(extended.standing, pinned) == {"ann"}


def test_the_order_in_which_old_ones_come_does_not_matter() -> None:
    said = Chain(old("ann", "bob", NOW - 9), old("ann", "carl", NOW - 9), old("bob", "dora", NOW))
    said.say("ann", "add", "eve")
    turned = Offered(said.base[::-1], said.links)
    ours, theirs = extend(Standing(), pins("ann"), turned), extend(Standing(), pins("ann"), said)
    assert editors(ours.standing, pins("ann")) == editors(theirs.standing, pins("ann"))
    assert editors(ours.standing, pins("ann")) == {"ann", "bob", "carl", "dora", "eve"}


def test_a_newer_old_statement_is_not_undone_by_an_older_one() -> None:
    pinned = pins("ann")
    removed = old("ann", "bob", NOW - 5, removed=True)
    standing = extend(Standing(), pinned, Offered([old("ann", "bob", NOW - 9)])).standing
    standing = extend(standing, pinned, Offered([removed])).standing
    assert editors(standing, pinned) == {"ann"}
    again = Chain(old("ann", "bob", NOW - 9))
    again.say("ann", "add", "carl")
    for offered in (again.offered, Offered(again.base)):
        extended = extend(standing, pinned, offered)
        assert "bob" not in editors(extended.standing, pinned)


def test_an_old_statement_dated_ahead_is_void_until_then_and_hides_no_other() -> None:
    pinned = pins("ann", "bob")
    ahead = old("ann", "carl", 2**62)
    standing = extend(Standing(), pinned, Offered([ahead])).standing
    assert editors(standing, pinned) == {"ann", "bob"}
    extended = extend(standing, pinned, Offered([ahead, old("ann", "carl", NOW)]))
    assert editors(extended.standing, pinned) == {"ann", "bob", "carl"}


def test_an_old_statement_takes_no_pinned_key_back_either() -> None:
    pinned = pins("ann", "bob")
    said = Offered([old("ann", "bob", removed=True)])
    assert editors(extend(Standing(), pinned, said).standing, pinned) == {"ann", "bob"}


def test_what_an_earlier_version_accepted_still_counts() -> None:
    pinned = pins("ann", "bob")
    accepted = [
        old("ann", "bob", NOW - 9, removed=True), old("ann", "carl", NOW - 8),
        old("carl", "dora", 2**62), old("ann", "ann2", NOW - 7, removed=True),
    ]  # fmt: skip
    contents = [one.content for one in accepted]
    given = [one for one in contents if isinstance(one, EditorStatement)]
    standing = following.inherit(given, pinned, latest=LATEST)
    assert editors(standing, pinned) == {"ann", "carl"}
    # And with the chain that goes on from there.
    said = Chain(*accepted)
    said.say("ann", "add", "dora")
    assert editors(extend(standing, pinned, said).standing, pinned) == {"ann", "carl", "dora"}


# --- checkpoints


def test_a_checkpoint_stands_for_what_lies_before_it() -> None:
    said, pinned = Chain(), pins("ann")
    said.say("ann", "add", "bob")
    for _ in range(3):
        said.say("ann", "add", "carl")
        said.say("ann", "remove", "carl")
    before = extend(Standing(), pinned, said).standing
    said.checkpoint("bob", said.links[:1])
    said.say("bob", "add", "dora")
    assert judged(pinned, said) == ({"ann", "bob", "dora"}, [])
    assert editors(extend(before, pinned, said).standing, pinned) == {"ann", "bob", "dora"}


def test_a_node_that_missed_what_a_checkpoint_replaces_goes_on_from_it() -> None:
    said, pinned = Chain(), pins("ann")
    first = said.say("ann", "add", "bob")
    known = extend(Standing(), pinned, said).standing
    said.say("ann", "remove", "bob")
    carl = said.say("ann", "add", "carl")
    said.checkpoint("ann", [carl])
    said.say("carl", "add", "dora")
    extended = extend(known, pinned, said)
    assert extended.error is None
    # Bob is not in it any more, though this node never heard that he was removed.
    assert editors(extended.standing, pinned) == {"ann", "carl", "dora"}
    assert first.digest not in {one.digest for one in said.all}


@pytest.mark.parametrize("by", ["eve", "bob", "carl"])
def test_only_a_pinned_key_leads_over_what_a_node_did_not_hear_of(by: str) -> None:
    said, pinned = Chain(), pins("ann")
    said.say("ann", "add", "bob")
    carl = said.say("ann", "add", "carl")
    known = extend(Standing(), pinned, said).standing
    said.say("ann", "remove", "bob")
    # By a stranger, by the key that was taken back, and by one that is only vouched for.
    said.checkpoint(by, [carl])
    said.say("bob", "add", "eve")
    kept = extend(known, pinned, said)
    assert kept.standing == known
    assert "let an editor" in str(kept.error)
    # Neither does a statement of another kind, nor a forged checkpoint.
    said.say("ann", "add", "dora")
    assert extend(known, pinned, said).standing == known
    last = said.links[-1]
    forger = chain.Signer(key_of("eve"), org=ORG, name="ann")
    raw = forger.checkpoint("0" * 64, previous=last.digest, version=last.content.version + 1)
    forgery = forged(Statement(raw), key=fp("ann"))
    assert extend(known, pinned, Offered(said.base, [*said.links, forgery])).standing == known
    # A pinned editor's does, though what came before still travels.
    signer = chain.Signer(key_of("ann"), org=ORG, name="ann")
    raw = signer.checkpoint("0" * 64, previous=last.digest, version=last.content.version + 1)
    said.links.append(Statement(raw))
    extended = extend(known, pinned, said)
    assert extended.error is None
    assert editors(extended.standing, pinned) == {"ann", "carl", "dora"}
    # Then it goes on as ever.
    said.say("carl", "add", "ann2")
    further = extend(extended.standing, pinned, said)
    assert (further.error, "ann2" in editors(further.standing, pinned)) == (None, True)


def test_a_pinned_key_that_was_taken_back_leads_over_nothing() -> None:
    said, pinned = Chain(), pins("ann", "dora")
    said.say("ann", "add", "bob")
    said.say("dora", "remove", "dora")
    known = extend(Standing(), pinned, said).standing
    said.say("ann", "remove", "bob")
    said.checkpoint("dora", [])
    assert extend(known, pinned, said).standing == known


def test_a_void_checkpoint_does_not_hide_what_a_node_without_a_chain_did_not_hear_of() -> None:
    before, pinned = old("ann", "bob", NOW - 9), pins("ann")
    known = extend(Standing(), pinned, Offered([before])).standing
    said = Chain(before)
    said.say("ann", "remove", "bob")
    said.checkpoint("eve", [])
    kept = extend(known, pinned, said)
    assert (kept.standing, kept.error is None) == (known, False)
    said.checkpoint("ann", [])
    assert editors(extend(known, pinned, said).standing, pinned) == {"ann"}


def test_an_older_checkpoint_does_not_lead_back() -> None:
    said, pinned = Chain(), pins("ann")
    bob = said.say("ann", "add", "bob")
    said.checkpoint("ann", [bob])
    earlier = said.offered
    said.say("ann", "remove", "bob")
    known = extend(Standing(), pinned, said).standing
    # A node that came by another way, too.
    said.say("ann", "add", "carl")
    said.checkpoint("ann", [said.links[-1]])
    jumped = extend(Standing(), pinned, said).standing
    for standing in (known, jumped):
        extended = extend(standing, pinned, earlier)
        assert extended.standing == standing
        assert extended.error is not None


def test_a_checkpoint_of_a_stranger_has_no_effect() -> None:
    said, pinned = Chain(), pins("ann")
    said.say("ann", "add", "bob")
    known = extend(Standing(), pinned, said).standing
    said.checkpoint("eve", [])
    said.say("ann", "add", "carl")
    assert editors(extend(known, pinned, said).standing, pinned) == {"ann", "bob", "carl"}
    assert judged(pinned, said)[0] == {"ann", "carl"}


def test_a_checkpoint_takes_back_no_pinned_key_and_brings_none_back() -> None:
    said, pinned = Chain(), pins("ann", "bob", "carl")
    gone = [said.say("ann", "remove", "carl"), said.say("bob", "remove", "carl")]
    known = extend(Standing(), pinned, said).standing
    said.checkpoint("ann", gone)
    assert editors(extend(known, pinned, said).standing, pinned) == {"ann", "bob"}
    assert judged(pinned, said)[0] == {"ann", "bob"}
    said.checkpoint("ann", [])
    assert editors(extend(known, pinned, said).standing, pinned) == {"ann", "bob"}


def test_a_checkpoint_over_other_statements_than_it_names_is_refused() -> None:
    said, pinned = Chain(), pins("ann")
    bob = said.say("ann", "add", "bob")
    said.checkpoint("ann", [])
    said.base = [bob]
    assert extend(Standing(), pinned, said).error is not None


# --- what is read


def test_more_than_200_statements_or_100_kb_are_not_read() -> None:
    one = old("ann", "bob").raw
    with pytest.raises(Unreadable, match="more than 200"):
        following.read([one] * 201, [])
    with pytest.raises(Unreadable, match="more than 100000 bytes"):
        following.read([one] * 200, [])


@pytest.mark.parametrize("raw", [None, 1, "x", [], {}, {"previous": "0" * 64}, {"a": [1]}])
def test_what_is_no_statement_is_not_read(raw: Any) -> None:
    with pytest.raises(Unreadable):
        following.read([], [raw])
    assert following.read_old([raw, old("ann", "bob").raw]).base[0].subject == fp("bob")


@given(
    st.dictionaries(
        st.sampled_from(list(Chain().statement("ann", "add", "bob").raw)),
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    )
)
def test_no_field_upsets_the_reader(change: dict[str, Any]) -> None:
    raw = {**Chain().statement("ann", "add", "bob").raw, **change}
    try:
        offered = following.read([], [raw])
    except Unreadable:
        return
    extended = extend(Standing(), pins("ann"), offered)
    assert set(extended.standing.vouched) <= {fp("bob")}


# --- whatever is said


Say = tuple[str, str, str, int]
says = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE), st.sampled_from(["add", "remove"]), st.sampled_from(PEOPLE),
        st.sampled_from([0, 0, 0, 1000, 2**62]),
    ),
    max_size=10,
)  # fmt: skip
pinnings = st.sets(st.sampled_from(PEOPLE[:4]), min_size=1)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made_of(said: Iterable[Say]) -> Chain:
    made = Chain()
    for by, action, of, version in said:
        made.say(by, action, of, version=version)
    return made


@quick
@given(says, pinnings)
def test_a_pinned_key_goes_by_its_own_word_or_that_of_two_of_different_names(
    said: list[Say], pinned: set[str]
) -> None:
    found, _ = judged(pins(*pinned), made_of(said))
    for name in pinned - found:
        against = {by for by, action, of, _ in said if action == "remove" and of == name}
        names = {person(by) for by in against & pinned}
        assert name in against or len(names) > 1


@quick
@given(says, pinnings)
def test_whoever_counts_was_pinned_or_vouched_for_and_not_taken_back_since(
    said: list[Say], pinned: set[str]
) -> None:
    found, _ = judged(pins(*pinned), made_of(said))
    # Whoever was vouched for only later, or taken back for a while, may have counted for nothing.
    always = (pinned & found) - {of for _, action, of, _ in said if action == "remove"}
    for name in found - pinned:
        about = [(by, action) for by, action, of, version in said
                 if of == name and by != name and version < LATEST]  # fmt: skip
        assert any(action == "add" for _, action in about)
        assert about[-1][1] == "add" or about[-1][0] not in always


@quick
@given(says, pinnings, st.lists(st.integers(1, 10), max_size=4))
def test_it_does_not_matter_in_how_many_parts_a_chain_is_heard_of(
    said: list[Say], pinned: set[str], parts: list[int]
) -> None:
    made, held = made_of(said), pins(*pinned)
    standing = Standing()
    for part in sorted(parts):
        extended = extend(standing, held, Offered([], made.links[:part]))
        assert extended.error is None
        standing = msgspec.json.decode(msgspec.json.encode(extended.standing), type=Standing)
    whole = extend(Standing(), held, made).standing
    assert extend(standing, held, made).standing == whole


@quick
@given(says, says, says, pinnings)
def test_a_node_never_goes_back_whatever_else_it_is_offered(
    common: list[Say], ours: list[Say], others: list[Say], pinned: set[str]
) -> None:
    held = pins(*pinned)
    mine, theirs = made_of([*common, *ours]), made_of(common)
    for by, action, of, version in others:
        theirs.say(by, action, of, version=version)
    known = extend(Standing(), held, mine).standing
    extended = extend(known, held, theirs)
    if extended.error is not None:
        assert extended.standing == known
        return
    # It went along: then nothing that an editor signed was left out.
    signed = {known.head} - {""}
    assert signed <= {link.digest for link in theirs.links}


@quick
@given(says, says, st.sampled_from(PEOPLE), pinnings, st.data())
def test_a_checkpoint_over_a_gap_counts_only_if_a_pinned_key_signed_it(
    common: list[Say], missed: list[Say], by: str, pinned: set[str], data: st.DataObject
) -> None:
    held, made = pins(*pinned), made_of(common)
    known = extend(Standing(), held, made).standing
    for one, action, of, version in missed:
        made.say(one, action, of, version=version)
    heard = {link.digest for link in made.links[: len(common)]}
    has_gap = bool(known.head) and made.end not in heard
    made.checkpoint(by, data.draw(st.sampled_from([[], made.all])))
    extended = extend(known, held, made)
    if has_gap and by not in pinned:
        assert (extended.standing, extended.error is None) == (known, False)


def test_statements_are_small_enough_for_many() -> None:
    said = Chain()
    size = said.say("ann", "add", "bob").size
    assert size * 90 < limits.MAX_STATEMENTS_SIZE
    assert said.say("ann", "remove", "bob").size * 140 < limits.MAX_STATEMENTS_SIZE
