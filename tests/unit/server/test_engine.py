"""The engine's table has a way to carry out whatever the fleet can ask for."""

from typing import Any, get_args

from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.engine import Engine


def test_there_is_a_row_for_every_effect_and_for_nothing_else() -> None:
    # None of what is around it is used before something happens.
    nothing: Any = None
    engine = Engine(
        Fleet(Rules()), clock=nothing, store=nothing, releases=nothing, timers=nothing,
        channel=nothing, feeds=nothing, notes=nothing, spawn=nothing,
    )  # fmt: skip
    assert engine._carry_out.keys() == set(get_args(on_fleet.Effect))
