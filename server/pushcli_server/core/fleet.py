"""Everything live on the server as one pure machine: nodes, jobs, who is busy with what.

`handle(fleet, event, now)` changes the fleet and returns what is to be done, in order. Which
job a message concerns, what it means there, what a heartbeat repairs and who may connect is
decided here and in the modules below, nowhere else. No clock, no random id, no socket, no
database.
"""

from typing import assert_never

from pushcli_server.core import brake, results
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import fleet_jobs as jobs
from pushcli_server.core import fleet_nodes as nodes
from pushcli_server.core import fleet_organizations as organizations
from pushcli_server.core.fleet_events import Effect, Event
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import JobKey, NodeKey

AWAY = 3.0
"""Seconds for which the server may stand still before agents reconnect, at the least."""


def handle(fleet: Fleet, event: Event, now: float) -> list[Effect]:
    """Take one event in; what is to be done comes out, in order.

    Raises:
        ClientGone, KeyOfAnotherNode: a request for a configuration is refused.
        Frozen: no job starts now.
        OrganizationGone: what was asked for begins nothing any more.
    """
    match event:
        case on_fleet.MessageReceived():
            return nodes.receive(fleet, event, now)
        case on_fleet.ConnectionEnded(node):
            return nodes.connection_ended(fleet, node, now)
        case on_fleet.TimePassed(subject, at):
            if isinstance(subject, JobKey):
                return jobs.time_passed(fleet, subject, now)
            brake.time_passed(fleet, subject, now)
            return nodes.time_passed(fleet, subject, at, now)
        case on_fleet.CommitDue():
            return _asked(fleet, event, jobs.commit(fleet, event), now)
        case on_fleet.RunDue():
            return _asked(fleet, event, jobs.run(fleet, event), now)
        case on_fleet.ResetDue():
            return nodes.reset(fleet, event.node, now)
        case on_fleet.ResultStored():
            return results.stored(fleet, event)
        case on_fleet.OutputKept(job, node, sizes):
            return [on_fleet.ShowOutput(job, node, sizes)]
        case on_fleet.OutputStored():
            return nodes.output_stored(fleet, event)
        case on_fleet.PartFound():
            return results.found(fleet, event, now)
        case on_fleet.JobRequested():
            organizations.require_open(fleet, event.job.org)
            brake.require_unfrozen(fleet, event.job.org)
            return jobs.start(fleet, event, now)
        case on_fleet.JobWithdrawn():
            return jobs.withdraw(fleet, event.job)
        case on_fleet.AbortRequested():
            return jobs.abort(fleet, event, now)
        case on_fleet.ConfigurationRequested():
            organizations.require_open(fleet, event.node.org)
            return nodes.configure(fleet, event, now)
        case on_fleet.ConfigurationStored():
            return nodes.admit(fleet, event, now)
        case on_fleet.KeysRevoked():
            return nodes.revoke(fleet, event, now)
        case on_fleet.ClientDeleted():
            return nodes.expel(fleet, event.node, now)
        case on_fleet.OrganizationClosed():
            return organizations.close(fleet, event, now)
        case on_fleet.OrganizationOpened():
            fleet.closed.discard(event.org)
            return []
        case on_fleet.FreezeStored():
            return brake.set_freeze(fleet, event)
        case on_fleet.PausesStored():
            return brake.set_pauses(fleet, event)
        case on_fleet.ClockDiffers():
            return nodes.clock_differs(fleet, event, now)
        case on_fleet.ClockSet():
            return _set_clock(fleet, event)
        case on_fleet.DatabaseReached(is_reached):
            fleet.is_cut_off = not is_reached
            return []
        case on_fleet.Stalled():
            return _stalled(fleet, event, now)
        case on_fleet.Restored():
            return _restore(fleet, event, now)
        case _:
            assert_never(event)


def _asked(
    fleet: Fleet, event: on_fleet.CommitDue | on_fleet.RunDue, sent: list[Effect], now: float
) -> list[Effect]:
    """If something was sent: who is there answers it."""
    node = NodeKey(event.job.org, event.node)
    return [*sent, *nodes.asked(fleet, node, now)] if sent else []


def _restore(fleet: Fleet, event: on_fleet.Restored, now: float) -> list[Effect]:
    for known in event.nodes:
        nodes.restore(fleet, known)
    effects: list[Effect] = []
    for job in event.jobs:
        effects += jobs.resume(fleet, job, now)
    return effects


def _set_clock(fleet: Fleet, event: on_fleet.ClockSet) -> list[Effect]:
    """Deadlines stay what they are; they are stored as dates, which are others now."""
    fleet.offset = event.offset
    return [*(on_fleet.SaveJob(job) for job in fleet.jobs.values()), *brake.save_pauses(fleet)]


def _stalled(fleet: Fleet, event: on_fleet.Stalled, now: float) -> list[Effect]:
    effects: list[Effect] = []
    for node in fleet.nodes.values():
        effects += nodes.stalled(fleet, node, now)
    if event.seconds > max(fleet.rules.patience.silence, AWAY):
        for job in list(fleet.jobs.values()):
            effects += jobs.stalled(fleet, job, now)
    return effects
