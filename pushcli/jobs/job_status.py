"""`pushcli job status`: who started a job, what it was to run, and what became of its nodes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pushcli import durations
from pushcli.escape import escape_line
from pushcli.jobs.alike import Alike, alike
from pushcli.jobs.excerpts import FAILED, fetch_excerpts, print_excerpts
from pushcli.jobs.for_programs import job_as_data, result_as_data
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.named import SHORT
from pushcli.jobs.next_steps import output_line
from pushcli.jobs.outcome import outcome
from pushcli.jobs.pages import EXTENSION, ListedJob, page_of
from pushcli.jobs.results import node_results, unremarked
from pushcli.jobs.watch import look
from pushcli.jobs.wording import duration, mood, phase
from pushcli.protocol import limits
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App, is_terminal
from pushcli.terminal.fields import value_text
from pushcli.terminal.folding import fold
from pushcli.terminal.layout import wrapped
from pushcli.terminal.table import room, write_table

_HEADER = ("nodes", "state", "exit", "time", "why")
_LEAST = 20
"""Columns that names and reasons have at the least."""
_MOST_SIBLINGS = 12
_SHOWN = (
    "batch",
    "quorum",
    "requestor",
    "requestor_kind",
    "origin",
    "node_count",
    "ended_at",
    "duration",
)
"""What a page tells of a job, and `GET jobs/ID` does not."""


def show_status(app: App, job_id: str) -> None:
    """The job, and a row for the nodes that came to the same end; with `-V` one for each."""
    snapshot = look(app, job_id)
    listed = _listed(app, job_id)
    siblings = _siblings(app, listed[0]) if listed is not None else []
    results = node_results(app, snapshot.job)
    if not app.is_text:
        more = {} if listed is None else {k: listed[1][k] for k in _SHOWN if k in listed[1]}
        told = job_as_data({**snapshot.raw, **more})
        if siblings:
            told["batch_jobs"] = [job.id for job in siblings]
        app.emit({**told, "results": [*map(result_as_data, results)]})
        return
    results = unremarked(snapshot.job, results)
    for line in _head(app, snapshot.job, snapshot.raw, None if listed is None else listed[0]):
        app.print(line)
    if siblings:
        app.print(f"  {_batch(job_id, siblings)}")
    if app.options.verbose:
        rows = [_row(result.node, Alike([result])) for result in results]
    else:
        groups = alike(results)
        rows = [_row(_names([one.node for one in group.results]), group) for group in groups]
    _write(app, rows)
    if snapshot.job.is_over:
        found = fetch_excerpts(app, snapshot.job, results)
        if print_excerpts(app, results, found):
            app.remark(f"  {output_line(app, snapshot.job, FAILED)}")


def _listed(app: App, job_id: str) -> tuple[ListedJob, Mapping[str, Any]] | None:
    """The job as a page has it; None: this server has no pages."""
    if EXTENSION not in app.client.extensions:
        return None
    page = page_of(app.client.job_page({"id_prefix": job_id, "limit": "1"}))
    return (page.jobs[0], page.raw[0]) if page.jobs else None


def _siblings(app: App, job: ListedJob) -> list[ListedJob]:
    """The jobs of all batches, of which this is one, in the order of their start."""
    if job.batch is None:
        return []
    query = {"batch": job.batch, "limit": str(limits.MAX_JOBS)}
    return page_of(app.client.job_page(query)).jobs[::-1]


def _batch(job_id: str, siblings: Sequence[ListedJob]) -> str:
    """Which of the batches it is, and the others by their short ids."""
    ids = [job.id for job in siblings]
    place = ids.index(job_id) + 1 if job_id in ids else 0
    others = [job for job in siblings if job.id != job_id]
    named = ", ".join(f"{job.id[:SHORT]} ({outcome(job).text})" for job in others[:_MOST_SIBLINGS])
    more = len(others) - _MOST_SIBLINGS
    rest = f" and {more} more" if more > 0 else ""
    head = f"batch {place} of the {len(ids)} that were started" if place else "one of many batches"
    return f"{head}: {named}{rest}" if named else head


def _head(
    app: App, job: JobView, raw: Mapping[str, Any], listed: ListedJob | None
) -> Iterator[str]:
    yield f"Job {job.id}   {escape_line(job.command)}"
    stands = app.paint(_phase(job, listed), colour(mood(job)))
    yield "  " + ", ".join(filter(None, (stands, _by(listed))))
    yield f"  started {_when(job)}"
    yield "  " + ", ".join(filter(None, _terms(job, raw, listed)))
    if raw.get("env"):
        yield f"  env {value_text(raw['env'])}"


def _phase(job: JobView, listed: ListedJob | None) -> str:
    words = phase(job)
    words = words[0].lower() + words[1:]
    if not job.is_over:
        return words
    if job.status == "complete" and mood(job) != "succeeded":
        words = f"{words} with failures"
    took = None if listed is None else listed.duration
    return words if took is None else f"{words} in {_length(took)}"


def _by(listed: ListedJob | None) -> str:
    if listed is None or not listed.who:
        return ""
    origin = f" from {escape_line(listed.origin)}" if listed.origin else ""
    return f"by {escape_line(listed.who)}{origin}"


def _when(job: JobView) -> str:
    try:
        at = parse_rfc1123(job.created_at)
    except ValueError:
        return escape_line(job.created_at)
    return f"{durations.local(at)} ({durations.age(max(0.0, time.time() - at))} ago)"


def _terms(job: JobView, raw: Mapping[str, Any], listed: ListedJob | None) -> Iterator[str]:
    count = sum(job.counts.values())
    if listed is not None and listed.quorum is not None:
        few = listed.quorum > count
        of = f"nodes needed, {count} named" if few else f"of {count} nodes needed"
        yield f"{listed.quorum} {of}"
    else:
        yield "one node" if count == 1 else f"{count} nodes"
    timeout = raw.get("run_timeout")
    if isinstance(timeout, int | float):
        yield f"timeout {_length(timeout)}"
    if isinstance(raw.get("user"), str):
        yield f"as {escape_line(raw['user'])}"
    if isinstance(raw.get("dir"), str):
        yield f"in {escape_line(raw['dir'])}"
    if raw.get("file_specified"):
        yield "with a file"
    if job.capture_output:
        yield "captured"


def _length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 and seconds % 1 else durations.words(seconds)


def _names(nodes: Sequence[str]) -> str:
    names = fold(map(escape_line, nodes))
    return f"{names} ({len(nodes)})" if len(nodes) > 1 else names


def _row(names: str, group: Alike) -> tuple[str, ...]:
    code = "" if group.exit_code is None else str(group.exit_code)
    return names, escape_line(group.state), code, _times(group.results), group.why


def _times(alike: Sequence[NodeResult]) -> str:
    """How long the command ran: `3-14 s`."""
    took = sorted(
        max(0.0, result.ended_at - result.started_at)
        for result in alike
        if result.started_at is not None and result.ended_at is not None
    )
    if not took:
        return ""
    if len(took) == 1 or took[-1] < 1:
        return duration(alike[0]) if len(took) == 1 and len(alike) == 1 else f"{took[-1]:.1f} s"
    if took[-1] >= 120:
        shortest, longest = durations.words(took[0]), durations.words(took[-1])
        return longest if shortest == longest else f"{shortest} - {longest}"
    low, high = round(took[0]), round(took[-1])
    return f"{high} s" if low == high else f"{low}-{high} s"


def _write(app: App, rows: Sequence[tuple[str, ...]]) -> None:
    """A table; on a terminal long names and reasons go on below, and nothing is cut."""
    if not is_terminal(app.stdout) or app.is_wide:
        write_table(app, _HEADER, rows)
        return
    others = sum(
        max(len(_HEADER[place]), *(len(row[place]) for row in rows)) + 2 for place in (1, 2, 3)
    ) if rows else 0  # fmt: skip
    left = max(2 * _LEAST, room(app) - others - 2)
    why = max((len(row[4]) for row in rows), default=0)
    names = max(_LEAST, left - min(max(why, len("why")), left // 2))
    lines: list[tuple[str, ...]] = []
    tints: list[str] = []
    for row in rows:
        nodes = wrapped(row[0], names, ",")
        reasons = wrapped(row[4], max(_LEAST, left - names), " ")
        for number in range(max(len(nodes), len(reasons))):
            first = row[1:4] if number == 0 else ("", "", "")
            lines.append((_at(nodes, number), *first, _at(reasons, number)))
            tints.append(colour(row[1]))
    write_table(app, _HEADER, lines, tints={"state": tints}, right={"exit"})


def _at(lines: Sequence[str], number: int) -> str:
    return lines[number] if number < len(lines) else ""
