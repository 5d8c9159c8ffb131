"""The feeds of jobs and organizations: which event says what (Push Jobs protocol, 8).

Events are stored as the job's states are, and shown once they are committed: a reader goes
on after a restart of the server where it was.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pushcli_server.clock import Clock
from pushcli_server.core.job import Job
from pushcli_server.core.job_events import Publish
from pushcli_server.feed_log import Event, FeedLog

ORGANIZATION_HISTORY = 60.0
"""Seconds for which an organization's events are kept."""
_IN_ORGANIZATION = frozenset({"start", "job_complete"})
Save = Callable[[str, Event], int]
"""Stores an event of a feed, by the feed's name; returns the ticket."""


class Feeds:
    """The logs of all live and just ended jobs, and of the organizations."""

    def __init__(self, clock: Clock, save: Save, drop: Callable[[str, int | None], object]) -> None:
        self._clock = clock
        self._save = save
        self._drop = drop
        self._jobs: dict[str, FeedLog] = {}
        self._organizations: dict[str, FeedLog] = {}

    def load(self, stored: Mapping[str, list[Event]]) -> None:
        """Take up the feeds that a former run of the server left, by their names."""
        for name, events in stored.items():
            org, separator, _ = name.partition("/")
            if separator:
                self._organizations[org] = FeedLog("org", events)
            else:
                self._jobs[name] = FeedLog("job", events)

    def job(self, job_id: str) -> FeedLog | None:
        """The log of a job, while it is live and for some seconds after."""
        return self._jobs.get(job_id)

    def organization(self, org: str) -> FeedLog:
        """The log of an organization's jobs."""
        if org not in self._organizations:
            self._organizations[org] = FeedLog("org")
        return self._organizations[org]

    def record(self, job: Job, effect: Publish) -> tuple[int, Callable[[], None]]:
        """Add an event to the logs that it belongs to.

        Returns:
            The ticket of its commit, and what shows it to the readers.
        """
        now = self._clock.now()
        fields = _fields(job, effect)
        log = self._jobs.setdefault(job.id, FeedLog("job"))
        event = log.add(effect.event, now, fields)
        ticket = self._save(job.id, event)
        last = effect.event == "job_complete"
        if effect.event not in _IN_ORGANIZATION:
            return ticket, lambda: log.show(event, last=last)
        whole = self.organization(job.org)
        common = whole.add(effect.event, now, {"job": job.id, **fields})
        ticket = self._save(f"{job.org}/", common)

        def show() -> None:
            log.show(event, last=last)
            whole.show(common)

        return ticket, show

    def forget(self, job_id: str) -> None:
        """The job's log is not needed any more; nor are old events of organizations."""
        if self._jobs.pop(job_id, None) is not None:
            self._drop(job_id, None)
        oldest = self._clock.now() - ORGANIZATION_HISTORY
        for org, log in self._organizations.items():
            before = log.first
            if (first := log.forget_before(oldest)) != before:
                self._drop(f"{org}/", first)


def _fields(job: Job, effect: Publish) -> dict[str, Any]:
    if effect.event == "start":
        return _start(job)
    fields = {"node": effect.node, "status": effect.status}
    return {key: value for key, value in fields.items() if value is not None}


def _start(job: Job) -> dict[str, Any]:
    spec = job.spec
    fields: dict[str, Any] = {
        "command": spec.command,
        "run_timeout": spec.run_timeout,
        "quorum": spec.quorum,
        "node_count": len(spec.nodes),
        "user": job.requestor,
    }
    given = {"job_user": spec.user, "dir": spec.dir, "env": spec.env}
    fields |= {key: value for key, value in given.items() if value is not None}
    if spec.file is not None:
        fields["file_specified"] = True
    return fields | {"capture": spec.capture}
