"""Whatever the server says, in whatever order, and whenever the agent is restarted."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome
from pushcli_agent.core import effects, events
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.machine import handle
from pushcli_agent.core.state import Agent, Phase
from tests.support.examples import examples
from tests.unit.agent.core.script import STAMP, config, old_config

JOBS = [f"{number:032x}" for number in range(3)]
OUTCOMES = [
    Outcome(exit_code=0),
    Outcome(exit_code=3),
    Outcome(signal=9),
    Outcome(exit_code=0, capture=True, stdout_size=10),
    Outcome(exit_code=0, capture=True, stdout_size=400_000, stderr_size=70_000),
]
job = st.sampled_from(JOBS)


class World(RuleBasedStateMachine):
    """The node around an agent's core: supervisors, their spool, and a server's memory."""

    answer: ServerConfig

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sequence = 0
        self.beats = 0
        self.refuses = False
        self.alive: dict[str, str] = {}
        """Supervisors: "committed" or "running"."""
        self.aborting: set[str] = set()
        self.spool: dict[str, Outcome] = {}
        self.runs: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self.forgotten: set[str] = set()
        self.owed = 0
        self.answers: list[effects.Effect] = []

    @initialize(old=st.booleans())
    def start(self, old: bool) -> None:
        self.answer = old_config() if old else config()
        self.boot()

    def boot(self) -> None:
        self.agent = Agent(random=lambda: 0.5)
        self.owed = 0
        running = tuple(name for name, state in self.alive.items() if state == "running")
        self.take(events.Started(running, tuple(self.spool.items())))
        self.take(events.Configured(self.answer))
        self.take(events.Connected())

    # --- the node

    def take(self, event: events.Event) -> None:
        queue: list[events.Event] = [event]
        while queue:
            for effect in handle(self.agent, queue.pop(0), self.now):
                queue += self.perform(effect)

    def perform(self, effect: effects.Effect) -> list[events.Event]:
        self.answers.append(effect)
        match effect:
            case effects.StartSupervisor(job_id=job_id):
                if self.refuses:
                    return [events.CommitRefused(job_id, "no")]
                assert job_id not in self.alive, "a second supervisor of one job"
                assert not self.alive, "two jobs at once"
                self.alive[job_id] = "committed"
                return [events.SupervisorStarted(job_id)]
            case effects.StartCommand(job_id=job_id):
                assert self.alive[job_id] == "committed"
                self.alive[job_id] = "running"
                self.runs[job_id] += 1
                assert self.runs[job_id] == 1, "a job ran twice"
            case effects.AbortJob(job_id=job_id):
                self.aborting.add(job_id)
            case effects.DiscardSpool(job_id=job_id):
                assert job_id not in self.alive
                self.spool.pop(job_id, None)
            case effects.SendResult(job_id=job_id, outcome=outcome):
                assert job_id not in self.acknowledged, "sent after it was acknowledged"
                assert self.spool[job_id] == outcome
            case effects.SendOutput(job_id=job_id, offset=offset, size=size, channel=channel):
                sizes = {
                    "stdout": self.spool[job_id].stdout_size,
                    "stderr": self.spool[job_id].stderr_size,
                }
                assert size > 0
                assert offset + size <= sizes[channel]
            case effects.Answer(kind=messages.Aborted):
                assert not self.alive, "aborted before it was idle"
                self.owed -= 1
            case effects.SendHeartbeat(job_state=state, job_id=named):
                assert self.agent.link.connected
                assert self.alive == ({named: state} if named else {})
        return []

    def end(self, job_id: str, outcome: Outcome | None) -> None:
        state = self.alive.pop(job_id)
        self.aborting.discard(job_id)
        if state != "running":
            outcome = None
        if outcome is not None:
            self.spool[job_id] = outcome
        # Of what this run of the agent was told to abort the server expects no result; if a
        # new connection has made it forget the abort, it sends another.
        job = self.agent.job
        aborting = job is not None and job.phase is Phase.ABORTING
        lost = outcome is None and state == "running" and self.owed == 0 and not aborting
        self.owed += lost
        self.take(events.JobEnded(job_id, outcome))

    @precondition(lambda self: self.alive)
    @rule(outcome=st.sampled_from([*OUTCOMES, None]))
    def command_ends(self, outcome: Outcome | None) -> None:
        [job_id] = self.alive
        self.end(job_id, outcome)

    @precondition(lambda self: self.aborting)
    @rule()
    def abort_takes_effect(self) -> None:
        self.end(self.aborting.pop(), Outcome(signal=15, aborted=True))

    @rule(refuses=st.sampled_from([False, False, True]))
    def policy_changes(self, refuses: bool) -> None:
        self.refuses = refuses

    @rule()
    def agent_is_killed_and_starts_again(self) -> None:
        self.alive = {name: state for name, state in self.alive.items() if state == "running"}
        self.aborting &= set(self.alive)
        here = set(self.alive) | set(self.spool)
        self.forgotten |= {name for name in self.runs if name not in here}
        self.boot()

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0]))
    def time_passes_in_silence(self, seconds: float) -> None:
        self.wait(seconds)

    @rule(seconds=st.sampled_from([1, 2, 4, 30]))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.beat()
            self.wait(1.0)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(500):
            if self.agent.deadline() > end:
                break
            self.now = max(self.now, self.agent.deadline())
            self.take(events.TimePassed())
            if self.agent.link.fetching:
                self.take(events.ConfigFailed("refused"))
        else:
            raise AssertionError("timers never rest")
        self.now = end

    # --- the server

    def say(self, kind: type[messages.CommandMessage], **fields: object) -> None:
        self.answers = []
        self.sequence += 1
        message = kind(sequence=self.sequence, timestamp=STAMP, **fields)  # type: ignore[arg-type]
        self.take(events.CommandReceived(message))

    @rule(job_id=job)
    def commit(self, job_id: str) -> None:
        if job_id in self.forgotten:
            return
        self.say(messages.Commit, job_id=job_id, command="true")
        self.assert_answered(job_id, messages.AckCommit, messages.NackCommit)

    @rule(job_id=job)
    def run_it(self, job_id: str) -> None:
        self.say(messages.Run, job_id=job_id)
        self.assert_answered(job_id, messages.AckRun, messages.NackRun)

    @rule(job_id=job)
    def vote_and_run(self, job_id: str) -> None:
        self.commit(job_id)
        self.run_it(job_id)

    def assert_answered(self, job_id: str, *kinds: type) -> None:
        if not self.agent.link.connected:
            assert self.answers == []
            return
        assert any(
            (isinstance(a, effects.Answer) and a.kind in kinds and a.job_id == job_id)
            or (isinstance(a, effects.SendResult | effects.SendOutput) and a.job_id == job_id)
            for a in self.answers
        ), self.answers

    @rule()
    def abort(self) -> None:
        if self.agent.link.connected:
            self.owed += 1
        self.say(messages.Abort)

    @rule(job_id=job)
    def acknowledge(self, job_id: str) -> None:
        if self.agent.link.connected and job_id in self.agent.deliveries:
            self.acknowledged.add(job_id)
        self.say(messages.AckResult, job_id=job_id)

    @rule(
        job_id=job,
        channel=st.sampled_from(["stdout", "stderr"]),
        size=st.sampled_from([0, 32768, 65536, 70_000, 400_000, 500_000]),
    )
    def acknowledge_output(self, job_id: str, channel: str, size: int) -> None:
        self.say(messages.AckOutput, job_id=job_id, channel=channel, size=size)

    @rule()
    def beat(self) -> None:
        self.beats += 1
        self.take(
            events.ServerHeard(
                messages.ServerHeartbeat(
                    sequence=self.beats,
                    timestamp=STAMP,
                    server="push",
                    incarnation_id=self.answer.incarnation_id,
                )
            )
        )

    @rule()
    def disconnect(self) -> None:
        self.owed = 0
        self.take(events.Disconnected())

    @rule()
    def connect(self) -> None:
        self.owed = 0
        self.take(events.Connected())

    @rule()
    def reconfigure(self) -> None:
        self.owed = 0
        self.take(events.ReconfigureRequested())
        self.take(events.Configured(self.answer))
        self.take(events.Connected())

    # --- at any time

    @invariant()
    def the_agent_is_at_what_its_supervisors_are_at(self) -> None:
        if hasattr(self, "agent"):
            assert set(self.alive) == ({self.agent.job.id} if self.agent.job else set())

    @invariant()
    def every_result_that_is_kept_will_be_delivered(self) -> None:
        if hasattr(self, "agent"):
            assert set(self.spool) == set(self.agent.deliveries)

    @invariant()
    def no_abort_stays_unanswered_once_the_node_is_idle(self) -> None:
        if not self.alive:
            assert self.owed == 0

    def teardown(self) -> None:
        """With a server that acknowledges, everything comes to its end."""
        if not hasattr(self, "agent"):
            return
        for job_id in list(self.alive):
            self.end(job_id, OUTCOMES[0])
        self.take(events.ReconfigureRequested())
        self.take(events.Configured(self.answer))
        self.take(events.Connected())
        for _ in range(200):
            if not self.spool:
                break
            self.time_passes(1)
            for job_id, outcome in list(self.spool.items()):
                self.catch_up(job_id, outcome)
        assert self.spool == {}

    def catch_up(self, job_id: str, outcome: Outcome) -> None:
        sizes = {"stdout": outcome.stdout_size, "stderr": outcome.stderr_size}
        for channel, size in sizes.items():
            self.say(messages.AckOutput, job_id=job_id, channel=channel, size=size)
        if any(isinstance(a, effects.SendResult) and a.job_id == job_id for a in self.answers):
            self.acknowledge_now(job_id)
            return
        delivery = self.agent.deliveries.get(job_id)
        if delivery is not None and delivery.all_held:
            self.acknowledge_now(job_id)

    def acknowledge_now(self, job_id: str) -> None:
        self.acknowledged.add(job_id)
        self.say(messages.AckResult, job_id=job_id)


TestWorld = World.TestCase
# Finding the shortest story of a failure takes longer than the test does.
TestWorld.pytestmark = pytest.mark.timeout(120)  # type: ignore[attr-defined]
TestWorld.settings = settings(
    max_examples=examples(250),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
