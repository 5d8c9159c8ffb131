"""The fleet as scripts: which job a message concerns, what waits for the store, who may connect."""

import math
from typing import Any

import pytest

from pushcli.protocol import extensions, messages, wire
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.admissions import KeyOfAnotherNode
from pushcli_server.core.fleet_nodes import ClientGone
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.states import JobStatus, NodeState
from tests.unit.server.core.fleet_script import JOB, RULES, A, B, Script, of, restarted, sent

FOREIGN = NodeKey("other", "a")
RESULTS = frozenset({extensions.RESULTS})


# --- who is asked


def test_a_node_whose_agent_cannot_give_its_command_input_votes_no_unasked() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.bring(B, offered=extensions.ALL - {extensions.STDIN})
    effects = fleet.start(A, B, quorum=1, stdin="raw:x")
    commits = [e for e in effects if isinstance(e, on_fleet.Send) and e.kind is messages.Commit]
    assert [(e.node, e.fields["stdin"]) for e in commits] == [(A, "raw:x")]
    assert fleet.fleet.jobs[JOB].nodes["b"] is NodeState.NACKED
    [change] = [c for e in effects if isinstance(e, on_fleet.SaveJobNodes) for c in e.changes]
    assert change.reason == "its agent is too old for --stdin"


# --- whose message it is


@pytest.mark.parametrize(
    "kind",
    [messages.AckCommit, messages.NackCommit, messages.AckRun, messages.Aborted],
)
def test_a_node_of_another_organization_has_no_vote(kind: type[messages.NodeMessage]) -> None:
    fleet = Script()
    fleet.bring(A, B, FOREIGN)
    fleet.start(A, B)
    effects = fleet.hear(FOREIGN, kind, job_id=JOB.id)
    assert not of(on_fleet.SaveJobNodes, effects)
    assert fleet.state(A) is NodeState.NEW


@pytest.mark.parametrize("kind", [messages.AckRun, messages.NackRun, messages.Aborted])
def test_a_node_of_another_organization_says_nothing_of_the_run(
    kind: type[messages.NodeMessage],
) -> None:
    fleet = Script()
    fleet.bring(A, FOREIGN)
    fleet.start(A)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.hear(FOREIGN, kind, job_id=JOB.id)
    assert fleet.state(A) is NodeState.READY


@pytest.mark.parametrize("spooled", [True, False])
@pytest.mark.parametrize("kind", [messages.Succeeded, messages.Failed])
def test_a_node_of_another_organization_reports_nothing(
    kind: type[messages.Result], spooled: bool
) -> None:
    fleet = Script()
    fleet.run(A)
    fleet.bring(FOREIGN)
    effects = fleet.hear(FOREIGN, kind, job_id=JOB.id, spooled=spooled)
    assert fleet.state(A) is NodeState.RUNNING
    found = [on_fleet.FindPart(e.node, e.message) for e in of(on_fleet.FindPart, effects)]
    assert [part.node for part in found] == ([FOREIGN] if spooled else [])


def test_a_node_of_another_organization_writes_no_output() -> None:
    fleet = Script()
    fleet.run(A, capture=True)
    fleet.bring(FOREIGN)
    chunk = {"channel": "stdout", "offset": 0, "data": "aGk="}
    assert not of(
        on_fleet.AppendOutput, fleet.hear(FOREIGN, messages.Output, job_id=JOB.id, **chunk)
    )
    assert of(on_fleet.AppendOutput, fleet.hear(A, messages.Output, job_id=JOB.id, **chunk))


def test_a_heartbeat_of_another_organizations_node_is_no_sign_of_life() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=math.inf)
    fleet.bring(FOREIGN)
    fleet.keep_alive(110, FOREIGN, job_state="running", job_id=JOB.id)
    changes = [change for e in of(on_fleet.SaveJobNodes, fleet.done) for change in e.changes]
    assert changes[-1].state is NodeState.CRASHED


def test_the_end_of_a_job_is_swallowed_for_its_own_organization_only() -> None:
    fleet = Script()
    fleet.run(A)
    fleet.bring(FOREIGN)
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    assert sent(fleet.hear(FOREIGN, job_id=JOB.id, job_state="running"), FOREIGN) == [
        messages.Abort
    ]


def test_just_after_its_end_a_job_swallows_what_was_under_way() -> None:
    fleet = Script()
    fleet.run(A)
    fleet.hear(A, messages.Succeeded, job_id=JOB.id)
    assert fleet.job.status is JobStatus.COMPLETE
    assert fleet.hear(A, job_id=JOB.id, job_state="running") == []
    fleet.keep_alive(6, A)
    assert sent(fleet.hear(A, job_id=JOB.id, job_state="running"), A) == [messages.Abort]


def test_a_node_that_names_a_job_it_has_no_part_in_is_reset() -> None:
    fleet = Script()
    fleet.run(A)
    fleet.bring(B)
    assert sent(fleet.hear(B, messages.AckCommit, job_id=JOB.id), B) == [messages.Abort]
    assert fleet.job.nodes.keys() == {"a"}


def test_who_goes_on_with_a_part_that_is_over_is_reset() -> None:
    fleet = Script()
    fleet.run(A, B)
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    fleet.hear(A, messages.Aborted)
    assert fleet.fleet.why_unavailable(A, fleet.now) is None
    assert sent(fleet.hear(A, job_id=JOB.id, job_state="running"), A) == [messages.Abort]


def test_a_job_is_aborted_within_its_organization_only() -> None:
    fleet = Script()
    fleet.run(A)
    stranger = JobKey("other", JOB.id)
    assert fleet.tell(on_fleet.AbortRequested(job=stranger, requestor="eve", origin="")) == []
    assert fleet.job.status is JobStatus.RUNNING


# --- what waits for the store


def test_nobody_is_asked_before_the_job_is_saved() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.slow_store = True
    effects = fleet.start(A)
    assert of(on_fleet.SaveNewJob, effects)
    assert sent(effects, A) == []
    fleet.commit()
    assert sent(fleet.done, A)[-1] is messages.Commit


def test_run_goes_to_nobody_whose_part_ended_while_the_save_was_under_way() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.start(A, B)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.slow_store = True
    fleet.hear(B, messages.AckCommit, job_id=JOB.id)
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    assert fleet.state(A) is NodeState.CRASHED
    before = len(fleet.done)
    fleet.commit()
    assert messages.Run not in sent(fleet.done[before:], A)
    assert messages.Run in sent(fleet.done[before:], B)


def test_nobody_is_asked_whose_part_ended_while_the_job_was_being_saved() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.slow_store = True
    fleet.start(A, B)
    fleet.configure(A, "key 2")
    assert fleet.state(A) is NodeState.UNAVAILABLE
    fleet.hear(A, incarnation_id="i2")
    before = len(fleet.done)
    fleet.commit()
    assert messages.Commit not in sent(fleet.done[before:], A)
    assert messages.Commit in sent(fleet.done[before:], B)


@pytest.mark.parametrize("late", ["commit", "run"])
def test_nothing_goes_out_for_a_job_that_was_aborted_meanwhile(late: str) -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.slow_store = late == "commit"
    fleet.start(A)
    if late == "run":
        fleet.slow_store = True
        fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    before = len(fleet.done)
    fleet.commit()
    assert sent(fleet.done[before:], A) == [messages.Abort]


def test_a_commit_says_what_the_agent_understands() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.bring(B, offered=frozenset())
    fleet.start(A, B)
    ours, old = (
        next(e for e in of(on_fleet.Send, fleet.done) if e.node == n and e.kind is messages.Commit)
        for n in (A, B)
    )
    assert (ours.fields["run_timeout"], ours.fields["requestor"]) == (50.0, "ann")
    assert {"run_timeout", "requestor"}.isdisjoint(old.fields)
    assert (old.fields["command"], old.fields["server"]) == ("x", "push")
    assert old.fields["capture"] is ours.fields["capture"] is False


# --- the audit trail


def test_an_abort_stands_in_the_audit_trail() -> None:
    fleet = Script()
    fleet.run(A)
    abort = on_fleet.AbortRequested(job=JOB, requestor="bob", origin="192.0.2.9")
    [record] = of(on_fleet.RecordAudit, fleet.tell(abort))
    assert (record.org, record.actor, record.action) == ("acme", "bob", "job abort")
    assert (record.target, record.origin) == (JOB.id, "192.0.2.9")
    assert of(on_fleet.RecordAudit, fleet.tell(abort)) == [], "it was over"


def test_a_new_job_is_saved_with_who_started_it_and_from_where() -> None:
    fleet = Script()
    [saved] = of(on_fleet.SaveNewJob, fleet.start(A))
    assert (saved.job.requestor, saved.job.origin) == ("ann", "192.0.2.7")


# --- deadlines: time passes only to moments that were asked for


def test_the_voting_deadline_is_asked_for() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.start(A)
    fleet.keep_alive(RULES.grace.voting + 1, A)
    assert fleet.job.status is JobStatus.QUORUM_FAILED


def test_the_run_deadline_is_asked_for() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=50)
    fleet.keep_alive(49, A, job_state="running", job_id=JOB.id)
    assert fleet.job.status is JobStatus.RUNNING
    fleet.keep_alive(2, A, job_state="running", job_id=JOB.id)
    assert fleet.job.status is JobStatus.TIMED_OUT


def test_a_lost_nodes_deadline_is_asked_for() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=10_000)
    fleet.wait(RULES.grace.lost)
    assert fleet.state(A) is NodeState.RUNNING
    fleet.wait(RULES.patience.silence + 1)
    assert fleet.state(A) is NodeState.CRASHED


def test_the_run_deadline_is_asked_for_after_a_restart() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=50)
    again = restarted(fleet, A)
    again.keep_alive(51, A, job_state="running", job_id=JOB.id)
    assert JOB not in again.fleet.jobs
    [end] = [e for e in of(on_fleet.Publish, again.done) if e.event == "job_complete"]
    assert end.status == "timed_out"


def test_the_voting_deadline_is_asked_for_after_a_restart() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.start(A)
    again = restarted(fleet, A)
    again.wait(RULES.grace.voting + 1)
    assert JOB not in again.fleet.jobs


def test_the_grace_after_a_restart_ends() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=10_000)
    again = restarted(fleet, A)
    again.wait(RULES.grace.restart - 1)
    assert again.state(A) is NodeState.RUNNING
    again.wait(2)
    assert again.state(A) is NodeState.CRASHED


def test_a_node_that_got_a_configuration_and_never_came_goes_offline() -> None:
    fleet = Script()
    fleet.bring(A)
    again = restarted(fleet, A)
    again.configure(A, "key 2")
    assert again.fleet.why_unavailable(A, again.now) == "being reset (rehab)"
    again.wait(RULES.patience.silence + 5)
    assert again.fleet.why_unavailable(A, again.now) == "offline"


def test_a_silent_node_goes_offline_once_however_often_it_was_heard() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.keep_alive(50, A)
    alarms = len(of(on_fleet.WakeAt, fleet.done))
    assert alarms < 30, "an alarm that is early moves; it is not set anew for each message"
    fleet.wait(RULES.patience.silence + 0.1)
    assert fleet.fleet.why_unavailable(A, fleet.now) == "offline"


def test_an_ended_job_is_forgotten_and_its_feed_closed_once() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=3)
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    assert fleet.fleet.job(JOB) is not None
    fleet.wait(4.9)
    assert fleet.fleet.job(JOB) is not None
    fleet.wait(0.2)
    assert fleet.fleet.job(JOB) is None
    fleet.wait(60)
    assert of(on_fleet.CloseFeed, fleet.done) == [on_fleet.CloseFeed(JOB)]


# --- how large a message may be


def test_only_an_agent_that_says_so_takes_large_messages() -> None:
    fleet = Script()
    assert fleet.fleet.max_body(A) == wire.MAX_BODY_TO_EARLIER
    fleet.bring(A)
    fleet.bring(B, offered=extensions.ALL - {extensions.EDITORS})
    assert fleet.fleet.max_body(A) == wire.MAX_BODY_FROM_SERVER
    assert fleet.fleet.max_body(B) == wire.MAX_BODY_TO_EARLIER


# --- who may connect


def test_a_key_is_admitted_only_once_it_is_saved() -> None:
    fleet = Script()
    request = on_fleet.ConfigurationRequested(
        node=A, curve_key="k", offered=extensions.ALL, adopts=frozenset(),
        deletions=0,
    )  # fmt: skip
    [saved] = of(on_fleet.SaveNode, fleet.tell(request))
    assert saved.node.curve_key == "k"
    assert not fleet.fleet.admits("k", fleet.now)
    fleet.tell(on_fleet.ConfigurationStored(node=A, curve_key="k", deletions=0))
    assert fleet.fleet.admits("k", fleet.now)
    assert fleet.fleet.admissions.owner("k") == A


def test_an_expired_key_lets_in_only_who_is_in_service() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.keep_alive(RULES.lifetime + 1, A)
    assert fleet.fleet.admits("key of a in acme", fleet.now)
    assert not fleet.fleet.admits("key of b in acme", fleet.now)


def test_the_key_before_a_nodes_newest_still_lets_it_in() -> None:
    fleet = Script()
    fleet.configure(A, "first")
    fleet.configure(A, "second")
    assert fleet.fleet.admits("first", fleet.now)
    assert fleet.fleet.nodes[A].previous_curve_key == "first"
    fleet.configure(A, "second")
    assert fleet.fleet.nodes[A].previous_curve_key == "first"


def test_saved_keys_are_admitted_after_a_restart() -> None:
    fleet = Script()
    fleet.configure(A, "first")
    fleet.configure(A, "second")
    again = restarted(fleet, A)
    assert again.fleet.admits("first", again.now)
    assert again.fleet.admits("second", again.now)
    assert not again.fleet.admits("second", again.now + RULES.lifetime + 2)


@pytest.mark.parametrize("other", [B, FOREIGN])
def test_a_key_that_was_handed_out_to_one_node_is_refused_for_any_other(other: NodeKey) -> None:
    fleet = Script()
    fleet.configure(A, "own")
    with pytest.raises(KeyOfAnotherNode):
        fleet.configure(other, "own")
    assert fleet.fleet.admissions.owner("own") == A
    assert other not in fleet.fleet.nodes


def test_of_two_nodes_that_ask_with_one_key_at_once_one_is_admitted() -> None:
    fleet = Script()
    for node in (A, B):
        fleet.tell(
            on_fleet.ConfigurationRequested(
                node=node,
                curve_key="k",
                offered=extensions.ALL,
                adopts=frozenset(),
                deletions=0,
            )
        )
    fleet.tell(on_fleet.ConfigurationStored(node=A, curve_key="k", deletions=0))
    with pytest.raises(KeyOfAnotherNode):
        fleet.tell(on_fleet.ConfigurationStored(node=B, curve_key="k", deletions=0))
    fleet.tell(on_fleet.ClientDeleted(B))
    assert fleet.fleet.admits("k", fleet.now)
    fleet.tell(on_fleet.ClientDeleted(A))
    assert not fleet.fleet.admits("k", fleet.now)


def test_a_key_that_was_never_admitted_takes_nobodys_place() -> None:
    fleet = Script()
    fleet.configure(A, "first")
    for key in ("lost 1", "lost 2", "second"):
        fleet.tell(
            on_fleet.ConfigurationRequested(
                node=A,
                curve_key=key,
                offered=extensions.ALL,
                adopts=frozenset(),
                deletions=0,
            )
        )
    fleet.tell(on_fleet.ConfigurationStored(node=A, curve_key="second", deletions=0))
    node = fleet.fleet.nodes[A]
    assert (node.curve_key, node.previous_curve_key) == ("second", "first")


@pytest.mark.parametrize("deleted", ["before the request", "while it was saved"])
def test_a_deleted_client_is_admitted_no_more(deleted: str) -> None:
    fleet = Script()
    fleet.bring(A)
    request = on_fleet.ConfigurationRequested(
        node=A, curve_key="k", offered=extensions.ALL,
        adopts=frozenset(), deletions=0,
    )  # fmt: skip
    if deleted == "while it was saved":
        fleet.tell(request)
    fleet.tell(on_fleet.ClientDeleted(A))
    stored = on_fleet.ConfigurationStored(node=A, curve_key="k", deletions=0)
    with pytest.raises(ClientGone):
        fleet.tell(request if deleted == "before the request" else stored)
    assert not fleet.fleet.admits("k", fleet.now)
    assert not fleet.fleet.admits("key of a in acme", fleet.now)


def test_a_request_that_comes_after_the_deletion_makes_no_node() -> None:
    fleet = Script()
    fleet.tell(on_fleet.ClientDeleted(A))
    request = on_fleet.ConfigurationRequested(
        node=A, curve_key="k", offered=extensions.ALL, adopts=frozenset(),
        deletions=0,
    )  # fmt: skip
    with pytest.raises(ClientGone):
        fleet.tell(request)
    assert A not in fleet.fleet.nodes


def test_a_deleted_clients_node_is_out_and_its_work_given_up() -> None:
    fleet = Script()
    fleet.run(A)
    effects = fleet.tell(on_fleet.ClientDeleted(A))
    assert of(on_fleet.ForgetPeer, effects) == [on_fleet.ForgetPeer(b"a")]
    assert of(on_fleet.ForgetNode, effects) == [on_fleet.ForgetNode(A)]
    assert not of(on_fleet.SaveNode, effects), "its row is gone with the client"
    assert fleet.state(A) is NodeState.CRASHED
    assert A not in fleet.fleet.nodes
    assert fleet.fleet.why_unavailable(A, fleet.now) == "unknown: it never connected"


def test_who_enrolls_under_a_deleted_name_is_a_new_node() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.fleet.nodes[A].conflict_until = math.inf
    fleet.tell(on_fleet.ClientDeleted(A))
    fleet.configure(A, "heir's")
    fleet.hear(A, peer=b"heir")
    assert fleet.fleet.why_unavailable(A, fleet.now) == "being reset (rehab)"
    fleet.hear(A, messages.Aborted, peer=b"heir")
    assert fleet.fleet.why_unavailable(A, fleet.now) is None


def test_a_deleted_client_that_is_no_node_becomes_none() -> None:
    fleet = Script()
    assert fleet.tell(on_fleet.ClientDeleted(A)) == [on_fleet.ForgetNode(A)]
    assert A not in fleet.fleet.nodes


# --- what a heartbeat repairs


def test_a_result_that_waits_in_the_spool_is_waited_for() -> None:
    fleet = Script()
    fleet.run(A)
    for _ in range(5):
        fleet.hear(A, pending_results=[JOB.id])
    assert fleet.state(A) is NodeState.RUNNING
    fleet.hear(A)
    fleet.hear(A)
    assert fleet.state(A) is NodeState.CRASHED


def test_a_node_busy_with_another_job_is_idle_in_the_eyes_of_this_one() -> None:
    fleet = Script()
    fleet.run(A)
    other = JobKey("acme", "2" * 32)
    fleet.tell(on_fleet.JobRequested(job=other, spec=fleet.job.spec, requestor="bob", origin=""))
    for _ in range(2):
        fleet.hear(A, job_state="running", job_id=other.id)
    assert fleet.state(A) is NodeState.CRASHED


def test_heartbeats_say_which_whitelist_an_agent_has() -> None:
    fleet = Script()
    fleet.bring(A)
    compared = of(on_fleet.CompareWhitelist, fleet.hear(A, whitelist="d"))
    assert compared == [on_fleet.CompareWhitelist(A, "d")]
    fleet.bring(B, offered=frozenset())
    assert not of(on_fleet.CompareWhitelist, fleet.hear(B, whitelist="d"))


def test_a_new_connection_makes_the_channel_forget_the_one_before() -> None:
    fleet = Script()
    fleet.bring(A)
    effects = fleet.hear(A, peer=b"new")
    assert of(on_fleet.ForgetPeer, effects) == [on_fleet.ForgetPeer(b"a")]
    assert sent(effects, A) == [messages.Ack]


def test_a_silent_nodes_connection_is_forgotten_only_when_it_has_another() -> None:
    fleet = Script()
    fleet.bring(A)
    assert not of(on_fleet.ForgetPeer, fleet.wait(60))
    assert fleet.fleet.why_unavailable(A, fleet.now) == "offline"
    assert not of(on_fleet.ForgetPeer, fleet.hear(A)), "its sequence goes on"
    fleet.wait(60)
    assert of(on_fleet.ForgetPeer, fleet.hear(A, peer=b"new")) == [on_fleet.ForgetPeer(b"a")]
    fleet.configure(A, "key 2")
    restart = fleet.hear(A, peer=b"newer", incarnation_id="i2")
    assert of(on_fleet.ForgetPeer, restart) == [on_fleet.ForgetPeer(b"new")]


def test_a_restarted_agent_ends_its_jobs_but_for_those_it_adopts() -> None:
    for adopts, state in (
        (frozenset({JOB.id}), NodeState.RUNNING),
        (frozenset[str](), NodeState.CRASHED),
    ):
        fleet = Script()
        fleet.run(A)
        fleet.configure(A, "key 2", adopts=adopts)
        assert fleet.state(A) is state


def test_a_restarted_agent_keeps_its_jobs_though_we_restart_before_it_speaks() -> None:
    fleet = Script()
    fleet.run(A)
    fleet.configure(A, "key 2", adopts=frozenset({JOB.id}))
    again = restarted(fleet, A)
    spooled: dict[str, Any] = {"incarnation_id": "i2", "pending_results": [JOB.id]}
    again.hear(A, **spooled)
    again.keep_alive(5, A, **spooled)
    assert again.state(A) is NodeState.RUNNING
    again.hear(A, messages.Succeeded, incarnation_id="i2", job_id=JOB.id, spooled=True)
    assert again.state(A) is NodeState.SUCCEEDED


def test_a_restarted_agent_without_its_job_is_found_out_though_we_restart_before_it_speaks() -> (
    None
):
    fleet = Script()
    fleet.run(A)
    fleet.configure(A, "key 2", adopts=frozenset({JOB.id}))
    again = restarted(fleet, A)
    again.keep_alive(5, A, incarnation_id="i2")
    assert again.state(A) is NodeState.CRASHED


# --- at the start of a job


def test_who_cannot_take_part_is_out_at_once_with_the_reason() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.configure(B, "key of b")
    fleet.hear(B)
    effects = fleet.start(A, B, NodeKey("acme", "c"), quorum=1)
    [saved] = of(on_fleet.SaveJobNodes, effects)
    reasons = {change.node: change.reason for change in saved.changes}
    assert reasons == {"b": "being reset (rehab)", "c": "unknown: it never connected"}
    assert messages.Commit not in sent(effects, B)


def test_a_node_of_another_organization_is_not_there() -> None:
    fleet = Script()
    fleet.bring(FOREIGN)
    [saved] = of(on_fleet.SaveJobNodes, fleet.start(A))
    assert saved.changes[0].reason == "unknown: it never connected"
    assert not of(on_fleet.Send, fleet.start(A))
