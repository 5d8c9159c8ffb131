from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.client import feed
from pushcli.client.feed import EventParser, FeedEvent
from pushcli.errors import ServerError

STREAM = (
    b":keepalive\n"
    b'event: start\nid: job-1\ndata: {"a": 1}\n\n'
    b"event: run_start\r\nid: job-2\r\ndata: x\r\ndata:y\r\n\r\n"
    b"event: nothing\n\n"
    b"retry: 5\nunknown\n"
    b"event:run_complete\rid:job-3\rdata:  z\r\r"
    b"data: w\n\n"
    b"event: half"
)
EVENTS = [
    FeedEvent("start", "job-1", b'{"a": 1}'),
    FeedEvent("run_start", "job-2", b"x\ny"),
    FeedEvent("run_complete", "job-3", b" z"),
    FeedEvent("", "job-3", b"w"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    parser = EventParser()
    places = [0, *sorted(cuts), len(STREAM)]
    found = []
    for start, end in pairwise(places):
        found += parser.feed(STREAM[start:end])
    assert found == EVENTS


@pytest.mark.parametrize(
    "endless", [b"x" * 1000, b"data: " + b"x" * 994 + b"\n", b"e" * 999 + b"\n"]
)
def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, endless: bytes) -> None:
    monkeypatch.setattr(feed, "MAX_EVENT", 10_000)
    parser = EventParser()
    for _ in range(10):
        parser.feed(endless)
    with pytest.raises(ServerError, match="10000 bytes"):
        parser.feed(endless)


def test_an_identifier_with_a_zero_is_ignored() -> None:
    assert EventParser().feed(b"id: a\nid: b\0\ndata: x\n\n") == [FeedEvent("", "a", b"x")]
