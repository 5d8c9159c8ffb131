"""Which connections are too many; pure."""

from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.channel.crowd import PACED, PER_OWNER, Crowd, Limits, Pace, network
from pushcli_server.descriptors import shares

LIMITS = Limits(total=6, per_address=4, unproven=2)


def test_the_total_bounds_all_addresses_together() -> None:
    crowd = Crowd(LIMITS)
    for connection in range(6):
        assert crowd.has_room
        assert crowd.admit(connection, f"address {connection}")
    assert not crowd.has_room
    assert not crowd.admit(6, "another")
    crowd.forget(3)
    assert crowd.admit(6, "another")
    assert len(crowd) == 6


def test_an_address_has_its_own_bounds() -> None:
    crowd = Crowd(LIMITS)
    assert [crowd.admit(connection, "a") for connection in range(3)] == [True, True, False]
    crowd.prove(0)
    crowd.prove(0)
    assert crowd.admit(2, "a")
    assert not crowd.admit(3, "a")
    crowd.prove(1)
    crowd.prove(2)
    assert crowd.admit(3, "a")
    crowd.prove(3)
    assert not crowd.admit(4, "a")
    assert crowd.admit(4, "b")


def test_a_number_may_come_again_without_having_gone() -> None:
    crowd = Crowd(LIMITS)
    for _ in range(100):
        assert crowd.admit(7, "a")
    crowd.prove(7)
    assert crowd.admit(7, "b")
    assert len(crowd) == 1


def test_whoever_has_proven_himself_too_often_loses_his_oldest_connection() -> None:
    crowd = Crowd(Limits(100, 100, 100))
    for connection in range(PER_OWNER):
        crowd.admit(connection, "a")
        assert crowd.prove(connection, "web01") is None
        crowd.admit(50 + connection, "a")
        assert crowd.prove(50 + connection, "web02") is None
    crowd.admit(99, "b")
    assert crowd.prove(99, "web01") == 0
    crowd.forget(0)
    crowd.forget(3)
    crowd.admit(98, "b")
    assert crowd.prove(98, "web01") is None


def test_an_owners_connections_and_their_address_are_known_while_they_are_there() -> None:
    crowd = Crowd(Limits(100, 100, 100))
    for connection, owner in enumerate(["web01", "web02", "web01"]):
        crowd.admit(connection, "a")
        crowd.prove(connection, owner)
    assert crowd.owned("web01") == [0, 2]
    assert crowd.address(0) == "a"
    crowd.forget(0)
    assert crowd.owned("web01") == [2]
    assert crowd.address(0) is None
    crowd.forget(2)
    assert crowd.owned("web01") == []


def test_an_unknown_connection_means_nothing() -> None:
    crowd = Crowd(LIMITS)
    crowd.prove(5)
    crowd.forget(5)
    assert len(crowd) == 0


acts = st.tuples(
    st.sampled_from(["admit", "prove", "forget"]), st.integers(0, 9), st.sampled_from("abc")
)


@given(st.lists(acts, max_size=200))
def test_counts_are_always_those_of_what_is_there(story: list[tuple[str, int, str]]) -> None:
    crowd = Crowd(LIMITS)
    there: dict[int, str] = {}
    unproven: set[int] = set()
    for act, connection, address in story:
        if act == "admit":
            there.pop(connection, None)
            unproven.discard(connection)
            of = [c for c, a in there.items() if a == address]
            fits = (
                len(there) < LIMITS.total
                and len(of) < LIMITS.per_address
                and len(unproven.intersection(of)) < LIMITS.unproven
            )
            assert crowd.admit(connection, address) is fits
            if fits:
                there[connection] = address
                unproven.add(connection)
        elif act == "prove":
            crowd.prove(connection)
            unproven.discard(connection)
        else:
            crowd.forget(connection)
            there.pop(connection, None)
            unproven.discard(connection)
        assert len(crowd) == len(there)


def test_an_address_is_itself_and_its_site_in_ipv6() -> None:
    assert network("192.0.2.7") == "192.0.2.7"
    assert network("2001:db8:1:2:3::1") == network("2001:db8:1:2:4::9")
    assert network("2001:db8:1:2::1") != network("2001:db8:1:3::1")
    assert network("fe80::1%eth0") == network("fe80::2%eth0")


def test_all_ports_together_stay_below_the_limit_of_descriptors() -> None:
    for limit in (256, 1024, 4096, 20_000, 65_536, 524_288, 2**30):
        of = shares(limit)
        assert of.agents + of.rest <= limit - 64
        assert of.commands.total <= of.agents
        assert of.heartbeats.total <= of.agents / 2
        for port in (of.commands, of.heartbeats):
            assert port.unproven <= port.per_address < port.total
    # An operator who allows hardly anything gets a server that can be reached at all.
    assert shares(64).heartbeats.total == 8
    assert shares(64).rest == 8
    assert shares(524_288).commands.total == 100_000


def test_what_rest_and_files_do_not_need_is_for_nodes() -> None:
    assert {limit: shares(limit).old_agents for limit in (1024, 20_000, 65_536)} == {
        1024: 404, 20_000: 9_522, 65_536: 31_557,
    }  # fmt: skip
    assert shares(20_000).commands.total == 19_045
    assert shares(1024).rest == 136 + 15
    assert shares(65_536).rest == 1000 + 111


def test_an_address_may_come_at_once_and_then_at_its_pace_and_no_other_waits_for_it() -> None:
    pace = Pace(burst=10, rate=2.0)
    assert [pace.allows("a", 5.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert pace.allows("b", 5.0)
    assert [pace.allows("a", 5.4), pace.allows("a", 5.5), pace.allows("a", 5.5)] == [
        False,
        True,
        False,
    ]
    assert [pace.allows("a", 1000.0) for _ in range(11)] == [True] * 10 + [False]


def test_the_pace_of_so_many_addresses_is_remembered() -> None:
    pace = Pace(burst=1, rate=1.0)
    for number in range(3 * PACED):
        assert pace.allows(str(number), 0.0)
    assert len(pace) == PACED
    assert not pace.allows(str(3 * PACED - 1), 0.0)
