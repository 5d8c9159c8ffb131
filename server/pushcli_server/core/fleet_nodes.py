"""Nodes within the fleet: who is present, what their jobs are to hear, who may connect."""

import contextlib
import math
from typing import assert_never

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import fleet_jobs as jobs
from pushcli_server.core import fleet_reports as reports
from pushcli_server.core import job_events as on_job
from pushcli_server.core import node as node_core
from pushcli_server.core.admissions import BESIDE_FOR, Admission, KeyOfAnotherNode, Unproven
from pushcli_server.core.fleet_events import Effect
from pushcli_server.core.fleet_state import Fleet, send
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.node import REVOKED, Interest, Node


class ClientGone(Exception):
    """The client that asks for its configuration, or its key, was deleted meanwhile."""


# --- messages


def receive(fleet: Fleet, event: on_fleet.MessageReceived, now: float) -> list[Effect]:
    """A verified message of a node, and what it means for the jobs that it concerns."""
    node = fleet.node(event.node)
    if _is_idle_beat(fleet, node, event):
        # Of thousands of old agents that is nearly all there is.
        node_core.beat(node, event.message.sequence, now)
        return _wake(node) if node.deadline() < node.wake_at else []
    effects = [] if event.curve_key == node.curve_key else _proven(fleet, node, event, now)
    node.is_proven = node.is_proven or event.curve_key == node.curve_key
    interest = _interest(fleet, node, event.message.job_id)
    received = node_core.Received(event.peer, event.message, interest, event.address)
    effects += _deliver(fleet, node, received, now)
    if node.peer == event.peer:
        node.peer_key = event.curve_key
    if node.peer is not None and node.peer != node.last_peer:
        # Only now: a node that fell silent may come back on the connection that it had.
        if node.last_peer is not None:
            effects.append(on_fleet.ForgetPeer(node.last_peer))
        node.last_peer, node.unstored = node.peer, 0
    return effects


def _is_idle_beat(fleet: Fleet, node: Node, event: on_fleet.MessageReceived) -> bool:
    """Whether all that is new of a node is the time: it goes on talking as it did."""
    goes_on = event.peer == node.peer and event.curve_key == node.curve_key
    return goes_on and fleet.is_idle_beat(event.node, event.message)


def _proven(fleet: Fleet, node: Node, event: on_fleet.MessageReceived, now: float) -> list[Effect]:
    """A key that stood beside the node's own is the node's: it knows the session key too."""
    admission = fleet.admissions.of(event.curve_key)
    if admission is None or admission.unproven is None:
        return []
    said, until = admission.unproven, now + fleet.rules.lifetime
    fleet.admissions.admit(event.curve_key, Admission(node.key, until, admission.client_key))
    _change_key(fleet, node, event.curve_key)
    node.client_key = admission.client_key
    node.configured_at = now
    configured = node_core.Configured(new_key=True, extensions=said.offered, adopts=said.adopts)
    return [*_deliver(fleet, node, configured, now), on_fleet.SaveNode(node)]


def _interest(fleet: Fleet, node: Node, job_id: str | None) -> Interest:
    if job_id is None:
        return Interest.NONE
    key = JobKey(node.org, job_id)
    if key in fleet.ended:
        return Interest.ENDED
    job = fleet.jobs.get(key)
    if job is None or node.name not in job.nodes:
        return Interest.UNKNOWN
    return Interest.ACTIVE if job.has_unfinished(node.name) else Interest.OVER


def _forward(fleet: Fleet, node: Node, message: messages.NodeMessage, now: float) -> list[Effect]:
    match message:
        case messages.Heartbeat():
            beat = reports.beat(fleet, node.key, message, now)
            if extensions.WHITELIST in node.extensions:
                return [on_fleet.CompareWhitelist(node.key, message.whitelist), *beat]
            return beat
        case messages.Facts() | messages.WhitelistReport() | messages.Checked():
            return [on_fleet.RecordNote(node.key, message)]
        case _:
            return reports.answered(fleet, node.key, message, now)


# --- presence


def _deliver(fleet: Fleet, node: Node, event: node_core.Event, now: float) -> list[Effect]:
    effects: list[Effect] = []
    for effect in node_core.handle(node, event, now):
        effects += _translate(fleet, node, effect, now)
    if node.deadline() < node.wake_at:
        effects += _wake(node)
    return effects


def _translate(fleet: Fleet, node: Node, effect: node_core.Effect, now: float) -> list[Effect]:
    match effect:
        case node_core.Forward(message):
            return _forward(fleet, node, message, now)
        case node_core.SendAbort():
            return send(fleet, node.key, messages.Abort)
        case node_core.SendAck():
            return send(fleet, node.key, messages.Ack)
        case node_core.SendBeat(peer, ask):
            fields: dict[str, object] = {"incarnation_id": fleet.incarnation_id}
            if ask:
                fields["ask"] = True
            if fleet.is_cut_off:
                fields["away"] = True
            return [on_fleet.Send(node.key, peer, messages.Beat, fields)]
        case node_core.NotifyDown(spools):
            fleet.went_offline[node.org] += 1
            return reports.to_all(fleet, node.key, on_job.NodeDown(node.name, spools), now)
        case node_core.NotifyRestarted(keeps):
            return reports.to_all(fleet, node.key, on_job.NodeRestarted(node.name), now, but=keeps)
        case node_core.NotifyDeleted():
            return reports.to_all(fleet, node.key, on_job.NodeDeleted(node.name), now)
        case node_core.NotifyReconnected():
            return reports.to_all(fleet, node.key, on_job.Reconnected(node.name), now)
        case node_core.NotifyOutOfRehab():
            fleet.endings.aborted(node.key, now)
            return reports.to_all(fleet, node.key, on_job.OutOfRehab(node.name), now)
        case node_core.SaveNode():
            return [on_fleet.SaveNode(node)]
        case _:
            assert_never(effect)


def _wake(node: Node) -> list[Effect]:
    """One alarm a node: it is set anew only when it would come too late."""
    node.wake_at = node.deadline()
    return [on_fleet.WakeAt(node.key, node.wake_at)] if node.wake_at < math.inf else []


def time_passed(fleet: Fleet, key: NodeKey, at: float, now: float) -> list[Effect]:
    """A node's alarm; one that was superseded by an earlier one means nothing."""
    node = fleet.nodes.get(key)
    if node is None or node.wake_at != at:
        return []
    node.wake_at = math.inf
    if node.deadline() <= now:
        return _deliver(fleet, node, node_core.TimePassed(), now)
    return _wake(node)


def reset(fleet: Fleet, key: NodeKey, now: float) -> list[Effect]:
    """A job has its node aborted; what it is reset for is saved.

    A node that is at another job has not taken this one on: an abort would end that one.
    """
    fleet.endings.abort(key, now)
    node = fleet.nodes.get(key)
    if node is None or jobs.is_at_work(fleet, key):
        return []
    return _deliver(fleet, node, node_core.ResetRequested(), now)


def asked(fleet: Fleet, key: NodeKey, now: float) -> list[Effect]:
    """A node was asked for its vote, or to run: it answers, or it is not there."""
    node = fleet.nodes.get(key)
    return [] if node is None else _deliver(fleet, node, node_core.Asked(), now)


def connection_ended(fleet: Fleet, key: NodeKey, now: float) -> list[Effect]:
    """A connection of a node is gone."""
    node = fleet.nodes.get(key)
    return [] if node is None else _deliver(fleet, node, node_core.ConnectionEnded(), now)


def output_stored(fleet: Fleet, event: on_fleet.OutputStored) -> list[Effect]:
    """The agent is told what is held of its output."""
    if (node := fleet.nodes.get(event.node)) is not None:
        node.unstored = max(0, node.unstored - event.appended)
    fields = {"job_id": event.job_id, "channel": event.channel, "size": event.size}
    if event.enough and node is not None and extensions.STREAM in node.extensions:
        fields["enough"] = True
    effects = send(fleet, event.node, messages.AckOutput, **fields)
    if event.appended:
        key, sizes = JobKey(event.node.org, event.job_id), {event.channel: event.kept}
        effects.append(on_fleet.ShowOutput(key, event.node.name, sizes))
    return effects


# --- configurations


def configure(fleet: Fleet, event: on_fleet.ConfigurationRequested, now: float) -> list[Effect]:
    """A request for a configuration: saved now, admitted once that is durable.

    One that is repeated changes nothing, and its key is admitted beside the node's own.
    """
    if fleet.deletions.since(event.deletions, event.node):
        raise ClientGone
    fleet.admissions.require_free(event.curve_key, event.node)
    node = fleet.node(event.node)
    node.session_salt = event.session_salt
    if event.repeated:
        said = Unproven(event.offered, event.adopts)
        admission = Admission(event.node, now + BESIDE_FOR, event.client_key, said)
        fleet.admissions.admit_beside(event.curve_key, admission)
        return []
    is_new = event.curve_key != node.curve_key
    if is_new:
        _change_key(fleet, node, event.curve_key)
    node.client_key = event.client_key
    node.configured_at, node.agent = now, event.agent
    configured = node_core.Configured(is_new, event.offered, event.adopts)
    return [*_deliver(fleet, node, configured, now), on_fleet.SaveNode(node, event.signature)]


def _change_key(fleet: Fleet, node: Node, curve_key: str) -> None:
    """The node has another key; the one before it stays valid if messages came under it."""
    # A key whose saving failed was never admitted: it takes nobody's place.
    admitted = node.curve_key is not None and fleet.admissions.owner(node.curve_key) == node.key
    if admitted and (node.is_proven or node.previous_curve_key is None):
        node.previous_curve_key, node.previous_client_key = node.curve_key, node.client_key
    node.curve_key, node.is_proven = curve_key, False


def admit(fleet: Fleet, event: on_fleet.ConfigurationStored, now: float) -> list[Effect]:
    """The key counts from now on, unless its client was deleted meanwhile."""
    if fleet.deletions.since(event.deletions, event.node):
        raise ClientGone
    admission = Admission(event.node, now + fleet.rules.lifetime, event.client_key)
    fleet.admissions.admit(event.curve_key, admission)
    # What an earlier version admitted, by which key nobody knows, no revocation would ever end.
    return _end(fleet, event.node, frozenset({""}), now) if event.client_key else []


def revoke(fleet: Fleet, event: on_fleet.KeysRevoked, now: float) -> list[Effect]:
    """Keys of a node's client count no more: whoever was admitted by them is so no longer.

    A connection that another of its keys admitted stays.
    """
    # Also for one whose configuration is being saved.
    fleet.deletions.note(event.node)
    return _end(fleet, event.node, event.client_keys, now)


def _end(fleet: Fleet, key: NodeKey, client_keys: frozenset[str], now: float) -> list[Effect]:
    revoked = fleet.admissions.revoke(key, client_keys)
    node = fleet.nodes.get(key)
    if node is None:
        return []
    connected_by = node.curve_key if node.peer is None else node.peer_key
    effects: list[Effect] = []
    if connected_by in revoked:
        effects = _deliver(fleet, node, node_core.Revoked(), now)
        effects.append(on_fleet.EndConnections(node.key))
    return [*effects, on_fleet.SaveNode(node)] if _forget_keys(node, client_keys) else effects


def _forget_keys(node: Node, client_keys: frozenset[str]) -> bool:
    """What these admitted is not admitted after a restart either. Whether anything was."""
    before = node.client_key, node.previous_curve_key
    if node.curve_key is not None and node.client_key in client_keys:
        # The key stays: an agent that comes with it again is the same run of it.
        node.client_key = REVOKED
    if node.previous_client_key in client_keys:
        node.previous_curve_key, node.previous_client_key = None, ""
    return before != (node.client_key, node.previous_curve_key)


def expel(fleet: Fleet, key: NodeKey, now: float) -> list[Effect]:
    """A client was deleted: its node counts no more.

    Its connections end; whatever still comes on them is dropped unread.
    """
    fleet.deletions.note(key)
    fleet.admissions.forget(key)
    fleet.late.pop(key, None)
    fleet.endings.forget(key)
    fleet.pauses.pop(key, None)
    jobs.disown(fleet, key)
    # Also where it never connected: something may have been remembered of one before it.
    effects: list[Effect] = [on_fleet.ForgetNode(key)]
    if (node := fleet.nodes.pop(key, None)) is None:
        return effects
    # Whoever gets the name next is another one, even with the same agent.
    effects += _deliver(fleet, node, node_core.Expelled(), now)
    if node.last_peer is not None:
        effects.append(on_fleet.ForgetPeer(node.last_peer))
    return effects


# --- clocks


def clock_differs(fleet: Fleet, event: on_fleet.ClockDiffers, now: float) -> list[Effect]:
    """Why a node is not there: what it says is refused for its time."""
    return _deliver(fleet, fleet.node(event.node), node_core.ClockDiffers(event.seconds), now)


def stalled(fleet: Fleet, node: Node, now: float) -> list[Effect]:
    """We stood still, and not the node."""
    return _deliver(fleet, node, node_core.Stalled(), now)


def restore(fleet: Fleet, known: on_fleet.KnownNode) -> None:
    """A node as it was saved; its keys are admitted for the rest of their time."""
    node = fleet.node(known.key)
    node.incarnation, node.extensions = known.incarnation, known.extensions
    node.configured_at, node.session_salt = known.configured_at, known.session_salt
    node.agent = known.agent
    # It may have got its configuration before we ended, and speak now for the first time: which
    # jobs it adopts is forgotten, those it gave up were ended then. Heartbeats name the others.
    node.adopting = known.incarnation is not None and extensions.ADOPT in known.extensions
    node.curve_key, node.previous_curve_key = known.curve_key, known.previous_curve_key
    node.client_key, node.previous_client_key = known.client_key, known.previous_client_key
    until = known.configured_at + fleet.rules.lifetime
    for curve_key, client_key in (
        (known.previous_curve_key, known.previous_client_key),
        (known.curve_key, known.client_key),
    ):
        if curve_key is not None and client_key != REVOKED:
            with contextlib.suppress(KeyOfAnotherNode):
                fleet.admissions.admit(curve_key, Admission(known.key, until, client_key))
