"""The feeds of jobs and organizations: which event says what (Push Jobs protocol, 8).

Events are stored as the job's states are, and shown once they are committed: a reader goes
on after a restart of the server where it was.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from pushcli.protocol.run import OPTIONS
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_events import Publish
from pushcli_server.core.identity import JobKey
from pushcli_server.core.job_state import Job
from pushcli_server.feed_log import Event, FeedLog
from pushcli_server.store import operations

ORGANIZATION_HISTORY = 60.0
"""Seconds for which an organization's events are kept."""
_IN_ORGANIZATION = frozenset({"start", "job_complete"})
Submit = Callable[[operations.Operation], int]
"""Has an operation stored; returns the ticket."""


class Feeds:
    """The logs of all live and just ended jobs, and of the organizations.

    Args:
        stored: what the run of the server before this one left, by the feeds' names.
    """

    def __init__(self, clock: Clock, submit: Submit, stored: Mapping[str, list[Event]]) -> None:
        self._clock = clock
        self._submit = submit
        self._jobs: dict[str, FeedLog] = {}
        self._organizations: dict[str, FeedLog] = {}
        for name, events in stored.items():
            org, separator, _ = name.partition("/")
            if separator:
                self._organizations[org] = FeedLog("org", events)
            else:
                self._jobs[name] = FeedLog("job", events)

    async def run(self) -> None:
        """Let old events of organizations go, for ever; also where no job ends any more."""
        while True:
            await asyncio.sleep(ORGANIZATION_HISTORY)
            self._trim()

    def job(self, key: JobKey) -> FeedLog | None:
        """The log of a job, while it is live and for some seconds after."""
        return self._jobs.get(key.id)

    def organization(self, org: str) -> FeedLog:
        """The log of an organization's jobs."""
        if org not in self._organizations:
            self._organizations[org] = FeedLog("org")
        return self._organizations[org]

    def record(self, effect: Publish) -> tuple[int, Callable[[], None]]:
        """Add an event to the logs that it belongs to.

        Returns:
            The ticket of its commit, and what shows it to the readers.
        """
        now = self._clock.date()
        job = effect.job
        fields = _fields(effect)
        if (log := self._jobs.get(job.id)) is None:
            log = self._jobs[job.id] = FeedLog("job")
        event = log.add(effect.event, now, fields)
        ticket = self._submit(operations.AppendEvent(job.id, *event))
        last = effect.event == "job_complete"
        if effect.event not in _IN_ORGANIZATION:
            return ticket, lambda: log.show(event, last=last)
        whole = self.organization(job.org)
        common = whole.add(effect.event, now, {"job": job.id, **fields})
        ticket = self._submit(operations.AppendEvent(f"{job.org}/", *common))

        def show() -> None:
            log.show(event, last=last)
            whole.show(common)

        return ticket, show

    def close(self, key: JobKey) -> None:
        """The job's log is not needed any more; nor are old events of organizations."""
        self._drop(key.id)
        self._trim()

    def close_organization(self, org: str) -> None:
        """The organization's log ends, and its readers leave."""
        if (log := self._organizations.pop(org, None)) is not None:
            log.finish()
            self._submit(operations.DropEvents(f"{org}/", None))

    def close_all_but(self, live: Iterable[JobKey]) -> None:
        """Drop the logs of jobs that ended just before the previous run of the server did."""
        for job_id in self._jobs.keys() - {key.id for key in live}:
            self._drop(job_id)
        self._trim()

    def _drop(self, job_id: str) -> None:
        if self._jobs.pop(job_id, None) is not None:
            self._submit(operations.DropEvents(job_id, None))

    def _trim(self) -> None:
        oldest = self._clock.date() - ORGANIZATION_HISTORY
        for org, log in self._organizations.items():
            before = log.first
            if (first := log.forget_before(oldest)) != before:
                self._submit(operations.DropEvents(f"{org}/", first))


def _fields(effect: Publish) -> dict[str, Any]:
    if effect.event == "start":
        return _start(effect.job)
    fields = {"node": effect.node, "status": effect.status}
    return {key: value for key, value in fields.items() if value is not None}


def _start(job: Job) -> dict[str, Any]:
    said = msgspec.structs.asdict(job.spec.run).items()
    run = {key: value for key, value in said if value is not None and key not in OPTIONS}
    fields = {
        "command": run.pop("command"),
        "run_timeout": run.pop("run_timeout"),
        "quorum": job.spec.quorum,
        "node_count": len(job.spec.nodes),
        "user": job.requestor,
    }
    if "user" in run:
        fields["job_user"] = run.pop("user")
    if run.pop("file", None) is not None:
        run["file_specified"] = True
    return fields | run
