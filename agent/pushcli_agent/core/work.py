"""The job on this node: commit, run, abort, end (Push Jobs protocol, sections 6 and 7)."""

from typing import Literal

from pushcli.protocol import extensions, messages, names, run_wire
from pushcli.protocol.run import Outcome
from pushcli_agent.core import delivery, live
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.effects import (
    AbortJob,
    Answer,
    DiscardSpool,
    Effect,
    Report,
    StartCommand,
    StartSupervisor,
)
from pushcli_agent.core.events import (
    CommitRefused,
    JobEnded,
    Started,
    SupervisorStarted,
)
from pushcli_agent.core.state import MAX_PENDING, Agent, CurrentJob, Phase


def adopt(agent: Agent, event: Started, now: float) -> list[Effect]:
    """Take on what a previous run of the agent left."""
    effects: list[Effect] = []
    for job_id, outcome in event.finished:
        effects += delivery.keep(agent, job_id, outcome, now, left_over=True)
    agent.ran.extend([job_id for job_id, _ in event.finished] + list(event.running))
    # One job at a time; were there more, the others could not be reported to the server.
    for job_id in event.running[1:]:
        effects.append(AbortJob(job_id))
    if event.running:
        is_growing = event.running[0] in event.growing
        agent.job = CurrentJob(event.running[0], Phase.RUNNING, is_growing, "running")
        if is_growing:
            live.begin(agent, event.running[0], now)
        effects.append(Report("info", f"job {event.running[0]} is still running: adopted"))
    return effects


def malformed(kind: Literal["commit", "run"], reason: str) -> list[Effect]:
    """Refuse something that names no job."""
    report = Report("warning", f"malformed {kind}: {reason}")
    return [report, Answer(messages.NackCommit if kind == "commit" else messages.NackRun, None)]


def commit(agent: Agent, message: messages.Commit) -> list[Effect]:
    """Take the job on, unless something speaks against it."""
    if message.job_id is None or not names.is_job_id(message.job_id) or message.command is None:
        return malformed("commit", "no job id or no command")
    job = agent.job
    if job is not None and job.id == message.job_id and job.phase is Phase.COMMITTED:
        return [_ack(agent, job)]
    if job is not None and job.id == message.job_id and job.phase is Phase.STARTING:
        return []
    reason = _objection(agent, message.job_id)
    if reason is not None:
        return _nack(agent, message.job_id, reason)
    spec = run_wire.spec_of(message, _agreed(agent))
    agent.job = CurrentJob(message.job_id, Phase.STARTING, spec.capture)
    return [StartSupervisor(message.job_id, spec, message.requestor)]


def _objection(agent: Agent, job_id: str) -> str | None:
    if agent.job is not None:
        return f"busy with job {agent.job.id}"
    if not agent.link.online:
        return "the server's heartbeats are not arriving"
    if job_id in agent.ran:
        return "this job has already run here"
    if len(agent.deliveries) >= MAX_PENDING:
        return f"{MAX_PENDING} results are waiting for the server"
    return None


def supervisor_started(agent: Agent, event: SupervisorStarted) -> list[Effect]:
    """Ready: vote yes."""
    job = agent.job
    if job is None or job.id != event.job_id or job.phase is not Phase.STARTING:
        return [AbortJob(event.job_id)]
    job.phase, job.reboots = Phase.COMMITTED, event.reboots
    return [_ack(agent, job)]


def refused(agent: Agent, event: CommitRefused) -> list[Effect]:
    """Not ready: vote no with the reason, and answer the aborts that came meanwhile."""
    job, agent.job = agent.job, None
    if job is None or job.id != event.job_id:
        raise ValueError(f"no commit of {event.job_id} was asked for")
    report = Report("info", f"job {job.id} refused: {event.reason}")
    if job.phase is Phase.ABORTING:
        return [report, *_aborted(job)]
    return [report, *_nack(agent, job.id, event.reason)]


def run(agent: Agent, message: messages.Run, now: float) -> list[Effect]:
    """Run what was committed to, once; every command to run gets its answer."""
    job_id = message.job_id
    if job_id is None or not names.is_job_id(job_id):
        return malformed("run", "no job id")
    job = agent.job
    if job is not None and job.id == job_id and job.phase is Phase.COMMITTED:
        job.phase, job.doing = Phase.RUNNING, "running"
        agent.ran.append(job_id)
        if job.capture:
            live.begin(agent, job_id, now)
        return [StartCommand(job_id), Answer(messages.AckRun, job_id)]
    if job is not None and job.id == job_id and job.phase is Phase.RUNNING:
        return [Answer(messages.AckRun, job_id)]
    if job_id in agent.deliveries:
        # It ended meanwhile; the result says so, or the output that goes ahead of it will.
        effects = delivery.send(agent, agent.deliveries[job_id], now)
        return effects or [Answer(messages.AckRun, job_id)]
    return [Answer(messages.NackRun, job_id)]


def abort(agent: Agent) -> list[Effect]:
    """Drop whatever there is; the answer goes out once that is gone."""
    job = agent.job
    if job is None:
        return [Answer(messages.Aborted, None)]
    job.owed += 1
    if job.phase is Phase.ABORTING:
        return []
    starting = job.phase is Phase.STARTING
    job.phase = Phase.ABORTING
    report = Report("info", f"job {job.id} aborted by the server")
    return [report] if starting else [report, AbortJob(job.id)]


def ended(agent: Agent, event: JobEnded, now: float) -> list[Effect]:
    """The supervisor is gone."""
    job = agent.job
    outcome, config = event.outcome, agent.link.config
    if job is None or job.id != event.job_id:
        # One of several that a previous run of the agent left.
        if outcome is None or event.job_id not in agent.ran or not _accepts_partial(config):
            return [DiscardSpool(event.job_id)]
        kept = delivery.keep(agent, event.job_id, outcome, now, left_over=True)
        return [*_story(event.job_id, outcome), *kept]
    agent.job = None
    begun, agent.live = agent.live, None
    if job.phase is Phase.ABORTING:
        report = _story(job.id, outcome)
        # What it wrote until then is its operator's; the server hears of the end first.
        if outcome is None or job.doing != "running" or not _accepts_partial(config):
            return [*report, DiscardSpool(job.id), *_aborted(job)]
        kept = delivery.keep(agent, job.id, outcome, now, left_over=False, begun=begun)
        return [*report, *_aborted(job), *kept]
    if job.phase is not Phase.RUNNING:
        lost = Report("warning", f"job {job.id} lost its supervisor before it ran")
        reason = "its supervisor died" + (f": {event.complaint}" if event.complaint else "")
        return [lost, DiscardSpool(job.id), *_nack(agent, job.id, reason)]
    if outcome is None or (outcome.lost and not _accepts_partial(config)):
        # As old agents say that there will be no result.
        story = _story(job.id, outcome or Outcome(lost=True))
        return [*story, DiscardSpool(job.id), Answer(messages.Aborted, job.id)]
    kept = delivery.keep(agent, job.id, outcome, now, left_over=False, begun=begun)
    return [*_story(job.id, outcome), *kept]


def _accepts_partial(config: ServerConfig | None) -> bool:
    """Whether the server knows what to do with the result of what was aborted or lost.

    One that was not reached yet will say so.
    """
    return config is None or config.accepts_partial


def connection_changed(agent: Agent) -> None:
    """Aborts are counted per connection: those of the old one are not answered any more."""
    if agent.job is not None:
        agent.job.owed = 0


def _story(job_id: str, outcome: Outcome | None) -> list[Effect]:
    """How it ended, for the log."""
    if outcome is None:
        return []
    if outcome.lost:
        return [Report("warning", f"job {job_id} lost its supervisor: how it ended is not known")]
    if outcome.succeeded:
        end = "succeeded"
    elif outcome.aborted:
        end = "was aborted"
    elif outcome.timed_out:
        end = "failed: timed out"
    elif outcome.signal is not None:
        end = f"failed: killed by signal {outcome.signal}"
    else:
        end = f"failed: exit code {outcome.exit_code}"
    return [Report("info", f"job {job_id} {end}"), *_missing(job_id, outcome)]


def _missing(job_id: str, outcome: Outcome) -> list[Effect]:
    missing = outcome.stdout_dropped + outcome.stderr_dropped
    if not missing:
        return []
    return [Report("info", f"job {job_id}: {missing} bytes of its output were not kept")]


def _aborted(job: CurrentJob) -> list[Effect]:
    named: list[str | None] = [job.id]
    unnamed: list[str | None] = [None]
    answers = (named + unnamed * job.owed)[: job.owed]
    return [Answer(messages.Aborted, job_id) for job_id in answers]


def _ack(agent: Agent, job: CurrentJob) -> Effect:
    reboots = job.reboots and extensions.REBOOTS in _agreed(agent)
    return Answer(messages.AckCommit, job.id, reboots=reboots)


def _nack(agent: Agent, job_id: str, reason: str) -> list[Effect]:
    sent = reason if extensions.REASON in _agreed(agent) else None
    return [Answer(messages.NackCommit, job_id, sent)]


def _agreed(agent: Agent) -> frozenset[str]:
    config = agent.link.config
    return frozenset() if config is None else config.extensions
