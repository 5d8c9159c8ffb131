"""The feeds of jobs and organizations: which event says what (Push Jobs protocol, 8)."""

from typing import Any

from pushcli_server.clock import Clock
from pushcli_server.core.job import Job
from pushcli_server.core.job_events import Publish
from pushcli_server.feed_log import FeedLog

ORGANIZATION_HISTORY = 60.0
"""Seconds for which an organization's events are kept."""
_IN_ORGANIZATION = frozenset({"start", "job_complete"})


class Feeds:
    """The logs of all live and just ended jobs, and of the organizations."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, FeedLog] = {}
        self._organizations: dict[str, FeedLog] = {}

    def job(self, job_id: str) -> FeedLog | None:
        """The log of a job, while it is live and for some seconds after."""
        return self._jobs.get(job_id)

    def organization(self, org: str) -> FeedLog:
        """The log of an organization's jobs."""
        if org not in self._organizations:
            self._organizations[org] = FeedLog("org", keep=ORGANIZATION_HISTORY)
        return self._organizations[org]

    def publish(self, job: Job, effect: Publish) -> None:
        """Add an event to the job's log, and to the organization's if it belongs there."""
        fields = _fields(job, effect)
        now = self._clock.now()
        log = self._jobs.setdefault(job.id, FeedLog("job"))
        log.append(effect.event, now, fields)
        if effect.event in _IN_ORGANIZATION:
            self.organization(job.org).append(effect.event, now, {"job": job.id, **fields})
        if effect.event == "job_complete":
            log.finish()

    def forget(self, job_id: str) -> None:
        """The job's log is not needed any more."""
        self._jobs.pop(job_id, None)


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
