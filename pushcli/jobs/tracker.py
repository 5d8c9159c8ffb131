"""How far a job is, told by its event feed (Push Jobs protocol, section 8). No I/O, no clock.

Events may come again after a connection broke: the feed then either goes on where it was or
begins anew with `start`, which begins anew here too.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from pushcli.client.feed import FeedEvent
from pushcli.errors import ServerError
from pushcli.jobs.model import ABSENT, PENDING, UNFINISHED, JobView, NodeResult, ordered

RATE_OVER = 10.0
"""Seconds over which the rate is taken."""
MOST_EXPLAINED = 500
"""Nodes of which more than the state is asked for while the job runs."""
MOST_TROUBLED = 50
TROUBLED = ("nacked", "unavailable", "failed", "crashed", "timed_out", "aborted")
"""States of nodes that need a look."""
_BAD = "the server sent an event that this pushcli does not understand"

_VOTES = {
    "success": "ready",
    "failure": "nacked",
    "down": "unavailable",
    "voting_timeout": "unavailable",
    "lost_availibility": "unavailable",
}
"""What a vote makes of a node; other words are about nodes whose part is over already."""
_ENDS = {
    "success": "succeeded",
    "failure": "failed",
    "crashed": "crashed",
    "run_nacked": "failed",
    "run_nacked_while_running": "failed",
}

_UNDECIDED = ("new", "ready")


class _Said(msgspec.Struct, frozen=True, gc=False):
    """What we use of an event's data."""

    timestamp: str = ""
    node: str | None = None
    status: str | None = None
    command: str | None = None
    quorum: int | None = None


_decode = msgspec.json.Decoder(_Said).decode
_decode_summary = msgspec.json.Decoder(JobView).decode


class Tracker:
    """A job's phase and where each of its nodes stands.

    Args:
        nodes: those of the job, as far as they are known before the feed tells.
        command, quorum: what was asked for, if that is known.
    """

    def __init__(
        self, nodes: Iterable[str] = (), *, command: str = "", quorum: int | None = None
    ) -> None:
        self.command = command
        self.quorum = quorum
        self._status = "voting"
        self.vote_is_over = False
        self.states: dict[str, str] = dict.fromkeys(nodes, "new")
        self.running_since: dict[str, float] = {}
        """Seconds since the epoch, by the server's clock; the longest first."""
        self.results: dict[str, NodeResult] = {}
        """What is known beyond the state, of nodes that need a look."""
        self.began_at: float | None = None
        self.now = 0.0
        """When the last event was written."""
        self._counts: dict[str, int] = {}
        self._ends: deque[tuple[float, int]] = deque()
        self.troubled: deque[str] = deque(maxlen=MOST_TROUBLED)
        """Nodes that ran and did not end well, the last ones last."""
        self._count()

    # --- what is so

    @property
    def status(self) -> str:
        """The job's, in the server's word."""
        return self._status

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return self.status not in UNFINISHED

    @property
    def total(self) -> int:
        """How many nodes the job has."""
        return len(self.states)

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes are in each state that has any, in the order of a node's course."""
        return ordered(self._counts)

    def count(self, *states: str) -> int:
        """How many nodes are in one of these states."""
        return sum(self._counts.get(state, 0) for state in states)

    @property
    def participating(self) -> int:
        """How many nodes were not left out by the vote."""
        return self.total - self.count("nacked", "unavailable")

    @property
    def unfinished(self) -> list[str]:
        """The nodes whose part is not over: of a vote those that have not answered."""
        waited_for = ("ready", "running") if self.vote_is_over else ("new",)
        return [node for node, state in self.states.items() if state in waited_for]

    def rate(self, now: float) -> float:
        """Nodes that end in a second, of late; `now` by the server's clock."""
        if self.began_at is None:
            return 0.0
        recent = sum(count for at, count in self._ends if at > now - RATE_OVER)
        first = self._ends[0][0] if self._ends else now
        return recent / max(1.0, min(RATE_OVER, now - first))

    def unexplained(self) -> bool:
        """Whether a node is in trouble of which nothing more is known, and more may be asked."""
        if len(self.results) >= MOST_EXPLAINED:
            return False
        return self.count(*TROUBLED) > sum(r.state in TROUBLED for r in self.results.values())

    # --- what changes it

    def apply(self, event: FeedEvent) -> None:
        """Take an event of the feed in.

        Raises:
            ServerError: it is none.
        """
        try:
            if event.name == "summary":
                self.update(_decode_summary(event.data))
                return
            said = _decode(event.data)
        except (msgspec.DecodeError, ValueError) as error:
            raise ServerError(_BAD) from error
        self.now = max(self.now, _seconds(said.timestamp))
        match event.name, said.node:
            case "start", _:
                self._start(said)
            case "quorum_vote", str(node) if said.status in _VOTES:
                self._set(node, _VOTES[said.status])
            case "rehab", str(node) if not self.vote_is_over:
                if self.states.get(node, "new") in _UNDECIDED:
                    self._set(node, "unavailable")
            case "quorum_succeeded", _:
                self._status, self.vote_is_over = "running", True
            case "run_start", str(node):
                self._set(node, "running")
                self.running_since[node] = self.now
            case "run_complete", str(node) if said.status in _ENDS:
                self._set(node, _ENDS[said.status])
            case "job_complete", _:
                self._status = said.status or "complete"

    def update(self, job: JobView) -> None:
        """The job as the server shows it now."""
        self._status = job.status
        self.vote_is_over = self.vote_is_over or job.status == "running"
        self.command = self.command or job.command
        told = dict(job.states())
        for node, state in told.items():
            if state in TROUBLED and state not in ABSENT and self.states.get(node) != state:
                self.troubled.append(node)
        if told:
            self.states = {node: told[node] for node in self.states if node in told} | told
        for node in [n for n in self.running_since if self.states.get(n) != "running"]:
            del self.running_since[node]
        self._count()

    def explain(self, results: Sequence[NodeResult]) -> None:
        """More about nodes that need a look, as the server tells it now."""
        self.results = {result.node: result for result in results}

    def _start(self, said: _Said) -> None:
        self.command = said.command or self.command
        self.quorum = said.quorum if said.quorum is not None else self.quorum
        self.began_at = self.now
        self._status, self.vote_is_over = "voting", False
        self.states = dict.fromkeys(self.states, "new")
        self.running_since.clear()
        self._ends.clear()
        self.troubled.clear()
        self._count()

    def _set(self, node: str, state: str) -> None:
        before = self.states.get(node)
        if before == state:
            return
        if before is not None:
            self._counts[before] -= 1
        self.states[node] = state
        self._counts[state] = self._counts.get(state, 0) + 1
        self.running_since.pop(node, None)
        if self.vote_is_over and state not in PENDING:
            self._note_end()
            if state in TROUBLED:
                self.troubled.append(node)

    def _note_end(self) -> None:
        if self._ends and self.now - self._ends[-1][0] < 0.5:
            at, count = self._ends[-1]
            self._ends[-1] = at, count + 1
        else:
            self._ends.append((self.now, 1))
        while self._ends[0][0] < self.now - RATE_OVER:
            self._ends.popleft()

    def _count(self) -> None:
        self._counts = {}
        for state in self.states.values():
            self._counts[state] = self._counts.get(state, 0) + 1


def _seconds(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):
        return 0.0
