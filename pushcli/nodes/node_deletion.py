"""Deleting nodes: all that the server has of them but their history."""

from collections.abc import Sequence
from typing import Any

from pushcli.client.answers import checked
from pushcli.client.paths import quoted
from pushcli.errors import NotFound, PushcliError
from pushcli.nodes import node_status
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App

_NAMED = 10
"""Names in one line."""


def delete(app: App, names: Sequence[str]) -> None:
    """Delete each node with its client and keys, once the operator agrees.

    Raises:
        NotFound: some are no nodes; then nothing is deleted.
        PushcliError: one cannot be deleted; those before it are, which is said.
    """
    names = list(dict.fromkeys(names))
    _require_nodes(app, names)
    if not agrees(app, _question(app, names)):
        return
    deleted: list[str] = []
    try:
        for name in names:
            _delete(app, name)
            deleted.append(name)
            if app.is_text:
                app.print(f"Deleted the node {name}")
    finally:
        if not app.is_text:
            app.emit([{"name": name, "deleted": True} for name in deleted])


def _delete(app: App, name: str) -> None:
    """First the client, so that its agent cannot come back; a Chef server keeps the object."""
    for folder in ("clients", "nodes"):
        try:
            app.client.delete(f"{folder}/{quoted(name)}")
        except NotFound:
            # A node may be without either; with a pushcli server, the object goes with the client.
            continue


def _require_nodes(app: App, names: Sequence[str]) -> None:
    """A client that is no node, such as a validator, is not deleted by mistake."""
    known = set(checked(app.client.get("nodes"), dict[str, Any]))
    if known.issuperset(names):
        return
    try:
        # Enrolled, but without a node object.
        known |= {state.node_name for state in node_status.node_states(app)[0]}
    except PushcliError:
        if not known:
            raise
    missing = [name for name in names if name not in known]
    if missing:
        raise NotFound(
            f"no such node: {_listed(missing)}; nothing was deleted",
            "`pushcli node list` lists all; delete other clients with `pushcli client delete`",
        )


def _question(app: App, names: Sequence[str]) -> str:
    what = f"the node {names[0]}" if len(names) == 1 else f"{len(names)} nodes ({_listed(names)})"
    running = node_status.jobs_of(app, names)
    ends = [f"{name} is running {', '.join(jobs)}" for name, jobs in running.items() if jobs]
    warning = f" {'; '.join(ends)}: that ends there." if ends else ""
    return f"Delete {what}, with client and keys?{warning}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
