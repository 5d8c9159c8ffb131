"""A publisher's end of ZMTP: bytes in, bytes out, closed with a reason."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.channel import zmtp
from pushcli_server.channel.zmtp import Connection, Violation
from tests.support.zmtp_peer import (
    GREETING,
    OURS,
    READY_SUB,
    SUBSCRIBE_ALL,
    SUBSCRIBER,
    long,
    ready,
    short,
)

READY_PUB = b"\4\x19\5READY\x0bSocket-Type\0\0\0\3PUB"
PING = b"\4PING\0\0"
PONG = b"\4PONG"


def fed(*parts: bytes, now: float = 0.0) -> tuple[Connection, bytes]:
    """A connection that was fed these parts, and what it answered."""
    connection = Connection(0.0)
    return connection, b"".join(connection.receive(part, now) for part in parts)


def ready_connection() -> Connection:
    connection, _ = fed(SUBSCRIBER)
    assert connection.ready
    return connection


def test_its_greeting_is_that_of_zmtp_3_with_null() -> None:
    greeting = Connection(0.0).greeting()
    assert greeting == b"\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL" + bytes(48)
    assert len(greeting + READY_PUB) == OURS


@pytest.mark.parametrize("minor", [0, 1, 7])
@pytest.mark.parametrize("kind", [b"SUB", b"XSUB"])
def test_a_subscriber_of_any_zmtp_3_is_served(minor: int, kind: bytes) -> None:
    greeting = GREETING[:11] + bytes([minor]) + GREETING[12:]
    connection, said = fed(greeting, ready(Socket_Type=kind))
    assert (connection.ready, connection.closed, said) == (True, None, READY_PUB)


def test_nothing_is_ready_before_the_handshake_is_whole() -> None:
    whole = GREETING + READY_SUB
    for end in range(len(whole)):
        connection, said = fed(whole[:end])
        assert not connection.ready
        assert said == (READY_PUB if end >= len(GREETING) else b"")
    assert fed(whole)[0].ready


STORIES = [
    SUBSCRIBER,
    SUBSCRIBER + short(4, PING + b"context") + short(0, b"\0") + short(4, PING),
    GREETING + ready(Identity=b"x" * 255, Socket_Type=b"SUB") + long(0, b"\1" + b"topic" * 80),
    SUBSCRIBER + long(4, b"\x09SUBSCRIBEtopic") + short(4, b"\6CANCELtopic") + long(4, PING + b"!"),
    GREETING + ready(Socket_Type=b"REQ") + b"more",
    GREETING + SUBSCRIBE_ALL,
    GREETING + short(4, b"\5ERROR\4nope"),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff\0\0\0\0\0\0\0\1\x7f\1\2\0\0",
    GREETING.replace(b"NULL\0", b"CURVE") + b"rest",
    SUBSCRIBER + short(4, PING) + long(0, b"x" * 1025) + short(4, PING),
    SUBSCRIBER + short(8, b"reserved") + short(4, PING),
]
ENDS = [
    None,
    None,
    None,
    None,
    Violation.SOCKET_TYPE,
    Violation.HANDSHAKE,
    Violation.HANDSHAKE,
    Violation.NOT_ZMTP,
    Violation.VERSION,
    Violation.MECHANISM,
    Violation.TOO_LARGE,
    Violation.FRAME,
]


@pytest.mark.parametrize(
    ("story", "end"), list(zip(STORIES, ENDS, strict=True)), ids=range(len(STORIES))
)
def test_it_means_the_same_however_it_is_split(story: bytes, end: Violation | None) -> None:
    whole, said = fed(story)
    assert whole.closed is end
    for cut in range(len(story) + 1):
        parted, parted_said = fed(story[:cut], story[cut:])
        assert (parted.ready, parted.closed, parted_said) == (whole.ready, end, said)
    single, single_said = fed(*(bytes([byte]) for byte in story))
    assert (single.ready, single.closed, single_said) == (whole.ready, end, said)


def test_a_ping_is_answered_with_its_context() -> None:
    for context in (b"", b"c", b"c" * 16):
        expected = short(4, PONG + context)
        assert ready_connection().receive(short(4, PING + context), 0.0) == expected
        assert ready_connection().receive(long(4, PING + context), 0.0) == expected
    assert ready_connection().receive(short(4, PING + b"c" * 40), 0.0) == short(4, PONG + b"c" * 16)


@pytest.mark.parametrize(
    "frame",
    [
        short(4, b"\4PONGx"),
        short(4, b"\x09SUBSCRIBEx"),
        short(4, b"\6CANCELx"),
        short(4, b"\4WHAT"),
        short(0, b""),
        short(1, b"\1x") + short(0, b"more"),
        long(0, b"\1" + b"x" * 1000),
        long(0, b"x" * zmtp.MAX_FRAME),
    ],
    ids=range(8),
)
def test_what_is_subscribed_to_is_not_kept(frame: bytes) -> None:
    connection = ready_connection()
    assert connection.receive(frame, 0.0) == b""
    assert (connection.closed, connection.kept) == (None, 0)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (short(4, b""), Violation.FRAME),
        (short(4, b"\0"), Violation.FRAME),
        (short(4, b"\x09PING"), Violation.FRAME),
        (short(4, b"\4PING\0"), Violation.FRAME),
        (short(5, PING), Violation.FRAME),
        (short(16, b""), Violation.FRAME),
        (b"\2" + b"\xff" * 8, Violation.TOO_LARGE),
        (long(4, b"x" * (zmtp.MAX_FRAME + 1)), Violation.TOO_LARGE),
    ],
)
def test_a_wrong_frame_closes(frame: bytes, reason: Violation) -> None:
    connection = ready_connection()
    assert connection.receive(frame, 0.0) == b""
    assert (connection.closed, connection.kept) == (reason, 0)
    assert connection.receive(short(4, PING), 0.0) == b""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Violation.HANDSHAKE),
        (b"\5READY", Violation.SOCKET_TYPE),
        (b"\5READY\x0bSocket-Type", Violation.HANDSHAKE),
        (b"\5READY\x0bSocket-Type\0\0\0\4SUB", Violation.HANDSHAKE),
        (b"\5READY\x0bSocket-Type\xff\xff\xff\xffSUB", Violation.HANDSHAKE),
        (b"\5READY\0\0\0\0\0", Violation.HANDSHAKE),
        (b"\5READY\xffx", Violation.HANDSHAKE),
        (b"\5HELLO", Violation.HANDSHAKE),
        (PING, Violation.HANDSHAKE),
    ],
)
def test_a_wrong_handshake_closes(body: bytes, reason: Violation) -> None:
    connection, _ = fed(GREETING, short(4, body))
    assert (connection.ready, connection.closed) == (False, reason)


def test_names_of_properties_have_no_case() -> None:
    assert fed(GREETING + short(4, b"\5READY\x0bsocket-TYPE\0\0\0\3SUB"))[0].ready


def test_a_flood_of_subscriptions_ends_at_its_allowance_and_nothing_of_it_is_kept() -> None:
    connection = ready_connection()
    sent = 0
    while connection.closed is None:
        connection.receive(long(0, b"\1" + sent.to_bytes(8, "big") + b"x" * 991), 0.0)
        sent += 1009 + zmtp.FRAME_COST
        assert connection.kept == 0
    assert connection.closed is Violation.TOO_MUCH
    assert zmtp.BURST - 2000 < sent < zmtp.BURST + 2000


def test_who_sends_a_little_all_the_time_is_served_for_ever() -> None:
    connection = ready_connection()
    for second in range(100_000):
        connection.receive(short(4, PING + b"c" * 16), second * 0.1)
    assert connection.closed is None


@given(st.lists(st.binary(max_size=200), max_size=30))
def test_no_bytes_do_harm_and_little_is_kept(parts: list[bytes]) -> None:
    for beginning in (b"", GREETING, SUBSCRIBER):
        connection, _ = fed(beginning)
        for part in parts:
            connection.receive(part, 0.0)
            assert connection.kept <= zmtp.MAX_FRAME + 9


chunks = st.lists(
    st.one_of(
        st.binary(max_size=300).map(lambda body: short(0, body[:255])),
        st.binary(max_size=300).map(lambda body: long(0, body)),
        st.binary(max_size=16).map(lambda context: short(4, PING + context)),
    ),
    max_size=8,
)


@given(chunks, st.data())
def test_any_split_of_any_frames_means_the_same(frames: list[bytes], data: st.DataObject) -> None:
    stream = SUBSCRIBER + b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parts = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    pings = sum(frame[0] == 4 for frame in frames)
    connection, said = fed(*parts)
    assert (connection.closed, connection.ready) == (None, True)
    assert said.count(PONG) >= pings
    assert said == fed(stream)[1]


def test_what_may_come_before_the_handshake_is_bounded() -> None:
    connection, _ = fed(GREETING, ready(Socket_Type=b"SUB", X=b"x" * 900)[:-1])
    assert connection.kept < zmtp.GREETING_SIZE + 9 + zmtp.MAX_FRAME
    assert not connection.ready
    connection, _ = fed(GREETING, ready(Socket_Type=b"SUB", X=b"x" * 1100)[:20])
    assert connection.closed is Violation.TOO_LARGE


def frames_of(data: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        head = 9 if data[at] & 2 else 2
        size = int.from_bytes(data[at + 1 : at + head], "big")
        yield data[at], data[at + head : at + head + size]
        at += head + size


@pytest.mark.parametrize("sizes", [[0], [255], [256], [391, 180], [1, 255, 256, 70_000]])
def test_messages_have_short_and_long_frames(sizes: list[int]) -> None:
    bodies = [bytes([i]) * size for i, size in enumerate(sizes)]
    written = list(frames_of(zmtp.message(bodies)))
    assert [body for _, body in written] == bodies
    assert [bool(flags & 1) for flags, _ in written] == [True] * (len(sizes) - 1) + [False]
    assert [bool(flags & 2) for flags, _ in written] == [size > 255 for size in sizes]


@pytest.mark.parametrize("frame", [short(0, b""), short(1, b""), short(0, b"\1xy"), long(0, b"")])
def test_small_frames_count_for_more_than_their_bytes(frame: bytes) -> None:
    connection = ready_connection()
    most = zmtp.BURST // (zmtp.FRAME_COST + len(frame))
    taken = 0
    while connection.closed is None:
        connection.receive(frame, 0.0)
        taken += 1
        assert taken <= most
    assert connection.closed is Violation.TOO_MUCH
    assert taken > most - 10
    whole = ready_connection()
    whole.receive(frame * taken, 0.0)
    assert (whole.closed, whole.kept) == (Violation.TOO_MUCH, 0)
    patient_one = ready_connection()
    for second in range(2000):
        patient_one.receive(frame * 10, float(second))
    assert patient_one.closed is None
