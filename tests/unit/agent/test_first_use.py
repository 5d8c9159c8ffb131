"""Which editors a node takes on first use, and when it tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol.chef_answers import Group, Owner
from pushcli_agent.first_use import decisions
from pushcli_agent.first_use.decisions import Attempts, Candidate, Members, Unacceptable


def group(*users: str, clients: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> Group:
    return Group(users=frozenset(users), clients=frozenset(clients), groups=groups)


@pytest.mark.parametrize(
    ("asked_for", "has_pins", "is_done", "wanted"),
    [
        (True, False, False, True),
        (False, False, False, False),
        (True, True, False, False),
        # The pins vanished: who made them vanish must not choose the next ones.
        (True, False, True, False),
        (True, True, True, False),
    ],
)
def test_it_is_wanted_once(asked_for: bool, has_pins: bool, is_done: bool, wanted: bool) -> None:
    found = decisions.is_wanted(asked_for=asked_for, has_pins=has_pins, is_done=is_done)
    assert found is wanted


def test_attempts_are_at_once_and_then_further_and_further_apart() -> None:
    attempts = Attempts(lambda: 1.0)
    assert attempts.due_at == 0.0
    delays = []
    for _ in range(40):
        attempts.failed(1_000.0)
        delays.append(attempts.due_at - 1_000.0)
    assert delays[:4] == [5.0, 10.0, 20.0, 40.0]
    assert delays[-1] == 600.0
    early = Attempts(lambda: 0.0)
    early.failed(0.0)
    assert early.due_at == 2.5


def looked_into(org: str, groups: dict[str, Group]) -> tuple[list[str], list[str]]:
    """The users that are found, and the groups that were asked for."""
    members, asked = Members(org), []
    while (name := members.next_group) is not None:
        asked.append(name)
        members.add(groups.get(name))
    return members.users, asked


def test_members_are_users_of_nested_groups_too_and_cycles_end() -> None:
    groups = {
        "admins": group(
            "ann", clients=("bot",), groups=("inner", "other::x", "acme::mine", "gone")
        ),
        "inner": group("bob", groups=("admins", "inner")),
        "mine": group("carl", "ann"),
    }
    users, asked = looked_into("acme", groups)
    assert users == ["ann", "bob", "carl"]
    assert sorted(asked) == ["admins", "gone", "inner", "mine"]


def test_odd_names_lead_nowhere() -> None:
    groups = {"admins": group("ann", "../x", "a b", groups=("../clients", "a/b"))}
    assert looked_into("acme", groups) == (["ann"], ["admins"])


def test_too_many_groups_or_users_are_none() -> None:
    for many in (
        group(*map(str, range(decisions.MAX_USERS + 1))),
        group(groups=tuple(map(str, range(decisions.MAX_GROUPS)))),
    ):
        with pytest.raises(Unacceptable, match="more than"):
            Members("acme").add(many)
    Members("acme").add(group(*map(str, range(decisions.MAX_USERS))))
    Members("acme").add(group(groups=tuple(map(str, range(decisions.MAX_GROUPS - 1)))))


@given(st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.sampled_from("abcdef"))))
def test_each_group_is_asked_for_once(within: dict[str, frozenset[str]]) -> None:
    groups = {name: group(name, groups=tuple(inner)) for name, inner in within.items()}
    groups["admins"] = group("ann", groups=tuple(within))
    users, asked = looked_into("acme", groups)
    assert len(asked) == len(set(asked))
    assert set(users) == {"ann", *within}


def test_keys_of_clients_and_of_users_elsewhere_are_nobodys() -> None:
    owners = [
        Owner(kind="user", public_keys=("K1", "K2"), is_member=True),
        Owner(kind="client", public_keys=("K3",), is_member=True),
    ]
    assert decisions.candidates("ann", owners) == [Candidate("ann", "K1"), Candidate("ann", "K2")]
    elsewhere = [Owner(kind="user", public_keys=("K1",), is_member=False)]
    assert decisions.candidates("pivotal", elsewhere) == []
    assert decisions.candidates("ghost", None) == []


def test_usable_keys_are_pinned_once_each() -> None:
    found = [Candidate("ann", "K1"), Candidate("ann", "bad"), Candidate("bob", "K1")]
    usable = {"K1": "F1"}
    assert decisions.chosen(found, usable.get) == [Candidate("ann", "K1")]
    with pytest.raises(Unacceptable, match="usable key"):
        decisions.chosen(found[1:2], usable.get)
    many = [Candidate("ann", str(n)) for n in range(decisions.MAX_KEYS + 1)]
    with pytest.raises(Unacceptable, match="more than"):
        decisions.chosen(many, lambda pem: pem)
    assert len(decisions.chosen(many[1:], lambda pem: pem)) == decisions.MAX_KEYS
