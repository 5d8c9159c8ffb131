"""The states of a job and of a node within it (Push Jobs protocol, section 7)."""

from enum import StrEnum


class JobStatus(StrEnum):
    """A job's status, as REST spells it."""

    VOTING = "voting"
    RUNNING = "running"
    COMPLETE = "complete"
    QUORUM_FAILED = "quorum_failed"
    TIMED_OUT = "timed_out"
    ABORTED = "aborted"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return self not in {JobStatus.VOTING, JobStatus.RUNNING}


class NodeState(StrEnum):
    """What became of a node in one job, as REST spells it."""

    NEW = "new"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    CRASHED = "crashed"
    NACKED = "nacked"
    UNAVAILABLE = "unavailable"
    WAS_READY = "was_ready"
    TIMED_OUT = "timed_out"

    @property
    def is_final(self) -> bool:
        """Whether the node's part in the job is over."""
        return self not in UNFINISHED


UNFINISHED = frozenset({NodeState.NEW, NodeState.READY, NodeState.RUNNING})
AT_WORK = frozenset({NodeState.READY, NodeState.RUNNING})
"""Of a node that has taken the job on, and takes on no other."""
ENDED_FROM_HERE = frozenset({NodeState.TIMED_OUT, NodeState.ABORTED})
"""Of a node whose command may be still to be ended, its part being over already."""
TROUBLED = frozenset({
    NodeState.NACKED, NodeState.UNAVAILABLE, NodeState.FAILED, NodeState.CRASHED,
    NodeState.TIMED_OUT, NodeState.ABORTED,
})  # fmt: skip
"""States that somebody may want explained."""
