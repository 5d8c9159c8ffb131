"""The broker on real sockets: recorded messages are taken, and nothing ends it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushcli.protocol import messages, wire
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli_server.channel.broker import Broker
from pushcli_server.channel.zap import Doorkeeper
from pushcli_server.core.identity import NodeKey
from tests.support import recordings
from tests.support.waiting import patient

RECORDED = [m for m in recordings.messages() if m.direction == "agent to server"]


MARK = b"mark"
NODE = NodeKey("acme", "node1")


class Heard(list[messages.NodeMessage]):
    """What the broker handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()
        self.failing = 0
        """So many messages are refused with an error of ours first."""

    def receive(
        self, node: NodeKey, peer: bytes, address: str, message: messages.NodeMessage
    ) -> None:
        assert node == NODE
        if self.failing:
            self.failing -= 1
            raise RuntimeError("a fault of ours")
        self.append(message)
        self.more.set()


@asynccontextmanager
async def broker(
    session_key: bytes, now: Callable[[], float] = time.time
) -> AsyncIterator[tuple[Heard, Broker, "zmq.Socket[bytes]"]]:
    """A broker that admits one agent of `node1`, and that agent's socket."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    server_public, server_secret = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    owners, heard = {public.decode(): NODE}, Heard()
    doorkeeper = Doorkeeper(context, lambda key: key in owners)
    doorkeeper.start()
    running = Broker(
        context, server_secret, owners.get, lambda *_: session_key, heard.receive, now, MARK
    )
    socket = context.socket(zmq.DEALER)
    try:
        running.bind("127.0.0.1", 0)
        socket.linger = 0
        socket.curve_serverkey = server_public
        socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.connect(running.endpoint)
        yield heard, running, socket
    finally:
        socket.close()
        running.close()
        doorkeeper.stop()
        context.term()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), patient(15)))


@pytest.mark.parametrize("recorded", RECORDED, ids=range(len(RECORDED)))
def test_a_recorded_message_is_taken(recorded: recordings.RecordedMessage) -> None:
    expected = messages.decode_node_message(recorded.body)

    async def scenario() -> None:
        async with broker(recorded.session_key, lambda: expected.time + 10) as (heard, _, socket):
            socket.send_multipart([recorded.header, recorded.body])
            await heard.more.wait()
            assert heard == [expected]

    run(scenario)


def test_a_recorded_message_is_too_old_today() -> None:
    recorded = RECORDED[0]
    assert (
        parse_rfc1123("Mon, 23 Nov 2026 20:43:16 GMT")
        == messages.decode_node_message(recorded.body).time
    )

    async def scenario() -> None:
        late = messages.decode_node_message(recorded.body).time + 301
        async with broker(recorded.session_key, lambda: late) as (heard, running, socket):
            socket.send_multipart([recorded.header, recorded.body])
            while not running.drops.counts:
                await asyncio.sleep(0.005)
            assert heard == []
            assert list(running.drops.counts) == ["its timestamp is too far off"]

    run(scenario)


KEY = b"k" * 32


def heartbeat(node: str = "node1", org: str = "acme") -> bytes:
    return messages.encode(
        messages.Heartbeat(
            node=node, org=org, incarnation_id="i", sequence=1, job_state="idle",
            timestamp="Mon, 23 Nov 2026 20:43:16 GMT",
        )
    )  # fmt: skip


GOOD = heartbeat()
NOW = parse_rfc1123("Mon, 23 Nov 2026 20:43:16 GMT")
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())
signed = st.one_of(st.binary(max_size=200), json_like).map(lambda body: wire.seal(body, KEY))
frames = st.one_of(st.lists(st.binary(max_size=100), min_size=1, max_size=6), signed)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(frames, min_size=1, max_size=25))
@pytest.mark.timeout(120)
def test_no_frames_end_the_broker_and_a_good_message_still_comes_through(
    hostile: list[list[bytes]],
) -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            for message in hostile:
                socket.send_multipart(message)
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            assert [type(message) for message in heard] == [messages.Heartbeat]
            assert sum(running.drops.counts.values()) == len(hostile)

    run(scenario)


def test_a_message_to_a_peer_that_is_gone_is_no_error() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (_, running, _):
            assert not running.send(MARK + b"nobody", NODE, messages.Abort)

    run(scenario)


def test_a_flood_leaves_the_loop_room_for_its_other_work() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            for _ in range(900):
                socket.send_multipart([b"junk", b"junk"])
            socket.send_multipart(wire.seal(GOOD, KEY))
            turns = 0
            while not heard:
                turns += 1
                await asyncio.sleep(0)
            assert turns > 1
            assert running.drops.counts["unknown version or signing method"] == 900

    run(scenario)


@pytest.mark.parametrize(("node", "org"), [("node1", "other"), ("node2", "acme"), ("", "acme")])
def test_a_message_that_names_another_than_its_keys_node_is_dropped(node: str, org: str) -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.send_multipart(wire.seal(heartbeat(node, org), KEY))
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            assert [(message.org, message.node) for message in heard] == [NODE]
            assert running.drops.counts == {"it speaks for another node": 1}

    run(scenario)


def test_a_message_that_fails_in_our_hands_does_not_hold_up_those_behind_it() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, _, socket):
            heard.failing = 3
            for _ in range(4):
                socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            assert len(heard) == 1

    run(scenario)
