"""What commands wrote, for people folded: the same output once, under its nodes' names.

For people each line is indented under these names, so that no node can forge another's heading;
for programs it is text where it is UTF-8, else base64.
"""

import base64
from collections.abc import Iterable
from typing import NamedTuple

from pushcli.escape import decode, escape_line
from pushcli.terminal.folding import fold

CHANNELS = ("stdout", "stderr")
Outputs = dict[str, bytes]
"""By channel: `stdout`, `stderr`."""


class Alike(NamedTuple):
    """Nodes in the same state that wrote the same; `words` (safe already) tells their state.

    Args:
        missing: why there are no outputs, unless the words tell.
    """

    nodes: list[str]
    state: str
    words: str
    outputs: Outputs
    missing: str = ""


def alike(results: Iterable[Alike]) -> list[Alike]:
    """The same with each distinct thing once.

    Those that succeeded come first, the largest groups before the smaller ones: what is rare and
    what failed is last, where the eye is.
    """
    groups: dict[tuple[str, str, tuple[tuple[str, bytes], ...], str], Alike] = {}
    for one in results:
        key = (one.state, one.words, tuple(one.outputs.items()), one.missing)
        groups.setdefault(key, one._replace(nodes=[])).nodes.extend(one.nodes)
    return sorted(groups.values(), key=lambda one: (one.state != "succeeded", -len(one.nodes)))


def block(group: Alike) -> list[str]:
    """What they wrote under their names and what to say of them.

    The error output has a heading of its own.
    """
    nodes, _, words, outputs, missing = group
    name = fold(map(escape_line, nodes))
    if len(nodes) > 1:
        words = f"{len(nodes)} {words}"
    if not outputs:
        return [f"{name} ({words}): {missing}" if missing else f"{name} ({words})"]
    shown = {channel: _indented(output) for channel, output in outputs.items() if output}
    if not shown:
        return [f"{name} ({words}): no output"]
    lines = [f"{name} ({words})"]
    for channel, content in shown.items():
        lines += content if channel == "stdout" else [f"{name} {channel}", *content]
    return lines


def _indented(output: bytes) -> list[str]:
    text = decode(output).removesuffix("\n")
    return [f"  {line}" if line else "" for line in text.split("\n")]


def as_data(outputs: Outputs) -> dict[str, str]:
    """For JSON and YAML: `stdout`, or `stdout_base64` where it is no text."""
    return dict(_datum(channel, output) for channel, output in outputs.items())


def _datum(channel: str, output: bytes) -> tuple[str, str]:
    try:
        return channel, output.decode("utf-8")
    except UnicodeDecodeError:
        return f"{channel}_base64", base64.b64encode(output).decode()
