"""Asking which nodes are there."""

from collections.abc import Sequence
from typing import Any

from pushcli.context import App
from pushcli.jobs import NodeAvailability, checked

Raw = dict[str, Any]


def node_states(app: App, names: Sequence[str] = ()) -> tuple[list[NodeAvailability], list[Raw]]:
    """The nodes of these names in their order, else all by name; and the server's own words."""
    raw = _named(app, list(dict.fromkeys(names))) if names else app.client.node_states()
    states = checked(raw, list[NodeAvailability])
    if names:
        return states, raw
    order = sorted(range(len(states)), key=lambda i: states[i].node_name)
    return [states[i] for i in order], [raw[i] for i in order]


def _named(app: App, names: Sequence[str]) -> list[Raw]:
    """Each of the names: one request for one node, or the list and what it leaves out."""
    listed: dict[str, Raw] = {}
    if len(names) > 1:
        states = app.client.node_states()
        checked(states, list[NodeAvailability])
        listed = {state["node_name"]: state for state in states}
    return [listed[name] if name in listed else app.client.node_state(name) for name in names]
