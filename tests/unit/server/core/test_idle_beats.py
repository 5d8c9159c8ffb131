"""The short way for what old agents say all the time: it makes no difference but to the cost."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import fleet_nodes
from pushcli_server.core.fleet import handle
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.node import Node, Patience, Phase
from tests.support.examples import examples

KEY = NodeKey("acme", "a")
NOW = 100.0
STAMP = "Sun, 29 Nov 2026 11:03:38 GMT"
often = st.sampled_from
nodes = st.builds(
    Node,
    key=st.just(KEY),
    patience=st.just(Patience()),
    phase=often([Phase.ONLINE, Phase.ONLINE, Phase.ONLINE, Phase.REHAB, Phase.OFFLINE]),
    incarnation=often(["i", "i", "i", "j", None]),
    peer=often([b"p", b"p", b"p", b"q", None]),
    last_peer=often([b"p", b"p", b"p", b"q", None]),
    peer_key=often(["c", "d"]),
    address=st.just("10.0.0.1"),
    sequence=often([-1, 4, 5, 6]),
    heard_at=often([NOW - 1, -math.inf]),
    extensions=often([frozenset(), frozenset(), extensions.ALL]),
    is_quiet=st.just(False),
    aborts=often([0, 0, 0, 1]),
    abort_at=st.just(math.inf),
    offline_at=often([NOW + 1, NOW + 6]),
    wake_at=often([NOW + 1, NOW + 6]),
    clock_ahead=often([None, 7.0]),
    curve_key=often(["c", "c", "c", "d"]),
    is_proven=often([True, True, False]),
    conflict_until=often([-math.inf, NOW + 3]),
)
said = st.builds(
    messages.Heartbeat,
    node=st.just("a"), org=st.just("acme"), client=st.just("c"), timestamp=st.just(STAMP),
    incarnation_id=often(["i", "i", "i", "j"]),
    sequence=often([5, 5, 6]),
    job_id=often([None, None, "1" * 32]),
    job_state=often(["idle", "idle", "running"]),
)  # fmt: skip


def fleet_of(node: Node, is_busy: bool) -> Fleet:
    fleet = Fleet(Rules(), "s", nodes={KEY: node})
    if is_busy:
        fleet.busy[KEY] = {JobKey("acme", "2" * 32)}
    return fleet


@settings(max_examples=examples(1500), deadline=None)
@given(node=nodes, beat=said, is_busy=often([False, False, True]))
def test_the_short_way_leads_where_the_long_one_does(
    node: Node, beat: messages.Heartbeat, is_busy: bool
) -> None:
    event = on_fleet.MessageReceived(KEY, b"p", "10.0.0.1", beat, "c")
    # Of whoever is there an alarm stands, and does not come late.
    node.wake_at = min(node.wake_at, node.offline_at)
    # A node that spoke on a connection is known by it.
    if node.phase is Phase.ONLINE:
        node.last_peer = node.peer
        node.peer_key = "c" if node.peer == b"p" else "d"
    short, long = fleet_of(copy.deepcopy(node), is_busy), fleet_of(copy.deepcopy(node), is_busy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet_nodes, "_is_idle_beat", lambda *_: False)
        effects = handle(long, event, NOW)
    # An effect that shows a node shows it as it is then.
    assert repr(handle(short, event, NOW)) == repr(effects)
    assert short.nodes == long.nodes


def test_most_of_what_an_old_agent_says_goes_the_short_way() -> None:
    node = Node(
        key=KEY, patience=Patience(), phase=Phase.ONLINE, incarnation="i", peer=b"p",
        last_peer=b"p", sequence=4, curve_key="c", is_proven=True, wake_at=NOW + 1,
    )  # fmt: skip
    beat = messages.Heartbeat(
        node="a", org="acme", client="c", incarnation_id="i", sequence=5, timestamp=STAMP,
        job_id=None, job_state="idle",
    )  # fmt: skip
    event = on_fleet.MessageReceived(KEY, b"p", "10.0.0.1", beat, "c")
    fleet = fleet_of(node, is_busy=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet_nodes, "_interest", lambda *_: pytest.fail("the long way"))
        assert handle(fleet, event, NOW) == []
    assert (node.heard_at, node.sequence, node.offline_at) == (NOW, 5, NOW + 3.7)
