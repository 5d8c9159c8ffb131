"""The brake: whether a job may start at all, and which nodes are left out of it.

Nodes that are paused vote against a job without being asked, so it holds for agents of any age.
What began before goes on.
"""

from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.brake_state import Freeze
from pushcli_server.core.fleet_events import Effect
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey


class Frozen(Exception):
    """No job starts in this organization now."""

    def __init__(self, freeze: Freeze) -> None:
        super().__init__(freeze.reason)
        self.freeze = freeze


def require_unfrozen(fleet: Fleet, org: str) -> None:
    """Jobs of the organization may start.

    Raises:
        Frozen: they may not.
    """
    if (freeze := fleet.freezes.get(org)) is not None:
        raise Frozen(freeze)


def set_freeze(fleet: Fleet, event: on_fleet.FreezeStored) -> list[Effect]:
    """Jobs are frozen, with this reason from now on, or not any more."""
    if event.freeze is None or event.org in fleet.closed:
        fleet.freezes.pop(event.org, None)
    else:
        fleet.freezes[event.org] = event.freeze
    return []


def set_pauses(fleet: Fleet, event: on_fleet.PausesStored) -> list[Effect]:
    """Nodes are paused, or take part again; those that were deleted meanwhile do not count."""
    effects: list[Effect] = []
    for name in event.nodes:
        key = NodeKey(event.org, name)
        is_gone = key.org in fleet.closed or fleet.deletions.since(event.deletions, key)
        if event.pause is None or is_gone:
            fleet.pauses.pop(key, None)
        else:
            fleet.pauses[key] = event.pause
            effects.append(on_fleet.WakeAt(key, event.pause.until))
    return effects


def time_passed(fleet: Fleet, key: NodeKey, now: float) -> None:
    """The moment that a pause was to end at, or another: one that is over is forgotten."""
    pause = fleet.pauses.get(key)
    if pause is not None and pause.until <= now:
        del fleet.pauses[key]


def save_pauses(fleet: Fleet) -> list[Effect]:
    """All pauses anew: they are stored with dates, which are others now."""
    together: dict[tuple[str, int], on_fleet.SavePauses] = {}
    for key, pause in fleet.pauses.items():
        # Of one request, they are one object.
        saved = together.setdefault((key.org, id(pause)), on_fleet.SavePauses(key.org, [], pause))
        saved.nodes.append(key.name)
    return list(together.values())


def forget_organization(fleet: Fleet, org: str) -> None:
    """Nothing of it is held back any more."""
    fleet.freezes.pop(org, None)
    for key in [key for key in fleet.pauses if key.org == org]:
        del fleet.pauses[key]
