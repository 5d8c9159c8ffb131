"""`python -m tests.support.diagrams FILE`: the state machines as Mermaid diagrams in a page.

They are found by asking the machines themselves: each state is set up, each event is told, and
the state that comes of it is an arrow. So a picture shows what the code does, and nothing else.
"""

import re
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import Outcome, RunSpec
from pushcli_server.core import job as job_core
from pushcli_server.core import job_events as on_job
from pushcli_server.core import node as node_core
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Grace, Job, JobSpec
from pushcli_server.core.node import Interest, Node, Patience, Phase
from pushcli_server.core.states import JobStatus, NodeState

Arrows = dict[tuple[str, str], list[str]]
"""From and to, and what leads there."""
A, B, C = "a", "b", "c"
_GRACE = Grace(voting=60, restart=60, lost=300)
_OUTCOMES = (
    ("succeeded", on_job.ResultReceived(A, succeeded=True)),
    ("failed", on_job.ResultReceived(A, succeeded=False)),
    (
        "timed out on the node",
        on_job.ResultReceived(A, succeeded=False, outcome=Outcome(timed_out=True)),
    ),
)
MESSAGES: tuple[tuple[str, tuple[on_job.Event, ...]], ...] = (
    ("ack_commit", (on_job.VoteReceived(A, ready=True),)),
    ("nack_commit", (on_job.VoteReceived(A, ready=False),)),
    ("ack_run", (on_job.RunAnswered(A, started=True),)),
    ("nack_run", (on_job.RunAnswered(A, started=False),)),
    *((label, (event,)) for label, event in _OUTCOMES),
    ("spooled result", (on_job.ResultReceived(A, succeeded=True, spooled=True),)),
    ("aborted", (on_job.UnexpectedReceived(A),)),
    ("agent restarted", (on_job.NodeRestarted(A),)),
    ("went offline", (on_job.NodeDown(A),)),
    ("its client is deleted", (on_job.NodeDeleted(A),)),
    ("heartbeat says committed", (on_job.HeartbeatReceived(A, "committed"),)),
    (
        "heartbeat on a new connection says committed",
        (on_job.Reconnected(A), on_job.HeartbeatReceived(A, "committed")),
    ),
    ("heartbeat says running", (on_job.HeartbeatReceived(A, "running"),)),
    ("heartbeats say idle", (on_job.HeartbeatReceived(A, "idle"),) * job_core.IDLE_BEATS),
    ("an operator aborts", (on_job.AbortRequested("ann"),)),
)
"""What can happen to a node at any time; events with times follow from the job's deadlines."""


# --- a node's part in a job


def part_arrows() -> Arrows:
    """Each node's state within a job."""
    arrows: Arrows = {}
    for make in (_new, _ready, _told, _running):
        for label, events in MESSAGES:
            _try(arrows, make(), label, events, now=1.0)
        if make().status is JobStatus.VOTING:
            _try(arrows, make(), "voting timeout", (on_job.TimePassed(),), now=_GRACE.voting)
            _try(arrows, make(), "quorum missed", (on_job.VoteReceived(B, ready=False),), now=1.0)
        else:
            _try(arrows, make(), "run timeout", (on_job.TimePassed(),), now=1000.0)
            lost = (on_job.NodeDown(A, spools=True),)
            _try(arrows, make(), "out of contact for too long", lost, on_job.TimePassed(), now=1.0)
    return arrows


def _job(quorum: int = 1) -> Job:
    spec = JobSpec(run=RunSpec(command="x", run_timeout=900), nodes=(A, B, C), quorum=quorum)
    job = Job(
        key=JobKey("acme", "1" * 32), spec=spec, requestor="ann", created_at=0, updated_at=0,
        grace=_GRACE,
    )  # fmt: skip
    job_core.handle(job, on_job.Started({}), 0.0)
    return job


def _new() -> Job:
    return _job()


def _ready() -> Job:
    job = _job(quorum=3)
    job_core.handle(job, on_job.VoteReceived(A, ready=True), 0.0)
    job_core.handle(job, on_job.VoteReceived(C, ready=True), 0.0)
    return job


def _told() -> Job:
    job = _job()
    for node in (A, B, C):
        job_core.handle(job, on_job.VoteReceived(node, ready=True), 0.0)
    job_core.handle(job, on_job.RunAnswered(B, started=True), 0.0)
    return job


def _running() -> Job:
    job = _told()
    job_core.handle(job, on_job.RunAnswered(A, started=True), 0.0)
    return job


def _try(
    arrows: Arrows,
    job: Job,
    label: str,
    events: tuple[on_job.Event, ...],
    *later: on_job.Event,
    now: float,
) -> None:
    before = job.nodes[A]
    for event in events:
        if not job.status.is_final:
            job_core.handle(job, event, now)
    for event in later:
        if not job.status.is_final:
            job_core.handle(job, event, now + _GRACE.lost)
    if job.nodes[A] is not before:
        _add(arrows, before, job.nodes[A], label)


# --- a job


def job_arrows() -> Arrows:
    """A job's status."""
    arrows: Arrows = {}
    _add(arrows, "[*]", JobStatus.VOTING, "start")
    for label, job, event, now in _job_cases():
        before = job.status
        job_core.handle(job, event, now)
        if job.status is not before:
            _add(arrows, before, job.status, label)
    return arrows


def _job_cases() -> Iterator[tuple[str, Job, on_job.Event, float]]:
    last = on_job.VoteReceived(B, ready=True)
    yield "quorum reached", _all_but_b(quorum=1), last, 1.0
    yield "quorum missed", _all_but_b(quorum=4), last, 1.0
    yield "quorum missed", _job(quorum=1), on_job.TimePassed(), _GRACE.voting
    yield "an operator aborts", _job(), on_job.AbortRequested("ann"), 1.0
    yield "an operator aborts", _told(), on_job.AbortRequested("ann"), 1.0
    yield "run timeout", _told(), on_job.TimePassed(), 1000.0
    for label, event in _OUTCOMES:
        text = "all nodes ended and one timed out" if "timed out" in label else "all nodes ended"
        yield text, _only_a(), event, 1.0


def _all_but_b(quorum: int) -> Job:
    job = _job(quorum)
    for node in (A, C):
        job_core.handle(job, on_job.VoteReceived(node, ready=True), 0.0)
    return job


def _only_a() -> Job:
    job = _running()
    for node in (B, C):
        job_core.handle(job, on_job.RunAnswered(node, started=True), 0.0)
        job_core.handle(job, on_job.ResultReceived(node, succeeded=True), 0.0)
    return job


# --- a node's presence


def presence_arrows() -> Arrows:
    """Where a node stands, as the server sees it."""
    arrows: Arrows = {}
    for make in (_offline, _known, _in_rehab, _online):
        for label, tell in PRESENCE:
            node = make()
            before = node.phase
            tell(node)
            if node.phase is not before:
                _add(arrows, before, node.phase, label)
    return arrows


_numbers = count(1)


def _hear(
    node: Node,
    kind: type[messages.NodeMessage] = messages.Heartbeat,
    *,
    run: str = "i1",
    peer: bytes = b"1",
    interest: Interest = Interest.NONE,
) -> None:
    more: dict[str, Any] = {"job_state": "idle"} if kind is messages.Heartbeat else {}
    message = kind(
        node="n", org="acme", incarnation_id=run, sequence=next(_numbers), timestamp="", **more
    )
    node_core.handle(node, node_core.Received(peer, message, interest), 1.0)


def _offline() -> Node:
    return Node(key=NodeKey("acme", "n"), patience=Patience(), extensions=extensions.ALL)


def _in_rehab() -> Node:
    node = _offline()
    _hear(node)
    return node


def _online() -> Node:
    node = _in_rehab()
    _hear(node, messages.Aborted)
    return node


def _known() -> Node:
    """One that went silent."""
    node = _online()
    node_core.handle(node, node_core.TimePassed(), 1000.0)
    return node


def _configure(node: Node, adopts: frozenset[str]) -> None:
    node_core.handle(node, node_core.Configured(True, extensions.ALL, adopts), 1.0)


def _first_message(node: Node) -> None:
    if node.incarnation is None:
        _hear(node)


def _known_returns(node: Node) -> None:
    if node.incarnation is not None:
        _hear(node, peer=b"2")


def _adopts(node: Node) -> None:
    if node.incarnation is not None:
        _configure(node, frozenset({"1" * 32}))
        _hear(node, run="i2", peer=b"2")


def _restarts(node: Node) -> None:
    if node.incarnation is not None:
        _hear(node, run="i2", peer=b"2")


def _silence(node: Node) -> None:
    while node.phase is not Phase.OFFLINE and node.deadline() < 100.0:
        node_core.handle(node, node_core.TimePassed(), node.deadline())


PRESENCE: tuple[tuple[str, Callable[[Node], object]], ...] = (
    ("first message of an unknown agent", _first_message),
    ("the same agent on a new connection", _known_returns),
    ("another run of the agent", _restarts),
    ("it asks for a configuration with a new key", lambda node: _configure(node, frozenset())),
    ("another run that adopts its jobs", _adopts),
    ("aborted", lambda node: _hear(node, messages.Aborted) if node.peer else None),
    ("a job resets it", lambda node: node_core.handle(node, node_core.ResetRequested(), 1.0)),
    (
        "it names a job that is not its own",
        lambda node: _hear(node, interest=Interest.UNKNOWN) if node.peer else None,
    ),
    ("silence", _silence),
    ("its client is deleted", lambda node: node_core.handle(node, node_core.Expelled(), 1.0)),
    ("its client's key is revoked", lambda node: node_core.handle(node, node_core.Revoked(), 1.0)),
)


# --- as text


def _add(arrows: Arrows, start: object, end: object, label: str) -> None:
    labels = arrows.setdefault((str(start), str(end)), [])
    if label not in labels:
        labels.append(label)


def mermaid(arrows: Arrows, final: frozenset[str] = frozenset()) -> str:
    """A state diagram; several ways from one state to another share an arrow."""
    lines = ["stateDiagram-v2"]
    for (start, end), labels in arrows.items():
        lines.append(f"    {start} --> {end}: {', '.join(labels)}")
    lines += [f"    {state} --> [*]" for state in sorted(final)]
    return "\n".join(lines)


def diagrams() -> dict[str, str]:
    """All of them, by the names that pages mark their places with."""
    final_jobs = frozenset(str(status) for status in JobStatus if status.is_final)
    final_parts = frozenset(str(state) for state in NodeState if state.is_final)
    return {
        "job": mermaid(job_arrows(), final_jobs),
        "part": mermaid(part_arrows(), final_parts),
        "presence": mermaid(presence_arrows()),
    }


def with_diagrams(page: str) -> str:
    """The page with each diagram between its marks, whatever stood there."""
    for name, text in diagrams().items():
        place = re.compile(rf"(<!-- diagram: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        block = f"```mermaid\n{text}\n```\n"
        page, places = place.subn(lambda m, block=block: f"{m[1]}{block}{m[2]}", page)  # type: ignore[misc]
        if places != 1:
            raise SystemExit(f"the page has {places} places for the diagram {name}, not one")
    return page


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(with_diagrams(file.read_text("utf-8")), "utf-8")
