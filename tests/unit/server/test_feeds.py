"""The feeds of jobs and organizations: what they keep, and what they let go."""

import asyncio

import pytest

from pushcli.protocol.run import RunSpec
from pushcli_server import feeds as feeds_module
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_events import Publish
from pushcli_server.core.identity import JobKey
from pushcli_server.core.job_state import Grace, Job, JobSpec
from pushcli_server.feed_log import Event, FeedLog
from pushcli_server.feeds import ORGANIZATION_HISTORY, Feeds
from pushcli_server.store import operations
from tests.support.waiting import patient


class SetClock(Clock):
    """A clock that tests set."""

    time = 1000.0

    def date(self) -> float:
        """What it was set to."""
        return self.time


class Stored(list[operations.Operation]):
    """What was submitted to the store."""

    def submit(self, operation: operations.Operation) -> int:
        """Keep it; the ticket is its number."""
        self.append(operation)
        return len(self)

    @property
    def drops(self) -> list[operations.DropEvents]:
        """Of events that the store is to forget."""
        return [op for op in self if isinstance(op, operations.DropEvents)]


def job(number: int, org: str = "acme") -> Job:
    spec = JobSpec(run=RunSpec(command="x"), nodes=("a",), quorum=1)
    return Job(
        key=JobKey(org, f"{number:032x}"), spec=spec, requestor="ann", created_at=0, updated_at=0,
        grace=Grace(),
    )  # fmt: skip


def play(feeds: Feeds, one: Job, *events: str) -> None:
    for event in events:
        _, show = feeds.record(Publish(one, event))
        show()


def readable(log: FeedLog | None) -> int:
    """How many events a reader can have."""
    assert log is not None
    return log.end - log.first


def test_an_event_is_seen_only_once_it_is_shown() -> None:
    stored = Stored()
    feeds = Feeds(SetClock(), stored.submit, {})
    ticket, show = feeds.record(Publish(job(1), "start"))
    assert ticket == len(stored) == 2, "one event of the job, one of its organization"
    assert readable(feeds.job(job(1).key)) == readable(feeds.organization("acme")) == 0
    show()
    assert readable(feeds.job(job(1).key)) == readable(feeds.organization("acme")) == 1


def test_only_the_start_and_the_end_of_a_job_stand_in_its_organizations_feed() -> None:
    feeds = Feeds(SetClock(), Stored().submit, {})
    play(feeds, job(1), "start", "quorum_vote", "run_start", "job_complete")
    assert readable(feeds.job(job(1).key)) == 4
    assert readable(feeds.organization("acme")) == 2
    assert readable(feeds.organization("other")) == 0


def test_an_organizations_feed_is_trimmed_to_its_last_minute() -> None:
    clock, stored = SetClock(), Stored()
    feeds = Feeds(clock, stored.submit, {})
    for number in range(1, 50):
        play(feeds, job(number), "start", "job_complete")
        clock.time += 5.0
        feeds.close(job(number).key)
    log = feeds.organization("acme")
    assert readable(log) == 2 * ORGANIZATION_HISTORY / 5.0
    dropped = [op for op in stored.drops if op.feed == "acme/"]
    assert dropped[-1].before == log.first


def test_of_an_idle_organization_old_events_go_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "ORGANIZATION_HISTORY", 0.01)
    clock, stored = SetClock(), Stored()
    feeds = Feeds(clock, stored.submit, {})
    play(feeds, job(1), "start", "job_complete")
    clock.time += 1.0

    async def idle() -> None:
        running = asyncio.create_task(feeds.run())
        async with asyncio.timeout(patient(10)):
            while not stored.drops:
                await asyncio.sleep(0)
        running.cancel()

    asyncio.run(idle())
    assert stored.drops == [operations.DropEvents("acme/", 2)]
    # Its number is what the next one goes on from.
    assert readable(feeds.organization("acme")) == 1


def test_a_closed_feed_is_gone_from_memory_and_store() -> None:
    stored = Stored()
    feeds = Feeds(SetClock(), stored.submit, {})
    play(feeds, job(1), "start")
    feeds.close(job(1).key)
    assert feeds.job(job(1).key) is None
    assert operations.DropEvents(job(1).id, None) in stored.drops
    before = len(stored)
    feeds.close(job(1).key)
    assert len(stored) == before, "once"


def test_after_a_restart_feeds_go_on_and_those_of_ended_jobs_are_dropped() -> None:
    stored = Stored()
    left = {job(n).id: [Event(1, 1, b"x")] for n in (1, 2)}
    left["acme/"] = [Event(7, 1, b"y"), Event(8, 990_000_000, b"z")]
    feeds = Feeds(SetClock(), stored.submit, left)
    feeds.close_all_but([job(1).key])
    assert feeds.job(job(2).key) is None
    play(feeds, job(1), "job_complete")
    log = feeds.job(job(1).key)
    assert log is not None
    assert (log.first, log.end) == (1, 3)
    assert feeds.organization("acme").end == 10
    assert operations.DropEvents("acme/", 8) in stored.drops
