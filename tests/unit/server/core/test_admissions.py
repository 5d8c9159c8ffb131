"""Which keys are remembered, and for how long a displaced one is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.core.admissions import (
    KEYS_BESIDE,
    KEYS_PER_NODE,
    Admission,
    Admissions,
    KeyOfAnotherNode,
    Unproven,
)
from pushcli_server.core.identity import NodeKey

A, B = NodeKey("acme", "a"), NodeKey("acme", "b")


def admitted(*keys: str) -> Admissions:
    admissions = Admissions()
    for number, key in enumerate(keys):
        admissions.admit(key, Admission(A, float(number)))
    return admissions


def test_so_many_keys_of_a_node_count_the_oldest_go() -> None:
    keys = [f"k{number}" for number in range(KEYS_PER_NODE + 1)]
    admissions = admitted(*keys)
    assert admissions.owner(keys[0]) is None
    assert all(admissions.owner(key) == A for key in keys[1:])


def test_a_key_that_is_admitted_again_is_the_newest_and_counts_once() -> None:
    keys = [f"k{number}" for number in range(KEYS_PER_NODE)]
    admissions = admitted(*keys, keys[0], "new")
    assert admissions.owner(keys[0]) == A
    assert admissions.owner(keys[1]) is None
    again = admissions.of(keys[0])
    assert again is not None
    assert again.expires_at == float(KEYS_PER_NODE)


def test_a_forgotten_node_has_no_key_others_keep_theirs() -> None:
    admissions = admitted("k1", "k2")
    admissions.admit("k3", Admission(B, 1.0))
    admissions.forget(A)
    admissions.forget(A)
    assert [admissions.owner(key) for key in ("k1", "k2", "k3")] == [None, None, B]


def beside(admissions: Admissions, key: str, node: NodeKey = A) -> None:
    admissions.admit_beside(key, Admission(node, 60.0, unproven=Unproven()))


def test_a_key_beside_the_nodes_own_displaces_none_of_them() -> None:
    own = [f"k{number}" for number in range(KEYS_PER_NODE)]
    admissions = admitted(*own)
    for number in range(KEYS_BESIDE + 1):
        beside(admissions, f"b{number}")
    assert all(admissions.owner(key) == A for key in own)
    assert admissions.owner("b0") is None
    assert admissions.owner(f"b{KEYS_BESIDE}") == A


def test_a_known_key_is_not_put_beside() -> None:
    admissions = admitted("k")
    before = admissions.of("k")
    beside(admissions, "k")
    assert admissions.of("k") == before


def test_a_key_beside_becomes_the_nodes_own() -> None:
    admissions = admitted("k")
    beside(admissions, "b")
    admissions.admit("b", Admission(A, 600.0))
    for number in range(KEYS_BESIDE):
        beside(admissions, f"b{number}")
    assert admissions.of("b") == Admission(A, 600.0)


def test_what_stands_beside_one_nodes_keys_is_free_for_another() -> None:
    admissions = admitted("k")
    beside(admissions, "b")
    beside(admissions, "b", B)
    assert admissions.owner("b") == B
    admissions.admit("b", Admission(A, 1.0))
    assert admissions.owner("b") == A
    with pytest.raises(KeyOfAnotherNode):
        beside(admissions, "b", B)
    admissions.forget(B)
    assert admissions.owner("b") == A
    admissions.forget(A)
    assert admissions.owner("b") is None


keys = st.sampled_from(["k1", "k2", "k3", "k4", "k5", "k6", "k7"])
steps = st.lists(
    st.tuples(st.sampled_from(["admit", "beside", "forget"]), keys, st.sampled_from([A, B])),
    max_size=80,
)


@given(steps)
def test_a_key_is_one_nodes_and_a_forgotten_node_has_none(
    story: list[tuple[str, str, NodeKey]],
) -> None:
    admissions = Admissions()
    for step, key, node in story:
        owner = admissions.owner(key)
        known = admissions.of(key)
        try:
            if step == "admit":
                admissions.admit(key, Admission(node, 1.0))
            elif step == "beside":
                beside(admissions, key, node)
            else:
                admissions.forget(node)
                assert node not in {admissions.owner(f"k{number}") for number in range(1, 8)}
                continue
        except KeyOfAnotherNode:
            assert owner not in (None, node)
            assert known is not None
            assert known.unproven is None
            assert admissions.of(key) == known
        else:
            assert admissions.owner(key) == node
