"""Why a node takes no part in a job: since when it is offline, whose job keeps it busy."""

import pytest

from pushcli.protocol import messages
from pushcli.protocol.run import RunSpec
from pushcli.protocol.timestamps import format_minute
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import JobSpec
from tests.unit.server.core.fleet_script import JOB, A, B, Script, of

OTHER = JobKey("acme", "2" * 32)


def why(fleet: Script, job: JobKey, node: NodeKey) -> str | None:
    """The reason that was stored last for a node's part."""
    saved = [effect for effect in of(on_fleet.SaveJobNodes, fleet.done) if effect.job == job]
    found = [c.reason for effect in saved for c in effect.changes if c.node == node.name]
    return found[-1]


def start_other(fleet: Script, *nodes: NodeKey) -> None:
    spec = JobSpec(
        run=RunSpec(command="y", run_timeout=9),
        nodes=tuple(node.name for node in nodes),
        quorum=1,
    )
    fleet.tell(on_fleet.JobRequested(job=OTHER, spec=spec, requestor="bob", origin="192.0.2.8"))


def test_a_job_is_told_since_when_a_node_is_offline() -> None:
    fleet = Script()
    fleet.fleet.offset = 1_795_000_000.0
    fleet.bring(A)
    heard = fleet.now + fleet.fleet.offset
    fleet.wait(120)
    fleet.start(A, B)
    assert why(fleet, JOB, A) == f"offline since {format_minute(heard)}"
    assert why(fleet, JOB, B) == "unknown: it never connected"
    # Elsewhere the moment stands beside it.
    assert fleet.fleet.why_unavailable(A, fleet.now) == "offline"


@pytest.mark.parametrize("reason", [None, f"busy with job {JOB.id}"])
def test_a_busy_node_says_with_whose_job(reason: str | None) -> None:
    fleet = Script()
    fleet.run(A)
    start_other(fleet, A)
    fleet.hear(A, messages.NackCommit, job_id=OTHER.id, reason=reason)
    at = format_minute(fleet.fleet.jobs[JOB].created_at)
    assert why(fleet, OTHER, A) == f"busy with job {JOB.id} of ann since {at}"


@pytest.mark.parametrize("reason", [None, "full", f"busy with job {'3' * 32}"])
def test_what_a_node_says_otherwise_stays_as_it_is(reason: str | None) -> None:
    fleet = Script()
    fleet.bring(A)
    start_other(fleet, A)
    fleet.hear(A, messages.NackCommit, job_id=OTHER.id, reason=reason)
    assert why(fleet, OTHER, A) == (reason or "nacked")


def test_another_organizations_job_is_not_named() -> None:
    fleet = Script()
    fleet.run(A)
    other = NodeKey("other", "a")
    fleet.bring(other)
    job = JobKey("other", "4" * 32)
    spec = JobSpec(run=RunSpec(command="y", run_timeout=9), nodes=("a",), quorum=1)
    fleet.tell(on_fleet.JobRequested(job=job, spec=spec, requestor="eve", origin="192.0.2.9"))
    fleet.hear(other, messages.NackCommit, job_id=job.id, reason=f"busy with job {JOB.id}")
    assert why(fleet, job, other) == f"busy with job {JOB.id}"
