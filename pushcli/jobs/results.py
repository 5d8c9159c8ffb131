"""What became of each node of a job: from the server's detailed view, or without it."""

from collections.abc import Sequence

from pushcli.client.answers import checked
from pushcli.errors import NotFound
from pushcli.jobs.model import PENDING, JobView, NodeResult
from pushcli.jobs.output import Outputs
from pushcli.terminal.context import App

CHANNELS = ("stdout", "stderr")
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


def fetch_outputs(app: App, job_id: str, result: NodeResult) -> Outputs:
    """What a node's command wrote, by channel; nothing if none was captured."""
    if result.state in _NEVER_RAN:
        return {}
    sizes = {"stdout": result.stdout_size, "stderr": result.stderr_size}
    outputs: Outputs = {}
    for channel in CHANNELS:
        if sizes[channel] == 0:
            outputs[channel] = b""
            continue
        try:
            outputs[channel] = app.client.job_output(job_id, result.node, channel)
        except NotFound:
            continue
    return outputs
