"""The broker on real sockets: recorded messages are taken, and nothing ends it."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, get_args

import msgspec
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushcli.protocol import messages, wire
from pushcli.protocol.drops import DropReason
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli_server.channel.broker import (
    MAX_MESSAGE,
    SLICE,
    Broker,
    IsIdleBeat,
    MaxBody,
    rfc1123_now,
)
from pushcli_server.channel.crowd import PER_OWNER, Limits
from pushcli_server.channel.zap import Doorkeeper
from pushcli_server.core.identity import NodeKey
from tests.support import recordings
from tests.support.waiting import patient
from tests.support.zmtp_peer import GREETING, Subscriber

RECORDED = [m for m in recordings.messages() if m.direction == "agent to server"]


MARK = b"mark"
AMPLE = Limits(100, 100, 100)
NODE = NodeKey("acme", "node1")
SENDABLE: dict[type, Callable[[str], dict[str, Any]]] = {
    messages.Commit: lambda text: {"job_id": "j", "env": {"A": text}},
    messages.Run: lambda text: {"job_id": text},
    messages.AckResult: lambda text: {"job_id": text},
    messages.Beat: lambda text: {"incarnation_id": text},
    messages.AckOutput: lambda text: {"job_id": text, "channel": "stdout", "size": 1},
    messages.Whitelist: lambda text: {"digest": "d", "editors": [text]},
    messages.Check: lambda text: {"check_id": "c", "command": "x", "requestor": text},
}
"""All that goes to agents and holds text, with that text."""
TEXTLESS = {messages.Abort, messages.Ack}


class Heard(list[messages.NodeMessage]):
    """What the broker handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()
        self.peers: set[bytes] = set()
        self.keys = (b"", b"", b"")
        """CURVE: the server's public one, and the agent's two."""
        self.failing = 0
        """So many messages are refused with an error of ours first."""
        self.misjudging = 0
        """So many keys, too."""
        self.takes = 0.0
        """Seconds, for each message."""
        self.owners: dict[str, NodeKey] = {}
        """Of the keys that are admitted."""
        self.salt = ""
        """Of the node's client."""

    def judge(self, admitted: bool) -> bool:
        """Whether a key is admitted, unless judging it fails."""
        if self.misjudging:
            self.misjudging -= 1
            raise RuntimeError("a fault of ours")
        return admitted

    def receive(
        self,
        node: NodeKey,
        peer: bytes,
        address: str,
        message: messages.NodeMessage,
        curve_key: str,
    ) -> None:
        assert node == NODE
        assert len(curve_key) == 40
        if self.failing:
            self.failing -= 1
            raise RuntimeError("a fault of ours")
        time.sleep(self.takes)
        self.append(message)
        self.peers.add(peer)
        self.more.set()


@asynccontextmanager
async def broker(
    session_key: bytes,
    now: Callable[[], float] = time.time,
    limits: Limits = AMPLE,
    max_body: MaxBody = lambda node: wire.MAX_BODY_TO_EARLIER,
    is_idle_beat: IsIdleBeat = lambda node, message: isinstance(message, messages.Heartbeat),
) -> AsyncIterator[tuple[Heard, Broker, "zmq.Socket[bytes]"]]:
    """A broker that admits one agent of `node1`, and that agent's socket."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    server_public, server_secret = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    heard = Heard()
    owners = heard.owners = {public.decode(): NODE}
    doorkeeper = Doorkeeper(context, lambda key: heard.judge(key in owners))
    doorkeeper.start()
    running = Broker(
        context, server_secret, owners.get, lambda _org, _name, salt: session_key + salt.encode(),
        heard.receive, limits, now, MARK, silence=3.7, max_body=max_body,
        is_idle_beat=is_idle_beat,
        session_salt=lambda _: heard.salt,
    )  # fmt: skip
    socket = context.socket(zmq.DEALER)
    heard.keys = (server_public, public, secret)
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
            assert list(running.drops.counts) == [DropReason.SKEW]

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
VOTE = messages.encode(
    messages.AckCommit(
        node="node1", org="acme", incarnation_id="i", sequence=1, job_id="1" * 32,
        timestamp="Mon, 23 Nov 2026 20:43:16 GMT",
    )
)  # fmt: skip
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
            heard.takes = SLICE
            for _ in range(20):
                socket.send_multipart(wire.seal(GOOD, KEY))
            seen = set()
            while len(heard) < 20:
                seen.add(len(heard))
                await asyncio.sleep(0)
            # A turn of ours after each that was a slice's worth.
            assert seen == set(range(20))
            assert not running.drops.counts

    run(scenario)


def test_it_tells_for_how_long_something_may_have_waited_to_be_read() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            while running.unread_for(time.monotonic()):
                await asyncio.sleep(0)
            heard.takes = SLICE
            for _ in range(20):
                socket.send_multipart(wire.seal(GOOD, KEY))
            longest = 0.0
            while len(heard) < 21:
                longest = max(longest, running.unread_for(time.monotonic()))
                await asyncio.sleep(0)
            # From the first that was not read, whatever was read since.
            assert longest > 3 * SLICE
            while running.unread_for(time.monotonic()):
                await asyncio.sleep(0)

    run(scenario)


def test_heartbeats_that_say_the_same_are_left_out_while_more_comes_than_is_read() -> None:
    def beat(sequence: int) -> list[bytes]:
        return wire.seal(GOOD.replace(b'"sequence":1,', b'"sequence":%d,' % sequence), KEY)

    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            heard.takes = 0.1
            for sequence in range(20):
                socket.send_multipart(beat(sequence))
            socket.send_multipart(wire.seal(VOTE, KEY))
            for sequence in range(20, 23):
                socket.send_multipart(beat(sequence))
            while not any(one.sequence == 20 for one in heard):
                await asyncio.sleep(0)
            while running.unread_for(time.monotonic()):
                await asyncio.sleep(0)
            voted = [type(one) for one in heard].index(messages.AckCommit)
            # Those before it is behind, and one now and then.
            assert 4 <= voted < 12
            # Whoever was not heard for that is not silent.
            assert running.is_behind(time.monotonic())
            assert not running.is_behind(time.monotonic() + 3.7)
            assert heard[voted + 1].sequence == 20, "what comes after something else is news"
            assert len(heard) == voted + 2
            assert not running.drops.counts
            heard.takes = 0
            socket.send_multipart(beat(23))
            socket.send_multipart(beat(24))
            while heard[-1].sequence != 24:
                await asyncio.sleep(0)
            assert heard[-2].sequence == 23, "as soon as all is read each counts"

    run(scenario)


def test_what_is_more_than_an_idle_heartbeat_is_never_left_out() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW, is_idle_beat=lambda node, _: node != NODE) as (
            heard, running, socket,
        ):  # fmt: skip
            heard.takes = 0.1
            for _ in range(8):
                socket.send_multipart(wire.seal(GOOD, KEY))
            was_behind = False
            while len(heard) < 8:
                was_behind = was_behind or running.is_behind(time.monotonic())
                await asyncio.sleep(0)
            assert was_behind
            while running.unread_for(time.monotonic()):
                await asyncio.sleep(0)
            assert not running.is_behind(time.monotonic()), "nothing was left out"

    run(scenario)


def test_while_many_come_some_gather_and_none_is_left_behind() -> None:
    async def send(socket: "zmq.Socket[bytes]") -> None:
        for number in range(2000):
            socket.send_multipart(wire.seal(GOOD, KEY))
            if number % 4 == 0:
                await asyncio.sleep(0.0005)

    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, _, socket):
            sending = asyncio.create_task(send(socket))
            turns = 0
            while len(heard) < 2000:
                heard.more.clear()
                await heard.more.wait()
                turns += 1
            assert turns < 400
            await sending
            # One alone, behind all of them.
            heard.more.clear()
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            assert len(heard) == 2001

    run(scenario)


@pytest.mark.parametrize(("node", "org"), [("node1", "other"), ("node2", "acme"), ("", "acme")])
def test_a_message_that_names_another_than_its_keys_node_is_dropped(node: str, org: str) -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.send_multipart(wire.seal(heartbeat(node, org), KEY))
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            assert [(message.org, message.node) for message in heard] == [NODE]
            assert running.drops.counts == {DropReason.ANOTHER_NODE: 1}

    run(scenario)


def test_another_client_of_the_name_has_another_session_key_at_once() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            heard.more.clear()
            heard.salt = "salt"
            socket.send_multipart(wire.seal(GOOD, KEY))
            other = msgspec.json.encode({**msgspec.json.decode(GOOD), "client": "its heir"})
            socket.send_multipart(wire.seal(other, KEY + b"salt"))
            await heard.more.wait()
            assert [message.client for message in heard[1:]] == ["its heir"]
            assert running.drops.counts == {DropReason.SIGNATURE: 1}

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


def test_a_key_that_fails_in_our_hands_does_not_end_admission() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, _):
            heard.misjudging = 1
            with zmq.Context() as context:
                for _ in range(2):
                    with context.socket(zmq.DEALER) as agent:
                        agent.linger = 500
                        agent.curve_serverkey, agent.curve_publickey, agent.curve_secretkey = (
                            heard.keys
                        )
                        agent.connect(running.endpoint)
                        agent.send_multipart(wire.seal(GOOD, KEY))
                        while heard.misjudging:
                            await asyncio.sleep(0.02)
                        await asyncio.sleep(0.1)
                await heard.more.wait()

    run(scenario)


DROPPED: dict[DropReason, list[bytes]] = {
    DropReason.FRAMES: [b"one"],
    DropReason.HEADER: [b"H" * 3000, b"{}"],
    DropReason.BODY: [wire.seal(b"{}", KEY)[0], b"x" * 65_537],
    DropReason.SIGNING_METHOD: [b"Version:1.0;", b"{}"],
    DropReason.BASE64: [b"Version:2.0;SigningMethod:hmac_sha256;Signature:!", b"{}"],
    DropReason.SIGNATURE: wire.seal(GOOD, b"another key"),
    DropReason.JSON: wire.seal(b"{", KEY),
    DropReason.NESTING: wire.seal(b'{"type":"facts","x":' + b"[" * 900 + b"]" * 900 + b"}", KEY),
    DropReason.FIELDS: wire.seal(b'{"type":"\\n\\u001b[2J forged"}', KEY),
    DropReason.ANOTHER_NODE: wire.seal(heartbeat("node2"), KEY),
    DropReason.TIMESTAMP: wire.seal(GOOD.replace(b"Mon, 23", b"Someday"), KEY),
    DropReason.SKEW: wire.seal(GOOD.replace(b"2026", b"2025").replace(b"Mon", b"Sun"), KEY),
}


def test_the_reasons_of_drops_are_a_fixed_set_and_each_is_reached() -> None:
    # An unknown key and a full queue need another peer: below, and in the end-to-end tests.
    # Sequences are the fleet's business here, and the agent's own.
    elsewhere = {
        DropReason.UNKNOWN_KEY,
        DropReason.SEND_QUEUE,
        DropReason.TOO_LARGE,
        DropReason.REPLAY,
    }
    assert set(DROPPED) == set(DropReason) - elsewhere

    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            for frames in DROPPED.values():
                socket.send_multipart(frames)
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            assert running.drops.counts == dict.fromkeys(DROPPED, 1)

    run(scenario)


def test_ever_new_types_are_one_reason_and_a_line_without_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            for number in range(500):
                kind = f"{number}\n2026-11-26 forged line \x1b[2J".encode()
                body = json.dumps({"type": kind.decode(), "sequence": 1, "timestamp": "x"})
                socket.send_multipart(wire.seal(body.encode(), KEY))
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            assert running.drops.counts == {DropReason.FIELDS: 500}

    with caplog.at_level(logging.WARNING):
        run(scenario)
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 10
    assert {line.partition(" (")[0] for line in lines} == {
        f"dropped a message from node1: {DropReason.FIELDS.value}"
    }


def test_a_peer_that_reads_nothing_is_sent_only_so_much() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.rcvhwm = 1
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            (peer,) = heard.peers
            sent = 0
            while running.send(peer, NODE, messages.Commit, job_id="x", command="x" * 200_000):
                sent += 1
                assert sent < 1000
                await asyncio.sleep(0)
            assert running.drops.counts == {DropReason.SEND_QUEUE: 1}

    run(scenario)


@pytest.mark.parametrize("takes", [wire.MAX_BODY_TO_EARLIER, wire.MAX_BODY_FROM_SERVER])
@pytest.mark.parametrize(
    "kind", [kind for kind in get_args(messages.CommandMessage) if kind not in TEXTLESS]
)
def test_no_message_is_larger_than_its_agent_takes(
    kind: type[messages.CommandMessage], takes: int, caplog: pytest.LogCaptureFixture
) -> None:
    fields = SENDABLE[kind]
    envelope = len(messages.encode(kind(sequence=1, timestamp=rfc1123_now(), **fields(""))))

    async def scenario() -> None:
        async with broker(KEY, lambda: NOW, max_body=lambda node: takes) as (
            heard,
            running,
            socket,
        ):
            # As agents of ours have it: a frame that is larger ends the connection.
            socket.maxmsgsize = takes + wire.MAX_HEADER
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            (peer,) = heard.peers
            assert running.send(peer, NODE, kind, **fields("x" * (takes - envelope)))
            assert not running.send(peer, NODE, kind, **fields("x" * (takes - envelope + 1)))
            assert running.drops.counts == {DropReason.TOO_LARGE: 1}
            assert running.send(peer, NODE, messages.Ack)
            came: list[bytes] = []
            while len(came) < 2:
                try:
                    came.append(socket.recv_multipart(zmq.NOBLOCK)[1])
                except zmq.Again:
                    await asyncio.sleep(0.005)
            assert [len(body) for body in came] == [takes, len(came[1])]
            assert isinstance(messages.decode_command(came[1]), messages.Ack)

    with caplog.at_level(logging.WARNING):
        run(scenario)
    assert "dropped a message to node1: it is larger than its agent takes" in caplog.messages


@pytest.mark.parametrize(
    ("limits", "stay"), [(Limits(5, 100, 100), 4), (Limits(100, 5, 100), 4), (Limits(9, 9, 2), 2)]
)
def test_strangers_take_only_so_many_connections(limits: Limits, stay: int) -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW, limits) as (heard, running, socket):
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            heard.more.clear()
            port = int(running.endpoint.rpartition(":")[2])
            with ExitStack() as stack:
                peers = [stack.enter_context(Subscriber(port, b"\xff")) for _ in range(30)]
                hung_up: set[Subscriber] = set()
                while len(hung_up) < 30 - stay:
                    for peer in peers:
                        if peer not in hung_up and is_closed(peer):
                            hung_up.add(peer)
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
                assert sum(is_closed(peer) for peer in peers) == 30 - stay
                # Whoever was there before notices nothing.
                socket.send_multipart(wire.seal(GOOD, KEY))
                await heard.more.wait()
                heard.more.clear()
            # And when they are gone, others may come.
            while running.connections > 1:
                await asyncio.sleep(0.02)
            with Subscriber(port, b"\xff") as peer:
                assert not is_closed(peer)

    run(scenario)


def test_a_node_has_only_so_many_connections() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            with ExitStack() as stack:
                for count in range(1, 3 * PER_OWNER):
                    another = stack.enter_context(socket.context.socket(zmq.DEALER))
                    another.linger, another.reconnect_ivl = 0, -1
                    another.curve_serverkey, another.curve_publickey, another.curve_secretkey = (
                        heard.keys
                    )
                    another.connect(running.endpoint)
                    another.send_multipart(wire.seal(GOOD, KEY))
                    while len(heard) <= count:
                        heard.more.clear()
                        await heard.more.wait()
                while running.connections > PER_OWNER + 1:
                    await asyncio.sleep(0.02)
                # The newest is served.
                before = len(heard)
                another.send_multipart(wire.seal(GOOD, KEY))
                while len(heard) == before:
                    heard.more.clear()
                    await heard.more.wait()

    run(scenario)


def disconnections(socket: "zmq.Socket[bytes]") -> "zmq.Socket[bytes]":
    """What tells of them; it does not outlive the socket."""
    cut = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    cut.linger = 0
    return cut


def test_a_node_that_is_expelled_is_disconnected_and_comes_back_only_when_admitted() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            cut = disconnections(socket)
            running.expel(NodeKey("acme", "another"))
            await asyncio.sleep(0.2)
            assert not cut.poll(0)
            owners = dict(heard.owners)
            heard.owners.clear()
            running.expel(NODE)
            while not cut.poll(0):
                await asyncio.sleep(0.02)
            assert running.drops.counts == {}
            heard.owners.update(owners)
            heard.more.clear()
            with zmq.Context() as context, context.socket(zmq.DEALER) as agent:
                agent.linger = 500
                agent.curve_serverkey, agent.curve_publickey, agent.curve_secretkey = heard.keys
                agent.connect(running.endpoint)
                agent.send_multipart(wire.seal(GOOD, KEY))
                await heard.more.wait()
            cut.close()

    run(scenario)


def test_a_message_of_a_key_that_is_not_known_any_more_ends_its_connection() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            socket.send_multipart(wire.seal(GOOD, KEY))
            await heard.more.wait()
            cut = disconnections(socket)
            heard.owners.clear()
            socket.send_multipart(wire.seal(GOOD, KEY))
            while not cut.poll(0):
                await asyncio.sleep(0.02)
            # It is not admitted any more: nothing that it goes on sending arrives.
            for _ in range(20):
                with contextlib.suppress(zmq.Again):
                    socket.send_multipart(wire.seal(GOOD, KEY), zmq.NOBLOCK)
                await asyncio.sleep(0.02)
            assert running.drops.counts == {DropReason.UNKNOWN_KEY: 1}
            cut.close()

    run(scenario)


def is_closed(peer: Subscriber) -> bool:
    """Whether the other end has hung up; what it said before is read away."""
    peer.socket.setblocking(False)
    try:
        while peer.socket.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def test_a_stranger_that_says_nothing_more_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushcli_server.channel.broker.HANDSHAKE_IVL", 300)

    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (_, running, _):
            port = int(running.endpoint.rpartition(":")[2])
            with ExitStack() as stack:
                peers = [
                    stack.enter_context(Subscriber(port, beginning))
                    for beginning in (b"", b"\xff", GREETING, GREETING.replace(b"NULL\0", b"CURVE"))
                ]
                for peer in peers:
                    assert await asyncio.to_thread(peer.is_hung_up)

    run(scenario)


def test_an_unproven_peers_frame_has_a_bound() -> None:
    curve = GREETING.replace(b"NULL\0", b"CURVE")

    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (_, running, _):
            port = int(running.endpoint.rpartition(":")[2])
            size = MAX_MESSAGE + 1
            with Subscriber(port, curve + b"\6" + size.to_bytes(8, "big")) as peer:
                assert await asyncio.to_thread(peer.is_hung_up)

    run(scenario)


def test_a_message_of_many_frames_is_refused_and_those_behind_it_are_read() -> None:
    async def scenario() -> None:
        async with broker(KEY, lambda: NOW) as (heard, running, socket):
            header, body = wire.seal(GOOD, KEY)
            socket.send_multipart([header, body, *[b""] * 5000])
            socket.send_multipart([header])
            socket.send_multipart([header, body])
            while not heard:
                heard.more.clear()
                await heard.more.wait()
            assert running.drops.counts.total() == 2
            assert len(heard) == 1

    run(scenario)
