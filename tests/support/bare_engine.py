"""An engine around a fleet, for questions that need no more of it than the fleet and a clock."""

from typing import Any

from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.engine import Engine


def bare_engine(fleet: Fleet) -> Engine:
    """An engine with nothing else around it: what would save or send fails."""
    nothing: Any = None
    return Engine(
        fleet, clock=Clock(), store=nothing, releases=nothing, timers=nothing, channel=nothing,
        feeds=nothing, outputs=nothing, notes=nothing, spawn=nothing,
    )  # fmt: skip
