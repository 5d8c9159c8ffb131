"""What failed nodes wrote, in short: shown without having been asked for.

A dozen distinct outputs at most are fetched, those of most nodes, and some lines of each are
printed: the last ones, where a command says why it gave up.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pushcli.escape import decode
from pushcli.jobs.fetch import fetch_outputs
from pushcli.jobs.folded import print_folded
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.output import CHANNELS, Outputs
from pushcli.terminal.context import App

FAILED = ("failed", "crashed", "timed_out")
"""States of nodes whose output is worth a look; who aborts a job knows why it ended."""
MOST_OUTPUTS = 12
MOST_LINES = 10
"""Of one output, both channels together."""
_LEAST_LINES = 3
"""Of the output, where the error output would leave no room for it."""
_MOST_CHARACTERS = 400
_Both = tuple[str | None, str | None]


class Excerpts(NamedTuple):
    """What failed nodes wrote, by node and channel, and of how many no output was fetched."""

    outputs: dict[str, Outputs]
    others: int = 0


def fetch_excerpts(app: App, job: JobView, results: Sequence[NodeResult]) -> Excerpts:
    """What those wrote that failed, as it is kept.

    Raises:
        PushcliError: the server did not answer.
    """
    failed = [r for r in results if r.state in FAILED and (r.stdout_size or r.stderr_size)]
    most = {both for both, _ in Counter(map(_digests, failed)).most_common(MOST_OUTPUTS)}
    chosen = [result for result in failed if _digests(result) in most]
    return Excerpts(fetch_outputs(app, job, chosen), len(failed) - len(chosen))


def print_excerpts(app: App, results: Iterable[NodeResult], found: Excerpts) -> bool:
    """The last lines of these outputs, the same once; gives whether there is more to be seen."""
    outputs = found.outputs
    cut = {node: excerpt(of_node) for node, of_node in outputs.items()}
    print_folded(app, [r for r in results if any(outputs.get(r.node, {}).values())], cut)
    is_cut = any(cut[node] != _whole(outputs[node]) for node in outputs)
    return is_cut or found.others > 0


def excerpt(outputs: Outputs) -> Outputs:
    """The last lines of both channels, `MOST_LINES` together, each of bounded length."""
    lines = {channel: _lines(outputs.get(channel, b"")) for channel in CHANNELS}
    total = {channel: len(found) for channel, found in lines.items()}
    errors = min(total["stderr"], max(MOST_LINES - total["stdout"], MOST_LINES - _LEAST_LINES))
    kept = {"stdout": MOST_LINES - errors, "stderr": errors}
    return {
        channel: _last(lines[channel], kept[channel]) if content else content
        for channel, content in outputs.items()
    }


def _whole(outputs: Outputs) -> Outputs:
    return {channel: b"\n".join(_lines(content)) for channel, content in outputs.items()}


def _lines(content: bytes) -> list[bytes]:
    return content.removesuffix(b"\n").split(b"\n") if content else []


def _last(lines: Sequence[bytes], count: int) -> bytes:
    left_out = max(len(lines) - count, 0)
    shown = [_short(line) for line in lines[left_out:]]
    if left_out:
        shown.insert(0, f"... {left_out:,} more lines".encode())
    return b"\n".join(shown)


def _short(line: bytes) -> bytes:
    if len(line) <= _MOST_CHARACTERS:
        return line
    # Characters are not cut in two: what is left of one would be shown as bytes.
    text = decode(line)
    return line if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}...".encode()


def _digests(result: NodeResult) -> _Both:
    return result.stdout_digest, result.stderr_digest
