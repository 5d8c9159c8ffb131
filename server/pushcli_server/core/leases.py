"""Which server works with the database: its present holder, until it has ended or fell silent.

A holder says several times within its lease that it is there. Times are the database's, in
seconds since the epoch: clocks of two machines differ.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

RENEWALS = 4
"""How often it says so: some of it may come late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What the database knows of the server that works with it, or did.

    Args:
        epoch: counts the holders.
        incarnation_id: of one run of a server; no other has it ever.
        host: the machine's name, for people.
        lease: seconds of silence after which it counts as gone.
        renewals: how often it said that it is there, and that it ended.
        renewed_at: when it last said that it is there; None: it ended.
    """

    epoch: int
    incarnation_id: str
    host: str
    started_at: float
    lease: float
    renewals: int
    renewed_at: float | None


class Process(Enum):
    """What is known on this machine of the holder's process."""

    GONE = auto()
    THERE = auto()
    ELSEWHERE = auto()


class State(StrEnum):
    """What is known of a holder."""

    WORKS = "works"
    SILENT = "silent"
    ENDED = "ended"
    READY = "ready"
    """It stands ready to take the place of another."""


def state(holder: Holder, process: Process, now: float, watched: float = 0.0) -> State:
    """What is known of it now.

    Args:
        watched: seconds for which nothing was heard of it by whoever asks: the database's clock may
            have been set back.
    """
    if holder.renewed_at is None or process is Process.GONE:
        return State.ENDED
    is_silent = max(now - holder.renewed_at, watched) >= holder.lease
    return State.SILENT if is_silent else State.WORKS


def is_free(holder: Holder | None, process: Process, now: float, watched: float = 0.0) -> bool:
    """Whether another server may take its place; `watched` as above.

    One that hangs may: what it still writes is refused from then on.
    """
    return holder is None or state(holder, process, now, watched) is not State.WORKS


def is_waited_for(first: Holder, holder: Holder) -> bool:
    """Whether nothing was heard of a holder since it was first looked at: it may be gone."""
    return (holder.incarnation_id, holder.renewals) == (first.incarnation_id, first.renewals)


@dataclass(slots=True)
class Watch:
    """What a server that stands ready has seen of the one that works.

    What counts is for how long it saw no sign: clocks are set, commits are slow, and while the
    database is away nobody can say that he is there.
    """

    _seen: Holder | None = None
    _since: float = 0.0

    def lost(self) -> None:
        """The database could not be asked: whoever works has first to hear of it, too."""
        self._seen = None

    def is_free(self, holder: Holder | None, process: Process, at: float) -> bool:
        """Whether its place may be taken.

        Args:
            at: our time in seconds, which only goes forward.
        """
        if holder is None or holder.renewed_at is None or process is Process.GONE:
            return True
        if self._seen is None or not is_waited_for(self._seen, holder):
            self._seen, self._since = holder, at
        return at - self._since >= holder.lease
