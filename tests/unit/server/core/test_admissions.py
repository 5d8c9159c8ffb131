"""Which keys are remembered, and for how long a displaced one is."""

from pushcli_server.core.admissions import KEYS_PER_NODE, Admission, Admissions
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
