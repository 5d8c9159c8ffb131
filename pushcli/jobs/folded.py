"""What the commands of a job wrote, printed for people: the same output once."""

from collections.abc import Iterable, Mapping, Sequence

from pushcli.jobs.fetch import unarrived
from pushcli.jobs.model import NodeResult
from pushcli.jobs.output import CHANNELS, Alike, Outputs, alike, block
from pushcli.jobs.wording import words
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App

_ENDED = frozenset({"succeeded", "failed"})
"""States of nodes that told how the command ended."""


def print_folded(
    app: App,
    results: Iterable[NodeResult],
    outputs: Mapping[str, Outputs],
    channels: Sequence[str] = CHANNELS,
) -> None:
    """What nodes wrote, the same once, under their names; also that something did not arrive."""
    shown = (_shown(result, outputs.get(result.node, {}), channels) for result in results)
    for group in alike(shown):
        first, *rest = block(group)
        app.print(app.paint(first, colour(group.state)))
        if rest:
            app.print("\n".join(rest))


def _shown(result: NodeResult, outputs: Outputs, channels: Sequence[str]) -> Alike:
    said, lost = words(result), unarrived(result, outputs, channels)
    is_explained = result.output_deleted_at is not None or result.output_pending
    if not outputs or (lost and not any(outputs.values())):
        missing = "" if is_explained else _missing(result)
        return Alike([result.node], result.state, said, {}, missing)
    remark = f", {' and '.join(lost)} did not arrive" if lost and not is_explained else ""
    return Alike([result.node], result.state, said + remark, outputs)


def _missing(result: NodeResult) -> str:
    """Why there is nothing, as far as it can be known from here."""
    is_sized = result.stdout_size is not None or result.stderr_size is not None
    if is_sized or result.state not in _ENDED:
        return "no output arrived"
    # Its agent said how the command ended, and not a word of what it wrote.
    return "no output was kept: its entry may say capture = false"
