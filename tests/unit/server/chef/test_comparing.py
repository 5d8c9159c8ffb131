"""What of an organization is not on the other side as it is here."""

import pytest

from pushcli import keys
from pushcli_server.chef.comparing import UNUSABLE, Membership, Side, Who, compare
from tests.support.identities import KEYS

PEMS = [keys.public_pem(key) for key in KEYS]
PRINTS = [keys.fingerprint(key) for key in KEYS]
ANN, BOB, CI = Who("user", "ann"), Who("user", "bob"), Who("client", "ci")
POWERFUL = ("writers", "admins")


def side(people: dict[Who, tuple[str, ...]], *members: tuple[str, Who]) -> Side:
    return Side(keys=people, memberships=frozenset(Membership(*one) for one in members))


HERE = side(
    {ANN: (PEMS[0],), BOB: (PEMS[1],), CI: (PEMS[2],)},
    ("admins", ANN), ("writers", BOB), ("readers", CI),
)  # fmt: skip


def test_two_that_are_the_same() -> None:
    found = compare("acme", HERE, HERE, POWERFUL)
    assert found.is_same
    assert (found.kept, found.lost, found.locks_out) == ([ANN, BOB], [], False)


def test_an_organization_that_is_not_there() -> None:
    found = compare("acme", HERE, None, POWERFUL)
    assert (found.exists, found.is_same, found.locks_out) == (False, False, True)
    assert found.missing == [CI, ANN, BOB]
    assert found.lost == [ANN, BOB]
    # Nobody loses anything where nobody is.
    assert not compare("acme", side({}), None, POWERFUL).locks_out


def test_who_is_missing_is_no_second_time_outside_of_a_group() -> None:
    there = side({ANN: (PEMS[0],), Who("client", "bob"): (PEMS[1],)}, ("admins", ANN))
    found = compare("acme", HERE, there, POWERFUL)
    assert found.missing == [CI, BOB]
    assert found.outside == []
    assert (found.kept, found.lost) == ([ANN], [BOB])


@pytest.mark.parametrize(
    ("there", "only_here", "only_there"),
    [
        ((PEMS[1],), [PRINTS[0]], [PRINTS[1]]),
        ((PEMS[0], PEMS[1]), [], [PRINTS[1]]),
        ((), [PRINTS[0]], []),
        (("nonsense",), [PRINTS[0]], [UNUSABLE]),
    ],
)
def test_other_keys(there: tuple[str, ...], only_here: list[str], only_there: list[str]) -> None:
    here = side({ANN: (PEMS[0],)})
    [found] = compare("acme", here, side({ANN: there}), POWERFUL).other_keys
    assert (found.who, found.here, found.there) == (ANN, only_here, only_there)


def test_the_same_key_may_be_written_in_other_lines() -> None:
    there = side({ANN: (PEMS[0].replace("\n", "\r\n"),)})
    assert compare("acme", side({ANN: (PEMS[0],)}), there, POWERFUL).is_same


def test_another_group_may_give_the_same_power() -> None:
    there = side(dict(HERE.keys), ("writers", ANN), ("readers", CI))
    found = compare("acme", HERE, there, POWERFUL)
    assert found.outside == [Membership("admins", ANN), Membership("writers", BOB)]
    assert (found.kept, found.lost, found.locks_out) == ([ANN], [BOB], False)


@pytest.mark.parametrize("there", [(), ("nonsense",)])
def test_who_has_no_key_there_has_no_power(there: tuple[str, ...]) -> None:
    here = side({ANN: (PEMS[0],)}, ("admins", ANN))
    found = compare("acme", here, side({ANN: there}, ("admins", ANN)), POWERFUL)
    assert (found.kept, found.lost, found.locks_out) == ([], [ANN], True)


def test_reading_is_no_power_that_anybody_could_lose() -> None:
    here = side({CI: (PEMS[2],)}, ("readers", CI))
    found = compare("acme", here, side({CI: (PEMS[2],)}), POWERFUL)
    assert found.outside == [Membership("readers", CI)]
    assert (found.kept, found.lost, found.locks_out) == ([], [], False)
