"""Heartbeats that wait unread behind others that say the same."""

from itertools import pairwise

import msgspec
import pytest

from pushcli.protocol import messages
from pushcli_server.channel.repeats import LARGEST, MOST, Repeats
from tests.support import recordings

BODY = b'{"type":"heartbeat","sequence":7,"timestamp":"T1","node":"a","job_state":"idle"}'
NEXT = b'{"type":"heartbeat","sequence":8,"timestamp":"T2","node":"a","job_state":"idle"}'


def repeats() -> Repeats:
    known = Repeats(0.5)
    known.heartbeat(b"p", BODY, 10.0)
    return known


def test_one_that_says_the_same_a_moment_later_is_a_repeat() -> None:
    assert repeats().is_one(b"p", NEXT, 10.4)


@pytest.mark.parametrize(
    ("connection", "body", "now"),
    [
        (b"p", NEXT, 10.5),
        (b"q", NEXT, 10.1),
        (b"p", NEXT.replace(b"idle", b"running"), 10.1),
        (b"p", NEXT.replace(b'"a"', b'"b"'), 10.1),
        (b"p", b"", 10.1),
    ],
)
def test_what_comes_later_or_elsewhere_or_says_something_else_is_none(
    connection: bytes, body: bytes, now: float
) -> None:
    assert not repeats().is_one(connection, body, now)


def test_a_repeat_does_not_make_the_next_one_wait_longer() -> None:
    known = repeats()
    assert known.is_one(b"p", NEXT, 10.3)
    assert not known.is_one(b"p", NEXT, 10.5)


def test_after_something_else_it_is_news_again() -> None:
    known = repeats()
    known.forget(b"p")
    known.forget(b"q")
    assert not known.is_one(b"p", NEXT, 10.1)


def test_nothing_large_is_kept() -> None:
    known = repeats()
    known.heartbeat(b"p", BODY.ljust(LARGEST + 1), 10.0)
    assert len(known) == 0
    known.heartbeat(b"p", BODY.ljust(LARGEST), 10.0)
    assert known.is_one(b"p", NEXT.ljust(LARGEST), 10.1)
    assert not known.is_one(b"p", NEXT.ljust(LARGEST + 1), 10.1)


def test_only_so_many_are_kept() -> None:
    known = repeats()
    for number in range(MOST + 10):
        known.heartbeat(b"%d" % number, BODY, 10.0)
    assert len(known) <= MOST
    assert known.is_one(b"%d" % (MOST + 9), NEXT, 10.1)


def test_nothing_is_kept_once_all_is_read() -> None:
    known = repeats()
    known.clear()
    assert len(known) == 0
    assert not known.is_one(b"p", NEXT, 10.1)


def test_what_agents_of_push_jobs_repeat_is_known_for_it() -> None:
    sent = [m for m in recordings.messages() if m.direction == "agent to server"]
    beats = [m.body for m in sent if b'"heartbeat"' in m.body]
    repeated = 0
    for one, other in pairwise(beats):
        known = Repeats(0.5)
        known.heartbeat(b"p", one, 0.0)
        is_repeated = said(one) == said(other)
        assert known.is_one(b"p", other, 0.1) is is_repeated
        repeated += is_repeated
    assert repeated > 1


def said(body: bytes) -> messages.NodeMessage:
    """All of it but what always varies."""
    return msgspec.structs.replace(messages.decode_node_message(body), sequence=0, timestamp="")
