"""`pushcli job output --diff`: what nodes wrote beside what most of them wrote."""

from collections.abc import Sequence
from typing import Any

from pushcli.escape import escape_line, escape_text
from pushcli.exit_status import ExitStatus
from pushcli.jobs.difference import NOT_COMPARED, Comparison, Difference, Wrote, difference
from pushcli.jobs.show_output import Wanted, collect
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def show_difference(app: App, wanted: Wanted) -> ExitStatus:
    """Compare each channel's outputs, and tell whether the nodes wrote the same.

    Raises:
        NotFound: there is nothing to compare; the text says why.
    """
    results, outputs = collect(app, wanted)
    found: list[tuple[str, Difference, list[str]]] = []
    for channel in wanted.channels:
        wrote = [(r.node, outputs[r.node][channel]) for r in results if channel in outputs[r.node]]
        missing = [r.node for r in results if channel not in outputs[r.node]]
        if wrote:
            found.append((channel, difference(wrote), missing))
    if app.is_text:
        wrote_any = any(_is_written(compared) for _, compared, _ in found)
        for channel, compared, missing in found:
            if _is_written(compared) or not wrote_any:
                _print(app, channel, compared)
            if missing:
                app.note(f"no {channel} of {fold(map(escape_line, missing))} has arrived")
    else:
        app.emit({"id": wanted.job.id, "channels": [_as_data(*one) for one in found]})
    differs = any(compared.others for _, compared, _ in found)
    return ExitStatus.DIFFERENT if differs else ExitStatus.OK


def _is_written(compared: Difference) -> bool:
    """Whether anybody wrote anything."""
    return bool(compared.others or compared.majority.output)


def _print(app: App, channel: str, compared: Difference) -> None:
    most = compared.majority
    if not compared.others:
        app.print(f"{_names(most.nodes)} ({_all(compared.total)}) {channel}: {_extent(most)}")
        return
    count = f"{len(most.nodes)} of {compared.total}"
    app.print(f"{_names(most.nodes)} ({count}) {channel}: most common, {_extent(most)}")
    named = [one for one in compared.others if one.why != NOT_COMPARED]
    for one in named:
        heading = f"{_names(one.wrote.nodes)} ({len(one.wrote.nodes)}) {channel}"
        if one.lines is None:
            why = "" if one.why == "binary" else f", {one.why}"
            app.print(f"{heading}: {_extent(one.wrote)}{why}")
            continue
        app.print(heading)
        app.print("\n".join(_shown(app, line) for line in one.lines))
        if one.left_out:
            app.print(f"  ... and {one.left_out:,} more lines: --outdir DIR has it all")
    if rest := [one.wrote.nodes for one in compared.others if one.why == NOT_COMPARED]:
        nodes = [node for each in rest for node in each]
        app.print(
            f"{_names(nodes)} ({len(nodes)}) {channel}: {len(rest):,} more outputs, {NOT_COMPARED}"
        )


def _shown(app: App, line: str) -> str:
    return app.paint(f"  {escape_text(line)}", _COLOURS.get(line[:1], ""))


def _names(nodes: Sequence[str]) -> str:
    return fold(map(escape_line, nodes))


def _all(count: int) -> str:
    return "all the same" if count > 1 else "the only one"


def _extent(wrote: Wrote) -> str:
    if not wrote.output:
        return "nothing"
    if wrote.is_binary:
        return f"binary, {len(wrote.output):,} bytes"
    lines = wrote.output.count(b"\n") + (not wrote.output.endswith(b"\n"))
    return "1 line" if lines == 1 else f"{lines:,} lines"


def _as_data(channel: str, compared: Difference, missing: list[str]) -> dict[str, Any]:
    return {
        "channel": channel,
        "majority": _wrote_as_data(compared.majority),
        "others": [_comparison_as_data(one) for one in compared.others],
        "missing": missing,
    }


def _wrote_as_data(wrote: Wrote) -> dict[str, Any]:
    return {"nodes": wrote.nodes, "bytes": len(wrote.output), "binary": wrote.is_binary}


def _comparison_as_data(one: Comparison) -> dict[str, Any]:
    diff = None if one.lines is None else "".join(f"{line}\n" for line in one.lines)
    why = {"why": one.why} if one.why else {}
    left_out = {"left_out": one.left_out} if one.left_out else {}
    return {**_wrote_as_data(one.wrote), "diff": diff, **why, **left_out}
