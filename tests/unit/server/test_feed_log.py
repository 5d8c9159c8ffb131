"""The log behind the event feeds."""

import asyncio
import json

from pushcli_server.feed_log import FeedLog


def events(log: FeedLog, position: int = 1, limit: int = 1 << 20) -> list[dict[str, object]]:
    chunk, _ = log.read(position, limit)
    parsed = []
    for block in chunk.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        parsed.append({**fields, "data": json.loads(fields["data"])})
    return parsed


def test_ids_rise_from_the_first_and_the_timestamp_stands_first() -> None:
    log = FeedLog("job")
    log.append("start", 1000.0, {"command": "x"})
    log.append("job_complete", 1001.0, {"status": "complete"})
    assert [e["id"] for e in events(log)] == ["job-1", "job-2"]
    data = events(log)[0]["data"]
    assert list(data) == ["timestamp", "command"]
    assert data["timestamp"] == "1970-01-01 00:16:40.000000Z"


def test_timestamps_rise_strictly_even_within_an_instant() -> None:
    log = FeedLog("job")
    for _ in range(50):
        log.append("rehab", 1764000000.123456, {})
    times = [e["data"]["timestamp"] for e in events(log)]
    assert len(set(times)) == 50
    assert sorted(times) == times


def test_a_known_id_resumes_after_it_and_any_other_is_unknown() -> None:
    log = FeedLog("org", first=47)
    for _ in range(3):
        log.append("start", 1.0, {})
    assert log.position("org-47") == 48
    assert log.position("org-49") == 50
    for unknown in ("org-50", "org-45", "job-47", "org-", "nope", "org-٣", "org-" + "9" * 40):
        assert log.position(unknown) is None


def test_old_events_go_and_their_ids_are_not_used_again() -> None:
    log = FeedLog("org", keep=60.0)
    log.append("start", 0.0, {})
    log.append("start", 59.0, {})
    log.append("start", 61.0, {})
    assert [e["id"] for e in events(log)] == ["org-2", "org-3"]


def test_a_reader_takes_about_as_much_as_it_asked_for() -> None:
    log = FeedLog("job")
    for _ in range(100):
        log.append("rehab", 1.0, {"node": "n" * 100})
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
        log.append("start", 1.0, {})
        first = await waiting
        waiting = asyncio.create_task(log.news(2, 5.0))
        await asyncio.sleep(0)
        log.finish()
        return [first, await waiting, await FeedLog("job").news(1, 0.01)]

    assert asyncio.run(scenario()) == [True, True, False]
