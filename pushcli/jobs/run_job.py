"""Starting a job, waiting for its end, and telling of it."""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pushcli.errors import OutputLost, PushcliError
from pushcli.exit_status import ExitStatus
from pushcli.jobs.fetch import fetch_outputs
from pushcli.jobs.folded import print_folded
from pushcli.jobs.for_programs import job_as_data, result_as_data
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.next_steps import retry_line, same_server
from pushcli.jobs.output import Outputs, as_data
from pushcli.jobs.progress import progress
from pushcli.jobs.results import never_ran, settled_results
from pushcli.jobs.verdict import verdict
from pushcli.jobs.watch import Snapshot, snapshots
from pushcli.jobs.wording import exceptions, mood, phase, summary, tally
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App


def start(app: App, request: Mapping[str, Any], *, bare: bool = False) -> str:
    """Have the server start the job; returns its id.

    Args:
        bare: print nothing but the id.
    """
    try:
        job_id = app.client.start_job(dict(request))
    except KeyboardInterrupt:
        app.note("INTERRUPTED: the job may have been started; check with `pushcli job list`")
        raise
    try:
        if bare and app.is_text:
            app.write(f"{job_id}\n")
        elif not app.quiet:
            (app.print if app.is_text else app.note)(f"Started.  Job ID: {job_id}")
    except (OutputLost, BrokenPipeError):
        app.note(f"UNWATCHED: pushcli job status {job_id}{same_server(app)}")
        raise
    return job_id


def wait(app: App, job_id: str, *, interval: float) -> Snapshot:
    """Show the job's progress until its end.

    Raises:
        KeyboardInterrupt: the operator left; he was told how to abort the job.
        PushcliError: the server refused, or was away for too long; he was told how to
            look at the job later.
    """
    last = None
    with _detaching():
        try:
            with progress(app) as display:
                for last in snapshots(app, job_id, interval=interval, note=display.note):
                    display.show(last.job)
        except KeyboardInterrupt:
            _leave(app, job_id, last)
            raise
        except PushcliError:
            app.note(f"UNWATCHED: pushcli job status {job_id}{same_server(app)}")
            raise
    assert last is not None  # noqa: S101 - the snapshots end with a final one
    return last


def _leave(app: App, job_id: str, last: Snapshot | None) -> None:
    """Nobody watches any more: say where the job stood and how to end it."""
    if last is not None:
        app.note(f"{phase(last.job)}: {tally(last.job)}")
    if last is None or not last.job.is_over:
        app.note(f"STILL RUNNING: pushcli job abort {job_id}{same_server(app)}")


@contextmanager
def _detaching() -> Iterator[None]:
    """SIGTERM leaves as Ctrl-C does, so that the terminal and the operator get their due."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def report(
    app: App, end: Snapshot, request: Mapping[str, Any], *,
    emit: Callable[[object], None] | None = None, is_told: bool = False,
) -> ExitStatus:  # fmt: skip
    """Tell how the job ended that was asked for, node by node in the order of its names.

    Args:
        emit: is given what programs are told; None: it is the whole answer.
        is_told: what its commands wrote was shown already.

    Raises:
        PushcliError: the server did not tell the rest; the job's end is printed all the same.
    """
    names: Sequence[str] = request["nodes"]
    needed: int = request.get("quorum", len(names))
    try:
        results = settled_results(app, end.job, names)
        outputs = {} if is_told else fetch_outputs(app, end.job, results)
    except PushcliError:
        (app.print if app.is_text else app.note)(summary(end.job, needed))
        raise
    if app.is_text:
        if not is_told:
            _print_outputs(app, end.job, results, outputs)
        _print_end(app, end.job, results, needed)
    else:
        rows = [{**result_as_data(r), **as_data(outputs.get(r.node, {}))} for r in results]
        (emit or app.emit)({**job_as_data(end.raw), "results": rows})
    return verdict(end.job)


def _print_outputs(
    app: App, job: JobView, results: Sequence[NodeResult], outputs: Mapping[str, Outputs]
) -> None:
    ran = [result for result in results if job.capture_output and not never_ran(result)]
    print_folded(app, ran, outputs)


def _print_end(app: App, job: JobView, results: Sequence[NodeResult], needed: int) -> None:
    app.print(app.paint(summary(job, needed), colour(mood(job))))
    for line in exceptions(results):
        app.print(f"  {line}")
    if (step := retry_line(app, job)) is not None:
        app.remark(f"  {step}")
