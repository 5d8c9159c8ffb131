"""`pushcli job output`: what the commands of an earlier job wrote, shown, as bytes or in files."""

from collections.abc import Sequence
from pathlib import Path

from pushcli.errors import NotFound, UsageError
from pushcli.escape import decode, escape_line
from pushcli.jobs.fetch import fetch_outputs
from pushcli.jobs.folded import print_folded
from pushcli.jobs.follow import EXTENSION, follow, require_lines
from pushcli.jobs.model import PENDING, JobView, NodeResult
from pushcli.jobs.output import Outputs, as_data
from pushcli.jobs.output_files import save
from pushcli.jobs.results import never_ran, node_results
from pushcli.jobs.watch import look
from pushcli.jobs.wording import words
from pushcli.terminal.context import App


def show_output(
    app: App, job_id: str, nodes: Sequence[str], channels: Sequence[str], *, raw: bool
) -> None:
    """What these nodes wrote, or all of the job, each distinct output once.

    One channel of one node is shown as it is, without a heading.

    Raises:
        NotFound: there is nothing to show; the text says why.
    """
    if len(nodes) == len(channels) == 1:
        _show_one(app, job_id, nodes[0], channels[0], raw=raw)
        return
    results, outputs = _outputs(app, job_id, nodes, channels)
    if raw:
        for result in results:
            for content in outputs[result.node].values():
                app.write_bytes(content)
    elif app.is_text:
        print_folded(app, results, outputs, channels)
    else:
        app.emit([_row(job_id, result, outputs[result.node]) for result in results])


def save_output(
    app: App, job_id: str, nodes: Sequence[str], channels: Sequence[str], directory: Path
) -> None:
    """The same in files, `DIRECTORY/NODE/CHANNEL`, byte for byte.

    Raises:
        NotFound: there is nothing to save; the text says why.
        UsageError: a file cannot be written.
    """
    results, outputs = _outputs(app, job_id, nodes, channels)
    for result in results:
        save(directory, result.node, outputs[result.node])
    files = sum(len(outputs[result.node]) for result in results)
    if app.is_text:
        app.print(f"{files} files of {len(results)} nodes in {escape_line(str(directory))}")
    else:
        saved = {result.node: sorted(outputs[result.node]) for result in results}
        app.emit({"id": job_id, "directory": str(directory), "nodes": saved})


def follow_output(app: App, job_id: str, nodes: Sequence[str], channels: Sequence[str]) -> None:
    """What the commands write, line by line while they write it, until the job is over.

    Raises:
        NotFound: there is no such job or node, or the job keeps no output.
        UsageError: the format has no lines, or the server cannot tell it.
    """
    require_lines(app)
    job = _job(app, job_id)
    if not job.capture_output:
        raise _not_captured(job_id)
    if missing := sorted(set(nodes) - {node for node, _ in job.states()}):
        raise _no_node(job_id, missing[0])
    if EXTENSION not in app.client.extensions:
        raise UsageError(
            "this server does not tell output while it is written", "leave out --follow"
        )
    follow(app, job_id, nodes, channels)


def _outputs(
    app: App, job_id: str, nodes: Sequence[str], channels: Sequence[str]
) -> tuple[list[NodeResult], dict[str, Outputs]]:
    """Those of the nodes that wrote, in the order of the job, and what, by channel."""
    job = _job(app, job_id)
    if not job.capture_output:
        raise _not_captured(job_id)
    results = node_results(app, job)
    if missing := sorted(set(nodes) - {result.node for result in results}):
        raise _no_node(job_id, missing[0])
    chosen = [result for result in results if not nodes or result.node in set(nodes)]
    found = fetch_outputs(app, job, chosen, channels)
    wrote = [result for result in chosen if found.get(result.node)]
    if not wrote:
        if len(chosen) == 1:
            raise _why_not(job, chosen[0], " or ".join(channels))
        raise NotFound(
            f"no output of these {len(chosen)} nodes of job {job_id} is there",
            f"see `pushcli job status {job_id}`",
        )
    return wrote, found


def _row(job_id: str, result: NodeResult, outputs: Outputs) -> dict[str, object]:
    dropped = {"stdout": result.stdout_dropped, "stderr": result.stderr_dropped}
    marks = {"partial": result.partial, "dropped": sum(dropped[channel] for channel in outputs)}
    shown = {key: value for key, value in marks.items() if value}
    return {"id": job_id, "node": result.node, **as_data(outputs), **shown}


def _show_one(app: App, job_id: str, node: str, channel: str, *, raw: bool) -> None:
    """One channel of one node, and beside it what is missing of it."""
    try:
        output = app.client.job_output_marked(job_id, node, channel)
    except NotFound as error:
        raise _why_none(app, job_id, node, channel) from error
    if raw:
        app.write_bytes(output.data)
    elif app.is_text:
        app.write(decode(output.data))
    else:
        marks = {"partial": output.partial, "dropped": output.dropped}
        shown = {key: value for key, value in marks.items() if value}
        app.emit({"id": job_id, "node": node, **as_data({channel: output.data}), **shown})
    if output.partial:
        app.note("PARTIAL: the command was cut short; this is what it wrote until then")
    if output.dropped:
        app.note(f"CUT: {output.dropped:,} more bytes were not kept")


def _job(app: App, job_id: str) -> JobView:
    try:
        return look(app, job_id).job
    except NotFound:
        raise NotFound(f"there is no job {job_id}", "see `pushcli job list`") from None


def _why_none(app: App, job_id: str, node: str, channel: str) -> NotFound:
    """Why there is no output of this node."""
    try:
        job = _job(app, job_id)
    except NotFound as error:
        return error
    if not job.capture_output:
        return _not_captured(job_id)
    found = [result for result in node_results(app, job) if result.node == node]
    return _why_not(job, found[0], channel) if found else _no_node(job_id, node)


def _not_captured(job_id: str) -> NotFound:
    return NotFound(
        f"job {job_id} keeps no output", "start it with --capture to see what it writes"
    )


def _no_node(job_id: str, node: str) -> NotFound:
    return NotFound(f"job {job_id} has no node {node}", f"see `pushcli job status {job_id}`")


def _why_not(job: JobView, result: NodeResult, channel: str) -> NotFound:
    node, said = escape_line(result.node), words(result)
    if result.state in PENDING and not job.is_over:
        return NotFound(
            f"there is no {channel} from {node} yet ({said})",
            "it comes when the command has ended",
        )
    if never_ran(result):
        return NotFound(f"the command did not run on {node} ({said})", "so it wrote nothing")
    if result.output_pending:
        return NotFound(f"there is no {channel} from {node} yet ({said})", "try again in a moment")
    return NotFound(
        f"no {channel} from {node} has arrived ({said})",
        "agents that are gone, or older than this version, may not deliver it",
    )
