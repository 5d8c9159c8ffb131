"""The agent's whole state: its link to the server, its job, its undelivered results.

Times are seconds of the clock that `handle` is given; `math.inf` is never.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from pushcli.protocol.run import Outcome, OutputChannel
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.effects import JobState

MAX_PENDING = 64
"""Results that may wait for the server; the protocol bounds the heartbeat's list."""


Work = tuple[tuple[str, str] | None, bool]
"""What the server hears of the work here: of the job, if there is one, and whether results wait."""


class Phase(Enum):
    """Where the job stands."""

    STARTING = auto()
    COMMITTED = auto()
    RUNNING = auto()
    ABORTING = auto()


@dataclass(slots=True)
class CurrentJob:
    """The one job that this node is at."""

    id: str
    phase: Phase
    capture: bool = False
    doing: JobState = "committed"
    """What heartbeats say; while aborting, what it was before."""
    reboots: bool = False
    """Whether its command may restart the node."""
    owed: int = 0
    """Aborts received on this connection and not answered yet."""


@dataclass(slots=True, kw_only=True)
class Link:
    """What is known of the server, and when to do something about it."""

    config: ServerConfig | None = None
    connected: bool = False
    proven: bool = False
    """A command message came on this connection: it works both ways."""
    online: bool = True
    """Its heartbeats come."""
    beats: int = 0
    """Heartbeats since it was deemed offline."""
    heard: tuple[str, int] = ("", -1)
    """Incarnation and sequence of its newest heartbeat."""
    retired: deque[str] = field(default_factory=lambda: deque(maxlen=8))
    """Incarnations that it left for good; their heartbeats can only be replayed."""
    chased: str = ""
    """The unknown incarnation for which a configuration was asked last."""
    refusals: int = 0
    """Configurations in a row that did not come, for the backoff."""
    away: bool = False
    """The server says that another may have taken its place."""
    failures: int = 0
    """Connections in a row that did not work, for the backoff."""
    fetching: bool = False
    forced: bool = False
    """The operator wants new connections even if the configuration stays the same."""
    renew_at: float = math.inf
    """When its configuration is too old, or may be: another run of the server may have another."""
    retry_at: float = math.inf
    """When to ask whether it is elsewhere now, or why there was no configuration."""
    heartbeat_at: float = math.inf
    change_at: float = math.inf
    """When a heartbeat repeats what changed, if it is still so."""
    said: Work | None = None
    """What the last heartbeat said."""
    silent_at: float = math.inf
    proof_at: float = math.inf

    @property
    def fetch_at(self) -> float:
        """When a configuration is asked for."""
        return min(self.renew_at, self.retry_at)

    def deadline(self) -> float:
        """When something is due."""
        return min(self.fetch_at, self.heartbeat_at, self.change_at, self.silent_at, self.proof_at)


@dataclass(slots=True)
class Stream:
    """One channel of a job's output on its way: sizes and offsets in bytes."""

    size: int
    sent: int = 0
    held: int = 0
    """Held by the server, as it said."""
    head: int = 0
    """What the server may have had while the command ran, and need not get anew."""
    enough: bool = False
    """The server keeps no more of it."""

    @property
    def all_held(self) -> bool:
        """Whether the server has all that it wants."""
        return self.enough or self.held == self.size

    def restart(self) -> None:
        """What was under way is to be sent again."""
        self.sent = self.held


def streams() -> dict[OutputChannel, Stream]:
    """Both channels, of which nothing is known yet."""
    return {"stdout": Stream(0), "stderr": Stream(0)}


@dataclass(slots=True)
class Live:
    """The output of the running command on its way. Times in seconds, sizes in bytes."""

    job_id: str
    look_at: float
    """When to see how much more there is."""
    streams: dict[OutputChannel, Stream] = field(default_factory=streams)
    allowance: float = 0.0
    """What may be sent now, as of `allowed_at`: it grows with time, up to a bound."""
    allowed_at: float = -math.inf
    attempts: int = 0
    due_at: float = math.inf
    """When what was not acknowledged is sent again."""


@dataclass(slots=True)
class Delivery:
    """A result that the server has not acknowledged."""

    job_id: str
    outcome: Outcome
    left_over: bool
    """From a previous run of the agent."""
    streams: dict[OutputChannel, Stream]
    streamed: bool = False
    """Some of the output went to the server while the command ran."""
    attempts: int = 0
    due_at: float = math.inf

    @property
    def all_held(self) -> bool:
        """Whether the server has all the output."""
        return all(stream.all_held for stream in self.streams.values())


@dataclass(slots=True, kw_only=True)
class Agent:
    """One agent.

    Args:
        random: numbers in [0, 1), for everything that must not happen at once in a fleet.
        knows_others: whether there are several URLs to ask for the configuration.
    """

    random: Callable[[], float]
    knows_others: bool = False
    link: Link = field(default_factory=Link)
    job: CurrentJob | None = None
    ran: deque[str] = field(default_factory=lambda: deque(maxlen=2 * MAX_PENDING))
    """The jobs that were run here last: none runs twice."""
    live: Live | None = None
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    whitelist: str | None = None
    """The digest of the server's whitelist that was applied last."""
    facts: dict[str, Any] | None = None
    """The node's automatic attributes, as of the last configuration."""

    def deadline(self) -> float:
        """When `TimePassed` is due."""
        due = min((d.due_at for d in self.deliveries.values()), default=math.inf)
        return min(self.link.deadline(), due, self._live_deadline())

    def _live_deadline(self) -> float:
        link, live = self.link, self.live
        if live is None or link.config is None or not link.connected:
            return math.inf
        return min(live.look_at, live.due_at) if link.config.accepts_stream else math.inf
