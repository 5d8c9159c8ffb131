"""A server of ours beside a Chef Infra Server hears at once of what was written there.

It would notice by itself, a little later. So nothing that goes wrong here is an error: the
change is made.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from pushcli.client.answers import checked
from pushcli.errors import PushcliError
from pushcli.protocol import limits
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import our_server
from pushcli.whitelist.workstation.views import EditOutcome, NodeWhitelist

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

EXTENSION = "nodes-on-chef"
"""What such a server offers."""


def announce(
    client: "ApiClient", nodes: Sequence[str], changes: Sequence[Change]
) -> EditOutcome | None:
    """Tell which nodes were changed, and find out what their agents made of it.

    Returns:
        None: nobody can say.
    """
    if EXTENSION not in client.extensions:
        return None
    outcome = EditOutcome(nodes=0, connected=0, in_force=0)
    try:
        for start in range(0, len(nodes), limits.MAX_ANNOUNCED):
            some = list(nodes[start : start + limits.MAX_ANNOUNCED])
            answer = client.post("pushy/node_changes", {"nodes": some})
            outcome += checked(answer, EditOutcome)
        return _with_refusals(client, outcome, nodes, changes) if outcome.connected else outcome
    except PushcliError:
        return None


def _with_refusals(
    client: "ApiClient", outcome: EditOutcome, nodes: Sequence[str], changes: Sequence[Change]
) -> EditOutcome:
    """The server does not know what was changed, and so not what an agent refused of it."""
    states = checked(client.node_states(), list[dict[str, str]])
    online = {state.get("node_name") for state in states if state.get("status") == "online"}
    lacking = dict(outcome.not_in_force)
    for one in our_server.read(client, [node for node in nodes if node in online]):
        if one.node not in lacking and (reason := refusal(one, changes)) is not None:
            lacking[one.node] = reason
    held = max(0, outcome.connected - len(lacking))
    return msgspec.structs.replace(outcome, in_force=held, not_in_force=lacking)


def refusal(whitelist: NodeWhitelist, changes: Sequence[Change]) -> str | None:
    """Why the node's agent does not go by these changes, which it has; None: it does."""
    report = whitelist.in_force
    if report is None:
        return None
    refused = {entry.name: entry.reason for entry in report.refused}
    for change in changes:
        if change.name in refused:
            return refused[change.name]
        if change.name in whitelist.local:
            return f"a local entry {change.name!r} wins: it is in the node's agent.toml"
    return None
