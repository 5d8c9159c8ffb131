"""An agent's core with a clock: tests read as scripts of events and expected effects."""

from typing import Any

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import Outcome
from pushcli_agent.core import effects, events
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.machine import handle
from pushcli_agent.core.state import Agent

JOB = "0" * 31 + "1"
OTHER = "0" * 31 + "2"
STAMP = "Mon, 23 Nov 2026 20:43:16 GMT"


def config(**changed: Any) -> ServerConfig:
    """A configuration of our server, heartbeats every second."""
    fields: dict[str, Any] = {
        "host": "push.example.com",
        "command_addr": "tcp://push.example.com:10002",
        "heartbeat_addr": "tcp://push.example.com:10000",
        "interval": 1.0,
        "offline_threshold": 3,
        "online_threshold": 2,
        "curve_public_key": "k" * 40,
        "session_key": b"secret",
        "modulus": b"\x01",
        "exponent": 3,
        "lifetime": 3600.0,
        "max_message_skew": 300.0,
        "max_body_size": 65536,
        "incarnation_id": "server-1",
        # What a node tells of itself has tests of its own.
        "extensions": extensions.ALL - {extensions.WHITELIST, extensions.FACTS},
    }
    return ServerConfig(**{**fields, **changed})


def old_config(**changed: Any) -> ServerConfig:
    """A configuration of a server without extensions."""
    return config(extensions=frozenset(), **changed)


def succeeded(**changed: Any) -> Outcome:
    """A command that ended with 0."""
    return Outcome(**{"exit_code": 0, "started_at": 1.0, "ended_at": 2.0, **changed})


def answer(kind: Any, job_id: str | None = JOB, reason: str | None = None) -> effects.Answer:
    """A short answer."""
    return effects.Answer(kind, job_id, reason)


def heartbeat(
    state: effects.JobState = "idle",
    job_id: str | None = None,
    pending: tuple[str, ...] | None = None,
) -> effects.SendHeartbeat:
    """A heartbeat of the agent."""
    return effects.SendHeartbeat(state, job_id, pending)


class Script:
    """One agent. What the log would say is left out of the effects."""

    def __init__(self, random: float = 0.5) -> None:
        self.agent = Agent(random=lambda: random)
        self.now = 1000.0
        self.sequence = 0
        self.beats = 0

    def take(self, event: events.Event) -> list[effects.Effect]:
        """One event, and what is to be done."""
        done = handle(self.agent, event, self.now)
        return [effect for effect in done if not isinstance(effect, effects.Report)]

    def wait(self, seconds: float) -> list[effects.Effect]:
        """Let time pass, waking the agent whenever it asked for it."""
        end, done = self.now + seconds, []
        while self.agent.deadline() <= end:
            self.now = max(self.now, self.agent.deadline())
            done += self.take(events.TimePassed())
        self.now = end
        return done

    def command(self, kind: type[Any], **fields: Any) -> list[effects.Effect]:
        """A message on the command channel."""
        self.sequence += 1
        return self.take(
            events.CommandReceived(kind(sequence=self.sequence, timestamp=STAMP, **fields))
        )

    def beat(self, incarnation: str = "server-1") -> list[effects.Effect]:
        """A heartbeat of the server."""
        self.beats += 1
        message = messages.ServerHeartbeat(
            sequence=self.beats, timestamp=STAMP, server="push", incarnation_id=incarnation
        )
        return self.take(events.ServerHeard(message))

    def beats_for(self, seconds: int) -> list[effects.Effect]:
        """Seconds in which the server's heartbeats come."""
        done: list[effects.Effect] = []
        for _ in range(seconds):
            done += self.beat() + self.wait(1.0)
        return done

    def commit(self, job_id: str = JOB, **fields: Any) -> list[effects.Effect]:
        """A commit of the server."""
        fields = {"job_id": job_id, "server": "push", "command": "true", **fields}
        return self.command(messages.Commit, **fields)

    def committed(self, job_id: str = JOB, **fields: Any) -> list[effects.Effect]:
        """A commit that finds its supervisor ready; the effects of that."""
        self.commit(job_id, **fields)
        return self.take(events.SupervisorStarted(job_id))

    def running(self, job_id: str = JOB) -> list[effects.Effect]:
        """A job that was committed to and told to run."""
        self.committed(job_id)
        return self.command(messages.Run, job_id=job_id)

    def ended(self, outcome: Outcome | None, job_id: str = JOB) -> list[effects.Effect]:
        """The job's supervisor is done."""
        return self.take(events.JobEnded(job_id, outcome))


def connected(answer: ServerConfig | None = None, *, random: float = 0.5) -> Script:
    """An agent that has found its server and heard of it."""
    script = Script(random)
    script.take(events.Started())
    script.take(events.Configured(answer or config()))
    script.take(events.Connected())
    script.command(messages.Ack)
    script.beat()
    return script
