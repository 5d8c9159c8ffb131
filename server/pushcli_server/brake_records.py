"""What operators hold back, as it is stored, and as the fleet has it."""

from pushcli_server.clock import Clock
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.brake_state import Freeze, Pause
from pushcli_server.core.identity import Requestor
from pushcli_server.store import Store, brake_reads
from pushcli_server.store.records import FreezeRecord, PauseRecord


def freeze_record(freeze: Freeze) -> FreezeRecord:
    """As the store has it."""
    return FreezeRecord(
        reason=freeze.reason, actor_kind=freeze.by.kind, actor=freeze.by.name, at=freeze.at
    )


def pause_record(pause: Pause, offset: float) -> PauseRecord:
    """As the store has it.

    Args:
        offset: what makes a date of the fleet's deadlines, in seconds.
    """
    return PauseRecord(
        reason=pause.reason,
        actor_kind=pause.by.kind,
        actor=pause.by.name,
        at=pause.at,
        until=pause.until + offset,
    )


async def load(store: Store, clock: Clock) -> list[on_fleet.FreezeStored | on_fleet.PausesStored]:
    """What the run of the server before this one held back."""
    found: list[on_fleet.FreezeStored | on_fleet.PausesStored] = []
    for org, frozen in await store.ask(brake_reads.freezes):
        by = _requestor(org, frozen)
        found.append(on_fleet.FreezeStored(org, Freeze(reason=frozen.reason, by=by, at=frozen.at)))
    # Of one request, they are one object.
    pauses: dict[tuple[str, PauseRecord], list[str]] = {}
    for org, node, paused in await store.ask(brake_reads.pauses, clock.date()):
        pauses.setdefault((org, paused), []).append(node)
    for (org, paused), nodes in pauses.items():
        pause = Pause(
            reason=paused.reason,
            by=_requestor(org, paused),
            at=paused.at,
            until=paused.until - clock.offset(),
        )
        found.append(on_fleet.PausesStored(org, nodes, pause, deletions=0))
    return found


def _requestor(org: str, record: FreezeRecord | PauseRecord) -> Requestor:
    # A user is the same one in every organization.
    return Requestor(record.actor_kind, "" if record.actor_kind == "user" else org, record.actor)
