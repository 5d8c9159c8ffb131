"""In which phase of its part in a job a node is, seen from outside: the store and the spool."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple

from pushcli_agent.running.job_directory import read_lock
from pushcli_server.core.states import UNFINISHED, JobStatus, NodeState

Spooled = Literal["nothing", "committed", "running", "ended"]
FRESH = 2.0
"""Seconds for which a result counts as acknowledged a moment ago."""


class Phase(StrEnum):
    """Where a kill may fall."""

    VOTE = "vote"
    BEFORE_SAVED = "before `run` was saved"
    SENT = "after it was sent"
    RUNNING = "running"
    SPOOLED = "result spooled"
    ACKNOWLEDGED = "acknowledged"


class Part(NamedTuple):
    """A node's part in a job, as the store has it.

    Args:
        ended_at: seconds since the epoch, of a command whose result is stored.
    """

    job: str
    status: str
    node: str
    state: str
    ended_at: float | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether something is still to come of it."""
        return self.state in UNFINISHED


def spooled(spool: Path, job: str) -> Spooled:
    """How far the job is in an agent's spool."""
    directory = spool / job
    if (directory / "result.json").exists():
        return "ended"
    state = read_lock(directory)[1]
    return "running" if state == "running" else "committed" if state == "committed" else "nothing"


def phase_of(part: Part, spool: Spooled, *, all_voted: bool, now: float) -> Phase | None:
    """The phase of a part, if it is in one."""
    if part.status == JobStatus.VOTING:
        if not part.is_unfinished:
            return None
        return Phase.BEFORE_SAVED if all_voted else Phase.VOTE
    if part.is_unfinished and part.status == JobStatus.RUNNING:
        match spool:
            case "committed":
                return Phase.SENT
            case "running":
                return Phase.RUNNING
            case "ended":
                return Phase.SPOOLED
            case _:
                return None
    fresh = part.ended_at is not None and now - part.ended_at < FRESH
    return Phase.ACKNOWLEDGED if fresh and spool == "nothing" else None


def all_voted(parts: Iterable[Part], spools: dict[tuple[str, str], Spooled]) -> set[str]:
    """The jobs of which every node has voted, though the store may not know of it yet.

    Args:
        spools: of the nodes that have one, by job and node; of the others the store tells.
    """
    voting: dict[str, bool] = {}
    for part in parts:
        if part.status == JobStatus.VOTING:
            spool = spools.get((part.job, part.node))
            new = part.state == NodeState.NEW
            voted = not new if spool is None else spool != "nothing" or not part.is_unfinished
            voting[part.job] = voting.get(part.job, True) and voted
    return {job for job, voted in voting.items() if voted}


class Tally:
    """How many kills fell into each phase, by what was killed."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Phase, str]] = Counter()

    def add(self, victim: str, phases: Iterable[Phase]) -> None:
        """A kill fell into these phases of this or that job."""
        self._counts.update((phase, victim) for phase in set(phases))

    def count(self, phase: Phase) -> int:
        """All kills that fell into it."""
        return sum(count for (kind, _), count in self._counts.items() if kind is phase)

    def missing(self) -> list[Phase]:
        """Phases that no kill fell into."""
        return [phase for phase in Phase if not self.count(phase)]

    def table(self) -> list[str]:
        """A line for each phase."""
        victims = sorted({victim for _, victim in self._counts})
        lines = []
        for phase in Phase:
            by = ", ".join(
                f"{self._counts[phase, victim]} {victim}"
                for victim in victims
                if self._counts[phase, victim]
            )
            lines.append(f"  {self.count(phase):4}  {phase}" + (f"  ({by})" if by else ""))
        return lines
