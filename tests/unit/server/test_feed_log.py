"""The log behind the event feeds."""

import asyncio
import json
from typing import Any

from pushcli_server.feed_log import Event, FeedLog


def append(log: FeedLog, name: str, now: float, fields: dict[str, object]) -> None:
    log.show(log.add(name, now, fields))


def events(log: FeedLog, position: int = 1, limit: int = 1 << 20) -> list[dict[str, Any]]:
    chunk, _ = log.read(position, limit)
    parsed = []
    for block in chunk.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        parsed.append({**fields, "data": json.loads(fields["data"])})
    return parsed


def test_ids_rise_from_the_first_and_the_timestamp_stands_first() -> None:
    log = FeedLog("job")
    append(log, "start", 1000.0, {"command": "x"})
    append(log, "job_complete", 1001.0, {"status": "complete"})
    assert [e["id"] for e in events(log)] == ["job-1", "job-2"]
    data = events(log)[0]["data"]
    assert list(data) == ["timestamp", "command"]
    assert data["timestamp"] == "1970-01-01 00:16:40.000000Z"


def test_timestamps_rise_strictly_even_within_an_instant() -> None:
    log = FeedLog("job")
    for _ in range(50):
        append(log, "rehab", 1764000000.123456, {})
    times = [e["data"]["timestamp"] for e in events(log)]
    assert len(set(times)) == 50
    assert sorted(times) == times


def test_a_known_id_resumes_after_it_and_any_other_is_unknown() -> None:
    log = FeedLog("org", [Event(46, 5, b"stored\n\n")])
    for _ in range(3):
        append(log, "start", 1.0, {})
    assert log.position("org-46") == 47
    assert log.position("org-49") == 50
    for unknown in ("org-50", "org-45", "job-47", "org-", "nope", "org-٣", "org-" + "9" * 40):
        assert log.position(unknown) is None


def test_old_events_go_and_their_ids_are_not_used_again() -> None:
    log = FeedLog("org")
    for now in (0.0, 59.0, 61.0):
        append(log, "start", now, {})
    assert log.forget_before(10.0) == 2
    assert [e["id"] for e in events(log)] == ["org-2", "org-3"]
    assert log.forget_before(1000.0) == 3, "the newest stays: ids go on from it"
    append(log, "start", 1001.0, {})
    assert [e["id"] for e in events(log)] == ["org-3", "org-4"]


def test_an_event_is_seen_only_once_it_is_shown() -> None:
    log = FeedLog("job")
    event = log.add("start", 1.0, {})
    assert log.read(1, 1000) == (b"", 1)
    log.show(event)
    assert log.read(1, 1000) == (event.data, 2)


def test_a_reader_takes_about_as_much_as_it_asked_for() -> None:
    log = FeedLog("job")
    for _ in range(100):
        append(log, "rehab", 1.0, {"node": "n" * 100})
    chunk, position = log.read(1, 1000)
    assert 1000 <= len(chunk) < 1300
    rest, end = log.read(position, 1 << 20)
    assert end == 101
    assert len(chunk + rest) == len(log.read(1, 1 << 20)[0])


def test_waiting_readers_wake_for_news_and_for_the_end() -> None:
    async def scenario() -> list[bool]:
        log = FeedLog("job")
        waiting = asyncio.create_task(log.news(1, 5.0))
        await asyncio.sleep(0)
        append(log, "start", 1.0, {})
        first = await waiting
        waiting = asyncio.create_task(log.news(2, 5.0))
        await asyncio.sleep(0)
        log.show(log.add("job_complete", 2.0, {}), last=True)
        return [first, await waiting, await FeedLog("job").news(1, 0.01)]

    assert asyncio.run(scenario()) == [True, True, False]
