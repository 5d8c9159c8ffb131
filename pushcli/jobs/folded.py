"""What the commands of a job wrote, printed for people: the same output once."""

from collections.abc import Iterable, Mapping, Sequence

from pushcli.jobs.fetch import unarrived
from pushcli.jobs.model import NodeResult
from pushcli.jobs.output import CHANNELS, Outputs, alike, block
from pushcli.jobs.wording import words
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App


def print_folded(
    app: App,
    results: Iterable[NodeResult],
    outputs: Mapping[str, Outputs],
    channels: Sequence[str] = CHANNELS,
) -> None:
    """What nodes wrote, the same once, under their names; also that something did not arrive."""
    rows = (_heading(result, outputs.get(result.node, {}), channels) for result in results)
    for group in alike(rows):
        first, *rest = block(group)
        app.print(app.paint(first, colour(group.state)))
        if rest:
            app.print("\n".join(rest))


def _heading(
    result: NodeResult, outputs: Outputs, channels: Sequence[str]
) -> tuple[str, str, str, Outputs]:
    said, lost = words(result), unarrived(result, outputs, channels)
    if lost and not any(outputs.values()):
        return result.node, result.state, said, {}
    remark = f", {' and '.join(lost)} did not arrive" if lost else ""
    return result.node, result.state, said + remark, outputs
