"""A job in words, mostly those that knife's users know. Nothing here colours or prints."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pushcli.escape import escape_line
from pushcli.jobs.model import ABSENT, PENDING, VOTING, JobView, NodeResult
from pushcli.terminal.folding import fold
from pushcli.terminal.reasons import in_short, since

_FEW = 200
"""Nodes that are named where more are only counted."""


class Standing(Protocol):
    """What the words for a job's phase need: a job as it was shown, or as its feed tells it."""

    @property
    def status(self) -> str: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


def phase(job: Standing) -> str:
    """Where a job stands: `Running (2/3 in progress)`."""
    counts = job.counts
    total = sum(counts.values())
    name = escape_line(job.status).replace("_", " ").capitalize()
    match job.status:
        case "new" | "voting":
            return f"{name} ({counts.get('ready', 0)}/{total} ready)"
        case "running":
            pending = sum(counts.get(state, 0) for state in PENDING)
            return f"{name} ({pending}/{total} in progress)"
        case _:
            return name


def interrupted(job: Standing, job_id: str, command: str, nodes: Sequence[str]) -> str:
    """What an operator is told who presses Ctrl-C: who is still at it.

    Args:
        nodes: those whose part is not over.
    """
    total = sum(job.counts.values())
    what = f"{escape_line(command)} (job {job_id[:8]})"
    if job.status in VOTING:
        silent = f"{len(nodes)} of {total} nodes {'has' if len(nodes) == 1 else 'have'}"
        return f"The vote on {what} is not over: {silent} yet to answer."
    if total == 1:
        return f"{escape_line(nodes[0])} still runs {what}." if nodes else f"{what} is over."
    named = f": {fold(map(escape_line, nodes))}" if len(nodes) <= _FEW else ""
    return f"{len(nodes)} of {total} nodes still run {what}{named}."


def vote(job: Standing) -> str:
    """How the vote went, of a job that is past it: `Voting (3/4 ready)`."""
    counts = job.counts
    total = sum(counts.values())
    missing = sum(counts.get(state, 0) for state in ("nacked", "unavailable"))
    return f"Voting ({total - missing}/{total} ready)"


def summary(job: JobView, needed: int | None = None) -> str:
    """How a job ended: `Complete with failures.  2 succeeded, 1 failed`.

    Args:
        needed: how many nodes had to be ready, if that is known.
    """
    counts = job.counts
    if job.status == "quorum_failed":
        wanted = "" if needed is None else f"{needed} needed, "
        total = sum(counts.values())
        few = f", only {total} named" if needed is not None and needed > total else ""
        return f"{phase(job)}: {wanted}{counts.get('was_ready', 0)} ready{few}. Nothing was run."
    failures = " with failures" if job.status == "complete" and _is_troubled(job) else ""
    return f"{phase(job)}{failures}.  {tally(job)}".rstrip()


def mood(job: JobView) -> str:
    """The state whose colour the summary has: a complete job may be anything but good."""
    if job.status != "complete":
        return job.status
    if not job.counts.get("succeeded"):
        return "failed"
    return "nacked" if _is_troubled(job) else "succeeded"


def _is_troubled(job: JobView) -> bool:
    return not job.counts.keys() <= {"succeeded", *ABSENT}


def tally(job: Standing) -> str:
    """The nodes by state: `2 succeeded, 1 failed`."""
    return ", ".join(f"{count} {escape_line(state)}" for state, count in job.counts.items())


def explain(result: NodeResult) -> str:
    """Why a node is in its state, in one safe line; empty if nobody knows."""
    contact = "out of contact" if result.out_of_contact else ""
    if result.reason:
        why = in_short(escape_line(result.reason))
    elif result.signal is not None:
        why = f"killed by signal {result.signal}"
    elif result.exit_code:
        why = f"exit code {result.exit_code}"
    else:
        why = ""
    ending = "the command is still ending" if result.ending else ""
    # An old agent's bare nack comes as the state's own name.
    said = (contact, why, ending, _later(result))
    parts = [part for part in said if part and part != result.state]
    return ", ".join(parts + output_remarks(result))


def explain_together(results: Sequence[NodeResult]) -> str:
    """The same of nodes whose reasons differ in nothing but the moment since when they hold."""
    dated = [(since(result.reason or "")[1], result) for result in results]
    first, sample = min(dated, key=lambda pair: pair[0])
    last = max(moment for moment, _ in dated)
    why = explain(sample)
    began, until = (in_short(f"since {moment}") for moment in (first, last))
    if began == until:
        return why
    return why.replace(began, f"{began} to {until.removeprefix('since ')}", 1)


def words(result: NodeResult) -> str:
    """A node's state, and why it is in it: `failed, exit code 3`."""
    return ", ".join(filter(None, (escape_line(result.state), explain(result))))


def _later(result: NodeResult) -> str:
    """How a command came to its end after all, of a node that was given up."""
    late = result.late_result
    if late is None or late.timed_out or late.aborted or late.lost:
        return ""
    if late.signal is not None:
        return f"ended later: killed by signal {late.signal}"
    return f"ended later: exit code {0 if late.succeeded else late.exit_code}"


def output_remarks(result: NodeResult) -> list[str]:
    """What is to be known of a node's output: it is not all that the command would have said."""
    remarks = []
    if result.partial:
        remarks.append("partial output")
    if result.dropped:
        remarks.append(f"{result.dropped:,} bytes of output missing")
    if result.output_deleted_at is not None:
        remarks.append("output deleted")
    if result.output_pending:
        remarks.append("output still to come")
    return remarks


def duration(result: NodeResult) -> str:
    """How long its command ran, in seconds; empty if it did not end."""
    if result.started_at is None or result.ended_at is None:
        return ""
    return f"{max(0.0, result.ended_at - result.started_at):.1f} s"
