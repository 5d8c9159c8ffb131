"""Organizations within the fleet: what ends with one."""

from pushcli_server.core import brake
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import fleet_jobs as jobs
from pushcli_server.core import fleet_nodes as nodes
from pushcli_server.core.fleet_events import Effect
from pushcli_server.core.fleet_state import Fleet


class OrganizationGone(Exception):
    """The organization is being deleted: nothing begins in it."""

    __match_args__ = ("org",)

    def __init__(self, org: str) -> None:
        super().__init__(org)
        self.org = org


def close(fleet: Fleet, event: on_fleet.OrganizationClosed, now: float) -> list[Effect]:
    """Its jobs are aborted, its nodes are out, its feed ends; nothing begins in it any more."""
    org = event.org
    fleet.closed.add(org)
    brake.forget_organization(fleet, org)
    effects: list[Effect] = []
    for key in [key for key in fleet.jobs if key.org == org]:
        abort = on_fleet.AbortRequested(
            job=key, requestor=event.by.name, origin=event.origin, by=event.by
        )
        effects += jobs.abort(fleet, abort, now)
    for node in [node for node in fleet.nodes if node.org == org]:
        effects += nodes.expel(fleet, node, now)
    # Also those that ended a moment ago: the next organization of this name has no part in them.
    for key in [key for key in fleet.ended if key.org == org]:
        del fleet.ended[key]
        effects.append(on_fleet.CloseFeed(key))
    return [*effects, on_fleet.CloseOrganization(org)]


def require_open(fleet: Fleet, org: str) -> None:
    """Nothing begins in an organization that is being deleted.

    Raises:
        OrganizationGone: it is.
    """
    if org in fleet.closed:
        raise OrganizationGone(org)
