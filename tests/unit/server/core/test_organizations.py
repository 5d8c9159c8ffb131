"""An organization that is deleted: what is live in it ends, and nothing begins."""

import pytest

from pushcli.protocol import messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.fleet_organizations import OrganizationGone
from pushcli_server.core.identity import NodeKey, Requestor
from pushcli_server.core.states import JobStatus
from tests.unit.server.core.fleet_script import JOB, A, B, Script, of, sent

PIVOTAL = Requestor("user", "", "pivotal")
FOREIGN = NodeKey("other", "a")
CLOSED = on_fleet.OrganizationClosed("acme", PIVOTAL, "192.0.2.9")


def test_its_jobs_are_aborted_and_its_nodes_out() -> None:
    fleet = Script()
    fleet.run(A, B)
    fleet.bring(FOREIGN)
    job = fleet.job
    effects = fleet.tell(CLOSED)
    assert job.status is JobStatus.ABORTED
    assert fleet.fleet.job(JOB) is None, "it is not even one that ended a moment ago"
    assert of(on_fleet.CloseFeed, effects) == [on_fleet.CloseFeed(JOB)]
    [audit] = of(on_fleet.RecordAudit, effects)
    assert (audit.actor_kind, audit.actor, audit.action, audit.target) == (
        "user", "pivotal", "job abort", JOB.id,
    )  # fmt: skip
    assert fleet.fleet.nodes.keys() == {FOREIGN}
    assert fleet.fleet.busy == {}
    assert {effect.node for effect in of(on_fleet.ForgetNode, effects)} == {A, B}
    assert of(on_fleet.CloseOrganization, effects) == [on_fleet.CloseOrganization("acme")]
    assert not fleet.fleet.admits("key of a in acme", fleet.now)
    assert fleet.fleet.admits("key of a in other", fleet.now)


def test_nothing_begins_in_it_any_more() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.tell(CLOSED)
    with pytest.raises(OrganizationGone):
        fleet.start(A)
    with pytest.raises(OrganizationGone):
        fleet.configure(A, "key")
    assert fleet.fleet.jobs == {}
    assert fleet.fleet.nodes == {}


def test_nothing_is_asked_for_that_waited_for_the_store() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.slow_store = True
    fleet.start(A)
    fleet.tell(CLOSED)
    before = len(fleet.done)
    fleet.commit()
    assert messages.Commit not in sent(fleet.done[before:], A)


def test_the_next_of_its_name_is_open() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.tell(CLOSED)
    fleet.tell(on_fleet.OrganizationOpened("acme"))
    fleet.configure(A, "heir's")
    fleet.hear(A, peer=b"heir")
    assert fleet.fleet.why_unavailable(A, fleet.now) == "being reset (rehab)"


def test_another_ones_jobs_go_on() -> None:
    fleet = Script()
    fleet.run(A)
    fleet.tell(on_fleet.OrganizationClosed("other", PIVOTAL, ""))
    assert fleet.job.status is JobStatus.RUNNING
    assert fleet.fleet.why_unavailable(A, fleet.now) is None
