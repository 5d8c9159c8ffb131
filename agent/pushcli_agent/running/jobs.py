"""The node's jobs as the loop handles them: supervisors, and results in the spool."""

import logging
import math
from pathlib import Path

import msgspec

from pushcli.protocol import messages, run_wire
from pushcli.protocol.run import OutputChannel, RunSpec
from pushcli.whitelist.entry import KEYS
from pushcli_agent.boot import UNKNOWN, Boot
from pushcli_agent.config import AgentSettings
from pushcli_agent.core.events import (
    CommitRefused,
    JobEnded,
    OutputGrown,
    Started,
    SupervisorStarted,
)
from pushcli_agent.running import disk
from pushcli_agent.running.policy import PolicyConfig, Refusal, explain, prepare
from pushcli_agent.running.spool import FinishedJob, RunningJob, Spool
from pushcli_agent.whitelist.merged import MergedWhitelist

_log = logging.getLogger(__name__)
_LOOK_INTERVAL = 0.1
"""Seconds between looks at a supervisor whose end no descriptor shows."""


class Jobs:
    """What runs and what has ended on this node.

    Args:
        boot: which run of the kernel this is.
    """

    def __init__(self, settings: AgentSettings, boot: Boot = UNKNOWN) -> None:
        self._spool = Spool(Path(settings.spool_dir), boot)
        self._node = settings.node_name
        self._running: dict[str, RunningJob] = {}
        self._finished: dict[str, FinishedJob] = {}
        self.open = settings.open
        """What of a job is its caller's choice."""
        self._policy = _policy(settings, MergedWhitelist())

    def use(self, settings: AgentSettings) -> None:
        """Judge commits by these settings from now on."""
        self.open = settings.open
        self._policy = _policy(settings, self._policy.whitelist)

    def use_whitelist(self, whitelist: MergedWhitelist) -> None:
        """Judge commits by this whitelist from now on; there is none before."""
        self._policy = msgspec.structs.replace(self._policy, whitelist=whitelist)

    def check(self, check: messages.Check) -> dict[str, object]:
        """Judge whether this would be run, and how: the fields of `messages.Checked`."""
        try:
            found = explain(run_wire.spec_of_check(check), self._policy, requestor=check.requestor)
        except Refusal as refusal:
            return {"check_id": check.check_id, "reason": refusal.reason}
        if full := disk.full(self._spool.directory):
            return {"check_id": check.check_id, "reason": full}
        runs = found.command if isinstance(found.command, str) else list(found.command)
        return {
            "check_id": check.check_id,
            "ready": True,
            "entry": found.entry.name,
            "source": found.source,
            "runs": runs,
        }

    def policy_report(self) -> dict[str, object]:
        """What the server may know of the policy: fields of `messages.WhitelistReport`."""
        return {"keys": list(KEYS), "open": list(self.open)}

    def adopt(self) -> Started:
        """Take over what a previous run of the agent left."""
        for job in self._spool.adopt():
            if isinstance(job, RunningJob):
                self._running[job.job_id] = job
            else:
                self._finished[job.job_id] = job
        return Started(
            tuple(self._running),
            tuple((job.job_id, job.result) for job in self._finished.values()),
            frozenset(job.job_id for job in self._running.values() if job.is_growing),
        )

    def commit(
        self, job_id: str, run: RunSpec, requestor: str | None
    ) -> SupervisorStarted | CommitRefused:
        """Check what is to be run and start its supervisor."""
        try:
            prepared = prepare(job_id, run, self._policy, node=self._node, requestor=requestor)
        except Refusal as refusal:
            return CommitRefused(job_id, refusal.reason)
        except Exception as error:
            # The server waits for a vote, whatever it sent.
            _log.exception("job %s cannot be judged", job_id)
            return CommitRefused(job_id, f"the agent failed: {type(error).__name__}")
        try:
            job = self._spool.start(prepared)
        except OSError as error:
            prepared.withdraw()
            full = disk.why(error, self._spool.directory)
            return CommitRefused(job_id, full or f"cannot start a supervisor: {error.strerror}")
        finally:
            prepared.release()
        self._running[job_id] = job
        return SupervisorStarted(job_id, prepared.reboots)

    def run(self, job_id: str) -> None:
        """Have the supervisor run its command; should it be gone, `ended` shows it."""
        self._running[job_id].run()

    def abort(self, job_id: str) -> None:
        """Have the supervisor end its command and itself."""
        if job_id in self._running:
            self._running[job_id].abort()

    def fds(self) -> list[int]:
        """Readable when a supervisor ended."""
        return [job.fd for job in self._running.values() if job.fd >= 0]

    def children(self) -> list[int]:
        """Numbers of the supervisors whose ends are waited for here."""
        return [job.pid for job in self._running.values()]

    def deadline(self, now: float) -> float:
        """When to look at the supervisors again if none of `fds` shows it."""
        unwatched = any(job.fd < 0 for job in self._running.values())
        return now + _LOOK_INTERVAL if unwatched else math.inf

    def ended(self) -> list[JobEnded]:
        """The jobs whose supervisors ended since the last call."""
        return [self._end(job) for job in list(self._running.values()) if job.ended()]

    def _end(self, job: RunningJob) -> JobEnded:
        del self._running[job.job_id]
        finished = job.finished()
        if finished is None:
            return JobEnded(job.job_id, None, job.complaint())
        self._finished[job.job_id] = finished
        return JobEnded(job.job_id, finished.result)

    def read(self, job_id: str, channel: OutputChannel, offset: int, size: int) -> bytes:
        """Spooled output of a job, whether it runs or has ended."""
        job = self._finished.get(job_id) or self._running[job_id]
        return job.read_output(channel, offset, size)

    def grown(self, job_id: str) -> OutputGrown:
        """How much a command that runs has written so far; nothing of one that is gone."""
        job = self._running.get(job_id)
        if job is None:
            return OutputGrown(job_id, 0, 0)
        return OutputGrown(job_id, job.grown("stdout"), job.grown("stderr"))

    def discard(self, job_id: str) -> None:
        """Nothing of this job is needed any more."""
        finished = self._finished.pop(job_id, None)
        if finished is not None:
            finished.discard()
        else:
            self._spool.discard(job_id)


def _policy(settings: AgentSettings, whitelist: MergedWhitelist) -> PolicyConfig:
    return PolicyConfig(
        whitelist=whitelist,
        file_dir=Path(settings.file_dir),
        lock_dir=Path(settings.lock_dir),
        allowed_overwritable_env_vars=_set(settings.allowed_overwritable_env_vars),
        allowed_dirs=_set(settings.allowed_dirs),
        allowed_users=_set(settings.allowed_users),
        rename_env=settings.rename_env,
        max_output_bytes=settings.max_output_bytes,
        default_capture=settings.default_capture,
        outlives_agent=settings.jobs_outlive_agent,
    )


def _set(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
