"""What became of each node of a job: from the server's detailed view, or without it."""

from collections.abc import Sequence

import msgspec

from pushcli.client.answers import checked
from pushcli.jobs.model import PENDING, JobView, NodeResult
from pushcli.terminal.context import App

_SETTLING = 15.0
"""Seconds: agents give a command 5 s to end, and kill it then."""
_SETTLING_UNASKED = 3.0
"""The same if nobody asked for the output."""
_LOOK = 0.25
_NEVER_RAN = frozenset({"nacked", "unavailable", "was_ready"}) | PENDING


def node_results(app: App, job: JobView, names: Sequence[str] = ()) -> list[NodeResult]:
    """A result per node, in the order of `names`, those that they leave out at the end.

    An old server does not tell reasons, exit codes and times: there it is the state only.
    """
    details = app.client.job_nodes(job.id)
    if details is None:
        results = [NodeResult(node=node, state=state) for node, state in job.states()]
    else:
        results = checked(details, list[NodeResult])
    place = {name: index for index, name in enumerate(names)}
    return sorted(results, key=lambda result: place.get(result.node, len(place)))


def settled_results(app: App, job: JobView, names: Sequence[str] = ()) -> list[NodeResult]:
    """The same, with the output of commands that are being ended: it is waited for a little."""
    results = node_results(app, job, names)
    patience = _SETTLING if job.capture_output else _SETTLING_UNASKED
    deadline, noted = app.clock() + patience, False
    while pending := [r.node for r in results if _is_awaited(job, r)]:
        if app.clock() >= deadline:
            break
        if not noted and app.clock() >= deadline - patience + 1:
            app.remark(f"Waiting for the output of {len(pending)} nodes ...")
            noted = True
        app.sleep(_LOOK)
        results = node_results(app, job, names)
        if not any(_is_awaited(job, r) for r in results):
            # Older servers say that a node is done a moment before they know what was done.
            app.sleep(_LOOK)
            return node_results(app, job, names)
    return results


def _is_awaited(job: JobView, result: NodeResult) -> bool:
    """Whether its output will be shown, and is still to come."""
    # Whoever aborts a job did not ask what it would have said.
    return result.output_pending and (job.capture_output or result.state != "aborted")


def unremarked(job: JobView, results: Sequence[NodeResult]) -> list[NodeResult]:
    """The same; if nobody asked for the output, without a word of what is missing of it."""
    if job.capture_output:
        return [*results]
    return [
        msgspec.structs.replace(
            result, stdout_dropped=0, stderr_dropped=0, partial=False, output_pending=False
        )
        for result in results
    ]


def never_ran(result: NodeResult) -> bool:
    """Whether the command was not even started on this node."""
    return result.state in _NEVER_RAN
