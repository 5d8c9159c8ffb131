"""What became of a job, in a few words for a list. Nothing here colours or prints."""

from collections.abc import Mapping
from typing import NamedTuple

from pushcli.escape import escape_line
from pushcli.jobs.model import ABSENT, PENDING, VOTING
from pushcli.jobs.pages import ListedJob

_NAMES = {"succeeded": "ok", "timed_out": "timed out", "was_ready": "not started"}

_ORDER = ("succeeded", "failed", "crashed", "timed_out", "aborted", "was_ready")


class Summary(NamedTuple):
    """Words, and the state whose colour they have."""

    text: str
    state: str


def outcome(job: ListedJob) -> Summary:
    """`397 ok, 3 failed, 12 absent` of one that is complete; else its status stands before it."""
    states, status = job.states, escape_line(job.status).replace("_", " ")
    if not states:
        # An older server tells no more.
        return Summary(status, job.status)
    told = _counted(states)
    if job.status in VOTING:
        return Summary(
            f"{status}: {states.get('ready', 0)} ready of {sum(states.values())}", job.status
        )
    if job.status == "running":
        return Summary(f"{status}: {told}", job.status)
    if job.status == "quorum_failed":
        needed = "" if job.quorum is None else f", {job.quorum} needed"
        return Summary(f"{status}: {states.get('was_ready', 0)} ready{needed}", job.status)
    if job.status != "complete":
        return Summary(f"{status}: {told}", job.status)
    is_bad = not states.keys() <= {"succeeded", *ABSENT} or not states.get("succeeded")
    return Summary(told, "failed" if is_bad else "succeeded")


def _counted(states: Mapping[str, int]) -> str:
    left = sum(states.get(state, 0) for state in PENDING)
    absent = sum(states.get(state, 0) for state in ABSENT)
    others = [state for state in states if state not in {*_ORDER, *ABSENT, *PENDING}]
    counts = [
        (states.get(state, 0), _NAMES.get(state, escape_line(state)))
        for state in (*_ORDER, *others)
    ]
    counts = [*counts, (left, "to go"), (absent, "absent")]
    told = ", ".join(f"{count} {name}" for count, name in counts if count)
    return told if states.get("succeeded") else f"0 ok, {told}"
