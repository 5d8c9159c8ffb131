"""What a job's end means to the one who started it: an exit status."""

from pushcli.exit_status import ExitStatus
from pushcli.jobs.model import JobView

_HARMLESS = {"succeeded", "nacked", "unavailable"}
"""States of nodes that are no failure of a complete job (as knife has it)."""

_BY_STATUS = {
    "quorum_failed": ExitStatus.QUORUM_FAILED,
    "timed_out": ExitStatus.TIMED_OUT,
    "aborted": ExitStatus.ABORTED,
}


def verdict(job: JobView) -> ExitStatus:
    """The exit status for a job that is over."""
    if job.status != "complete":
        # Anything else, like the old server's `crashed`, is a failure.
        return _BY_STATUS.get(job.status, ExitStatus.NODE_FAILED)
    return ExitStatus.OK if _HARMLESS.issuperset(job.nodes) else ExitStatus.NODE_FAILED
