"""Who makes room when there are too many connections, or they hold too much."""

from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.rest.connections import LEAVE, STAY, Connections


class Connection:
    """One that notes what became of it."""

    def __init__(self) -> None:
        self.dropped = self.turned_away = False

    def drop(self) -> None:
        """Note it."""
        self.dropped = True

    def turn_away(self) -> None:
        """Note it, and go when the test says."""
        self.turned_away = True


def several(connections: Connections, count: int, at: float = 0.0) -> list[Connection]:
    made = [Connection() for _ in range(count)]
    for number, connection in enumerate(made):
        connections.enter(connection, at + number * 0.001)
    return made


def turned_away(connections: list[Connection]) -> list[int]:
    return [number for number, connection in enumerate(connections) if connection.turned_away]


def dropped(connections: list[Connection]) -> list[int]:
    return [number for number, connection in enumerate(connections) if connection.dropped]


def test_there_is_room_up_to_the_limit() -> None:
    connections = Connections(4)
    several(connections, 2)
    assert connections.make_room(0.1)
    several(connections, 1)
    assert not connections.make_room(0.1)


def test_the_oldest_stranger_is_turned_away_once_he_stayed_for_a_while() -> None:
    connections = Connections(4)
    made = several(connections, 3)
    assert connections.make_room(STAY)
    # He needs a while for it, in a place that is kept for that.
    assert (turned_away(made), dropped(made), len(connections)) == ([0], [], 3)
    assert (connections.dropped, connections.refused) == (1, 0)
    connections.leave(made[0])
    assert len(connections) == 2


def test_only_so_many_are_turned_away_at_a_time_and_not_for_long() -> None:
    connections = Connections(4)
    made = several(connections, 3)
    assert connections.make_room(STAY)
    several(connections, 1, STAY)
    assert not connections.make_room(STAY + 0.1)
    assert connections.make_room(STAY + LEAVE)
    assert (turned_away(made), dropped(made)) == ([0, 1], [0])


def test_one_who_is_turned_away_is_not_counted_again() -> None:
    connections = Connections(4)
    made = several(connections, 3)
    connections.make_room(STAY)
    connections.enter(made[0], STAY)
    connections.prove(made[0])
    connections.rest(made[0], STAY)
    connections.hold(made[0], 50)
    assert (len(connections), connections.held) == (3, 0)


def test_where_descriptors_are_short_one_goes_at_once() -> None:
    connections = Connections(4)
    made = several(connections, 3)
    assert not connections.spare(0.1)
    assert connections.make_room(STAY)
    assert connections.spare(STAY + 0.1)
    assert connections.spare(STAY + 0.1)
    assert (dropped(made), len(connections)) == ([0, 1], 1)
    assert connections.dropped == 2, "each was counted once"


def test_who_has_proven_himself_stays_until_he_rests() -> None:
    connections = Connections(3)
    made = several(connections, 2)
    connections.prove(made[0])
    connections.prove(made[1])
    connections.rest(made[0], 100.0)
    assert not connections.make_room(100.1)
    assert connections.make_room(100.0 + STAY)
    assert turned_away(made) == [0]


def test_where_nobody_can_go_newcomers_are_told_that_they_cannot_stay() -> None:
    connections = Connections(22)
    for each in several(connections, 20):
        connections.prove(each)
    assert connections.make_room(1.0)
    first, second, third = [*several(connections, 1, 1.0), Connection(), Connection()]
    assert first.turned_away
    connections.prove(first)
    assert connections.make_room(1.1)
    connections.enter(second, 1.1)
    assert not connections.make_room(1.0 + LEAVE - 0.01)
    assert connections.make_room(1.01 + LEAVE)
    connections.enter(third, 1.01 + LEAVE)
    assert (first.dropped, second.dropped, third.turned_away) == (True, False, True)
    assert (connections.dropped, connections.refused, len(connections)) == (0, 3, 22)


def test_whoever_holds_most_goes_when_all_hold_too_much() -> None:
    connections = Connections(10, max_bytes=100)
    made = several(connections, 4)
    connections.hold(made[0], 30)
    connections.hold(made[1], 50)
    connections.hold(made[2], 20)
    assert dropped(made) == []
    connections.hold(made[3], 1)
    assert (dropped(made), connections.held) == ([1], 51)


def test_what_the_proven_hold_is_not_counted() -> None:
    connections = Connections(10, max_bytes=100)
    made = several(connections, 2)
    connections.hold(made[0], 90)
    connections.prove(made[0])
    connections.hold(made[0], 1_000)
    connections.hold(made[1], 90)
    assert (dropped(made), connections.held) == ([], 90)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "leave", "prove", "rest", "hold", "room"]),
        st.integers(0, 6),
        st.integers(0, 60),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_limits_hold_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    connections = Connections(4, max_bytes=100)
    made = [Connection() for _ in range(7)]
    present: set[Connection] = set()
    for now, (step, who, size) in enumerate(steps):
        one = made[who]
        present -= {each for each in made if each.dropped}
        match step:
            # A connection comes once; making room for another may drop it.
            case "enter" if not (one.dropped or one in present) and connections.make_room(
                float(now)
            ):
                present -= {each for each in made if each.dropped}
                connections.enter(one, float(now))
                present.add(one)
            case "leave":
                connections.leave(one)
                present.discard(one)
            case "prove":
                connections.prove(one)
            case "rest":
                connections.rest(one, float(now))
            case "hold":
                connections.hold(one, size)
            case "room":
                connections.make_room(float(now))
        present -= {each for each in made if each.dropped}
        assert len(connections) == len(present) <= 4
        assert 0 <= connections.held <= 100
    for one in made:
        connections.leave(one)
    assert (len(connections), connections.held) == (0, 0)
