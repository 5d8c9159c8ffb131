"""`pushcli job output`: what the commands of an earlier job wrote, shown, as bytes or in files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pushcli import durations
from pushcli.client import foreign
from pushcli.errors import NotFound, PermissionDenied
from pushcli.escape import decode, escape_line
from pushcli.jobs.fetch import fetch_outputs, unfetched
from pushcli.jobs.folded import print_folded
from pushcli.jobs.follow import EXTENSION, follow
from pushcli.jobs.grep import Grep
from pushcli.jobs.model import PENDING, JobView, NodeResult
from pushcli.jobs.output import Outputs, as_data
from pushcli.jobs.output_files import save
from pushcli.jobs.results import never_ran, node_results
from pushcli.jobs.watch import look
from pushcli.jobs.wording import words
from pushcli.protocol.run_wire import DEFAULT_CAPTURE
from pushcli.terminal.context import App
from pushcli.terminal.pasting import same_server

if TYPE_CHECKING:
    from pushcli.client.api import MarkedOutput


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a job's output is meant.

    Args:
        nodes: of the job; none: all of it.
        grep: only lines that match, of nodes that have any.
    """

    job: JobView
    nodes: Sequence[str]
    channels: Sequence[str]
    grep: Grep | None = None


def find_job(app: App, job_id: str) -> JobView:
    """The job, whose output is to be shown.

    Raises:
        NotFound: there is none.
    """
    try:
        return look(app, job_id).job
    except NotFound:
        raise NotFound(f"there is no job {job_id}", "see `pushcli job list`") from None


def show_output(app: App, wanted: Wanted, *, raw: bool) -> None:
    """What the nodes wrote, each distinct output once.

    Raises:
        NotFound: there is nothing to show; the text says why.
    """
    results, outputs = collect(app, wanted)
    if raw:
        for result in results:
            for content in outputs[result.node].values():
                app.write_bytes(content)
    elif app.is_text:
        print_folded(app, results, outputs, wanted.channels)
        if wanted.grep is not None:
            app.print(f"{len(results)} of {_count(wanted)} match")
    else:
        app.emit([_row(wanted.job.id, result, outputs[result.node]) for result in results])


def save_output(app: App, wanted: Wanted, directory: Path) -> None:
    """The same in files, `DIRECTORY/NODE/CHANNEL`, byte for byte.

    Raises:
        NotFound: there is nothing to save; the text says why.
        UsageError: a file cannot be written.
    """
    results, outputs = collect(app, wanted)
    for result in results:
        save(directory, result.node, outputs[result.node])
    files = sum(len(outputs[result.node]) for result in results)
    if app.is_text:
        app.print(f"{files} files of {len(results)} nodes in {escape_line(str(directory))}")
    else:
        saved = {result.node: sorted(outputs[result.node]) for result in results}
        app.emit({"id": wanted.job.id, "directory": str(directory), "nodes": saved})


def follow_output(app: App, wanted: Wanted) -> None:
    """What the commands write, line by line while they write it, until the job is over.

    Raises:
        NotFound: the job keeps no output, or nothing matches.
        UsageError: the server cannot tell it.
    """
    _require_captured(app, wanted.job)
    if EXTENSION not in app.client.extensions:
        what = "tell output while it is written"
        raise foreign.cannot(app.client.extensions, what, "leave out --follow")
    if wanted.job.is_over:
        chosen = _chosen(app, wanted)
        if not any(_is_kept(one) for one in chosen):
            _require_kept(wanted.job, chosen)
    try:
        count = follow(app, wanted.job.id, wanted.nodes, wanted.channels, wanted.grep)
    except NotFound as error:
        raise _not_captured(wanted.job) from error
    if wanted.grep is not None and not count:
        raise _no_match(wanted, wanted.grep)


def collect(app: App, wanted: Wanted) -> tuple[list[NodeResult], dict[str, Outputs]]:
    """Those of the nodes that wrote, in the order of the job, and what, by channel.

    Raises:
        NotFound: none did, or nothing matches; the text says why.
    """
    job, channels = wanted.job, wanted.channels
    _require_captured(app, job)
    try:
        chosen = _chosen(app, wanted)
        found = fetch_outputs(app, job, chosen, channels)
    except KeyboardInterrupt as interrupt:
        app.note(f"INTERRUPTED: {unfetched(interrupt)}:")
        app.note(f"  pushcli job output {job.id}{same_server(app)}")
        raise
    wrote = [one for one in chosen if _is_there(one, found.get(one.node, {}), channels)]
    if not wrote:
        _require_readable(job, chosen)
        if job.is_over and not job.capture_output:
            _require_kept(job, chosen)
            raise _not_captured(job)
        if len(chosen) == 1:
            raise _why_not(job, chosen[0], " or ".join(channels))
        _require_kept(job, chosen)
        raise NotFound(
            f"no output of these {len(chosen)} nodes of job {job.id} is there",
            f"see `pushcli job status {job.id}`",
        )
    if wanted.grep is not None:
        found = {result.node: wanted.grep.only(found[result.node]) for result in wrote}
        wrote = [result for result in wrote if found[result.node]]
        if not wrote:
            raise _no_match(wanted, wanted.grep)
    return wrote, found


def _chosen(app: App, wanted: Wanted) -> list[NodeResult]:
    nodes = frozenset(wanted.nodes)
    results = node_results(app, wanted.job)
    return [result for result in results if not nodes or result.node in nodes]


def _is_there(result: NodeResult, outputs: Outputs, channels: Sequence[str]) -> bool:
    """Whether anything is there: beside what was deleted an empty channel is nothing."""
    is_gone = result.output_deleted_at is not None and len(outputs) < len(channels)
    return any(outputs.values()) if is_gone else bool(outputs)


def _is_kept(result: NodeResult) -> bool:
    """Whether there is something to be read: of nothing there is nothing to delete."""
    return bool(
        (result.stdout_digest and result.stdout_size)
        or (result.stderr_digest and result.stderr_size)
    )


def _no_match(wanted: Wanted, grep: Grep) -> NotFound:
    return NotFound(f"no line of {_count(wanted)} matches {grep.expression!r}")


def _count(wanted: Wanted) -> str:
    count = len(wanted.nodes) or sum(wanted.job.counts.values())
    return "1 node" if count == 1 else f"{count:,} nodes"


def _row(job_id: str, result: NodeResult, outputs: Outputs) -> dict[str, object]:
    dropped = {"stdout": result.stdout_dropped, "stderr": result.stderr_dropped}
    missing = sum(dropped[channel] for channel in outputs)
    shown = _marks(partial=result.partial, dropped=missing)
    return {"id": job_id, "node": result.node, **as_data(outputs), **shown}


def _marks(*, partial: bool, dropped: int) -> dict[str, object]:
    return {key: value for key, value in (("partial", partial), ("dropped", dropped)) if value}


def show_one(app: App, job: JobView, node: str, channel: str, *, raw: bool) -> None:
    """One channel of one of the job's nodes as it is, and beside it what is missing of it.

    Raises:
        NotFound: there is nothing to show; the text says why.
    """
    try:
        output = app.client.job_output_marked(job.id, node, channel)
    except NotFound as error:
        raise _why_none(app, job, node, channel) from error
    if raw:
        app.write_bytes(output.data)
    elif app.is_text:
        app.write(decode(output.data))
    else:
        shown = _marks(partial=output.partial, dropped=output.dropped)
        if output.dropped and output.cut_at is not None:
            shown["cut_at"] = output.cut_at
        app.emit({"id": job.id, "node": node, **as_data({channel: output.data}), **shown})
    if app.is_text and not output.data:
        _note_other_channel(app, job, node, channel)
    if output.partial:
        app.note("PARTIAL: the command was cut short; this is what it wrote until then")
    if output.dropped:
        app.note(f"CUT: {output.dropped:,} more bytes were not kept{_place(output)}")


def _note_other_channel(app: App, job: JobView, node: str, channel: str) -> None:
    """Where to look, if the command wrote to the other channel alone."""
    other = "stdout" if channel == "stderr" else "stderr"
    for result in node_results(app, job):
        size = result.stdout_size if other == "stdout" else result.stderr_size
        if result.node == node and size:
            app.note(f"No {channel}, but {size:,} bytes of {other}: --channel {other} prints them")


def _place(output: "MarkedOutput") -> str:
    """Where in what was kept they are missing."""
    at = output.cut_at
    if at is None or at > len(output.data):
        return ""
    line = output.data[:at].count(b"\n") + 1
    return f", from line {line:,} (byte {at:,}) on"


def _why_none(app: App, job: JobView, node: str, channel: str) -> NotFound:
    """Why there is no output of this node."""
    _require_captured(app, job)
    results = node_results(app, job)
    found = [result for result in results if result.node == node]
    if job.is_over and not job.capture_output and not any(map(_has_output, results)):
        return _not_captured(job)
    if found:
        return _why_not(job, found[0], channel)
    return NotFound(f"job {job.id} has no node {node}", f"see `pushcli job status {job.id}`")


def _not_captured(job: JobView) -> NotFound:
    if job.status == "quorum_failed":
        return NotFound(
            f"job {job.id} ran on no node: its quorum failed",
            f"`pushcli job status {job.id}` says why",
        )
    return NotFound(
        f"job {job.id} keeps no output",
        "start it with --capture to see what it writes, unless its entry says capture = false",
    )


def _require_captured(app: App, job: JobView) -> None:
    """The job's output may have been kept.

    Raises:
        NotFound: it was not.
    """
    if not job.capture_output and DEFAULT_CAPTURE not in app.client.extensions:
        raise _not_captured(job)


def _has_output(result: NodeResult) -> bool:
    return result.stdout_size is not None or result.stderr_size is not None


def _require_readable(job: JobView, results: Sequence[NodeResult]) -> None:
    """What they wrote is for who asks, if anything was kept.

    Raises:
        PermissionDenied: it is not.
    """
    if any(result.output_hidden for result in results):
        raise PermissionDenied(
            f"what job {job.id} wrote is for who started it, and administrators",
            "ask one of them, or to be in the group pushy_job_readers",
        )


def _require_kept(job: JobView, results: Sequence[NodeResult]) -> None:
    """None of them is without its output because it was deleted.

    Raises:
        NotFound: it was.
    """
    for result in results:
        if result.output_deleted_at is not None:
            raise _deleted(job, result, result.output_deleted_at)


def _deleted(job: JobView, result: NodeResult, at: float) -> NotFound:
    ended = result.ended_at
    when = f"at {durations.local(at)}" if ended is None else f"after {durations.age(at - ended)}"
    because = f" ({escape_line(result.output_deleted_by)})" if result.output_deleted_by else ""
    return NotFound(
        f"the output of job {job.id} was deleted {when}{because}",
        "how long output is kept is set in the server's server.toml",
    )


def _why_not(job: JobView, result: NodeResult, channel: str) -> NotFound:
    node, said = escape_line(result.node), words(result)
    if result.state in PENDING and not job.is_over:
        return NotFound(
            f"there is no {channel} from {node} yet ({said})",
            "it comes when the command has ended",
        )
    if never_ran(result):
        return NotFound(f"the command did not run on {node} ({said})", "so it wrote nothing")
    if result.output_deleted_at is not None:
        return _deleted(job, result, result.output_deleted_at)
    if result.output_pending:
        return NotFound(f"there is no {channel} from {node} yet ({said})", "try again in a moment")
    return NotFound(
        f"no {channel} from {node} has arrived ({said})",
        "agents that are gone or old may not deliver it; its entry may say capture = false",
    )
