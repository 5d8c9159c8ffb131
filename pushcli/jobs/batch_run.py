"""Running the batches of a job one after the other, and telling what is left."""

import secrets
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pushcli.errors import ConnectionLost, OutputLost, PushcliError
from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.jobs import run_job
from pushcli.jobs.batches import Course, quorum_of_batch
from pushcli.jobs.job_request import job_request
from pushcli.jobs.tracker import Tracker
from pushcli.protocol.run import RunSpec
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.formats import Format
from pushcli.terminal.pasting import same_server

if TYPE_CHECKING:
    from pushcli.jobs.starting import How

_IN_DOUBT = (KeyboardInterrupt, ConnectionLost, OutputLost, BrokenPipeError)
"""What may end the start of a job that was started all the same."""


def run_batches(app: App, run: RunSpec, course: Course, how: "How") -> ExitStatus:
    """Start a job for each batch, and watch it to its end; stop where the course says so.

    Whoever is interrupted is told what ran, what did not, and how to run it.

    Raises:
        KeyboardInterrupt: the operator left.
        PushcliError: the server refused a batch, or did not tell of its end.
    """
    batch_id = secrets.token_hex(16)
    requests = [_request(run, batch, course, how, batch_id) for batch in course.batches]
    ended: list[object] = []
    emit = app.emit if app.options.format is Format.NDJSON else ended.append
    started = in_doubt = False
    try:
        while (nodes := course.next) is not None:
            started = in_doubt = False
            if course.done and how.batch_wait:
                app.remark(f"Waiting for {how.batch_wait:g} s ...")
                app.sleep(how.batch_wait)
            app.remark(f"Batch {course.done + 1} of {len(course.batches)}: {_named(nodes)}")
            request = requests[course.done]
            try:
                job_id = run_job.start(app, request)
            except _IN_DOUBT:
                in_doubt = True
                raise
            started = True
            end = run_job.wait(
                app, job_id, Tracker(nodes, command=run.command), interval=how.poll_interval,
                on_interrupt=how.on_interrupt,
            )  # fmt: skip
            course = course.after(end.job)
            started = False
            run_job.report(app, end, request, emit=emit)
    except (KeyboardInterrupt, PushcliError, BrokenPipeError):
        _print_rest(app, course, how, started=started, in_doubt=in_doubt)
        raise
    _print_end(app, course, how, batch_id, ended)
    return course.worst


def _request(
    run: RunSpec, nodes: Sequence[str], course: Course, how: "How", batch_id: str
) -> dict[str, object]:
    quorum = quorum_of_batch(how.quorum, len(nodes), len(course.batches[0]))
    return job_request(run, nodes, quorum=quorum, batch=batch_id)


def _print_end(app: App, course: Course, how: "How", batch_id: str, ended: list[object]) -> None:
    if not app.is_text:
        whole: dict[str, Any] = {"batch": batch_id, "not_started": course.rest()}
        if app.options.format is not Format.NDJSON:
            whole["jobs"] = ended
        app.emit(whole)
    else:
        tally = ", ".join(f"{count} {escape_line(state)}" for state, count in course.counts)
        app.print(f"{course.done} of {len(course.batches)} batches ran.  {tally}".rstrip())
    if course.stopped:
        app.note(f"Stopped after batch {course.done}: {course.stopped}")
        _print_rest(app, course, how)


def _print_rest(
    app: App, course: Course, how: "How", *, started: bool = False, in_doubt: bool = False
) -> None:
    """What ran, what did not, and the command that runs it."""
    if ran := course.ran():
        app.note(f"  ran            {_named(ran)}")
    if started or in_doubt:
        what = "started        " if started else "perhaps started "
        app.note(f"  {what}{_named(course.batches[course.done])}")
    rest = course.rest(skipped=int(started or in_doubt))
    if not rest:
        return
    app.note(f"  not started    {_named(rest)}")
    words = [*how.typed, "--batch", str(len(course.batches[0]))]
    if course.most_failures is not None:
        words += ["--max-failures", str(course.most_failures)]
    nodes = fold(rest)
    dashes = "-- " if nodes.startswith("-") else ""
    command = f"{shlex.join(words)}{same_server(app)} {dashes}{shlex.quote(nodes)}"
    app.note(f"  for the rest   {escape_line(command)}")


def _named(nodes: Sequence[str]) -> str:
    folded = fold(map(escape_line, nodes))
    return folded if len(nodes) == 1 else f"{folded} ({len(nodes)})"
