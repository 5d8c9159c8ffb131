"""Starting a job, waiting for its end, and telling of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pushcli.errors import OutputLost, PushcliError
from pushcli.exit_status import ExitStatus
from pushcli.jobs.abort import ABORTING, Abort, confirm, remarks
from pushcli.jobs.at_once import Interrupted
from pushcli.jobs.excerpts import FAILED, Excerpts, fetch_excerpts, print_excerpts
from pushcli.jobs.fetch import fetch_outputs, unfetched
from pushcli.jobs.folded import print_folded
from pushcli.jobs.for_programs import job_as_data, line_head, result_as_data
from pushcli.jobs.interrupts import Decision, OnInterrupt, as_interrupts, decide
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.next_steps import output_line, retry_line
from pushcli.jobs.output import as_data
from pushcli.jobs.progress import Progress, progress
from pushcli.jobs.results import never_ran, settled_results, unremarked
from pushcli.jobs.tracker import Tracker
from pushcli.jobs.troubles import exceptions
from pushcli.jobs.verdict import verdict
from pushcli.jobs.watch import Snapshot, Watcher
from pushcli.jobs.wording import interrupted, mood, phase, summary, tally
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App
from pushcli.terminal.formats import Format
from pushcli.terminal.pasting import same_server
from pushcli.terminal.table import hung

if TYPE_CHECKING:
    from pushcli.jobs.live import LiveDisplay


def start(app: App, request: Mapping[str, Any], *, bare: bool = False) -> str:
    """Have the server start the job; returns its id.

    Args:
        bare: print nothing but the id.
    """
    try:
        job_id = app.client.start_job(dict(request))
    except KeyboardInterrupt:
        app.note("INTERRUPTED: the request was sent, and the job may have started:")
        app.note(f"  pushcli job list --by me --since 10m{same_server(app)}")
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


def wait(
    app: App, job_id: str, tracker: Tracker, *, interval: float,
    on_interrupt: OnInterrupt = OnInterrupt.ASK, default: Decision = Decision.ABORT,
    is_new: bool = True, quietly: bool = False, beside_output: bool = False,
    below: "LiveDisplay | None" = None,
) -> Snapshot:  # fmt: skip
    """Show the job's progress until its end.

    Args:
        tracker: of the job, with what is known of it.
        on_interrupt: what becomes of the job at Ctrl-C.
        default: the answer where that is asked and only Enter is pressed.
        is_new: whether the job begins now.
        quietly: nothing is shown but what keeps us from watching.
        beside_output: output is printed meanwhile.
        below: the display that it is written above; None: there is to be none beside it.

    Raises:
        KeyboardInterrupt: the operator left; he was told how to abort the job.
        PushcliError: the server refused, or was away for too long; he was told how to
            look at the job later.
    """
    shown = progress(
        app, job_id, is_new=is_new, quietly=quietly, beside_output=beside_output, below=below
    )
    with as_interrupts(), shown as display:
        watcher = Watcher(app, job_id, tracker, interval=interval, note=display.note)
        is_over = _over(watcher, display)
        aborted: Abort | None = None
        while True:
            try:
                end = _until_over(watcher, display)
                if aborted is not None:
                    display.clear()
                    _confirm(app, aborted)
            except KeyboardInterrupt as interrupt:
                display.clear()
                if aborted is not None:
                    _leave(app, job_id, tracker)
                    raise
                question = interrupted(tracker, job_id, tracker.command, tracker.unfinished)
                can_abort = ABORTING in app.client.extensions
                match decide(
                    app, on_interrupt, interrupt, question, is_over, default, can_abort=can_abort
                ):
                    case Decision.DETACH:
                        _leave(app, job_id, tracker)
                        raise
                    case Decision.ABORT:
                        aborted = _abort(app, watcher, job_id)
            except PushcliError:
                display.clear()
                app.note(f"UNWATCHED: pushcli job status {job_id}{same_server(app)}")
                raise
            else:
                return end


def _until_over(watcher: Watcher, display: Progress) -> Snapshot:
    while watcher.end is None:
        display.receive(watcher.step())
        display.show(watcher.tracker)
    return watcher.end


def _over(watcher: Watcher, display: Progress) -> Callable[[], bool]:
    """A check of whether the job ended meanwhile; what its feed tells is noted."""

    def is_over() -> bool:
        try:
            display.receive(watcher.step())
        except PushcliError:
            # It is met again, and told, once he has decided.
            return False
        return watcher.end is not None

    return is_over


def _abort(app: App, watcher: Watcher, job_id: str) -> Abort | None:
    """Have the server end the job, unless it is over; a second Ctrl-C meanwhile leaves at once."""
    if watcher.end is not None:
        return None
    app.note("Aborting ...")
    try:
        status = app.client.abort_job(job_id)
    except KeyboardInterrupt:
        _leave(app, job_id, watcher.tracker)
        raise
    except PushcliError:
        _leave(app, job_id, watcher.tracker)
        raise
    tracker = watcher.tracker
    before = [
        tracker.results.get(node) or NodeResult(node=node, state=tracker.states[node])
        for node in tracker.unfinished
    ]
    return Abort(job_id=job_id, status=status, before=before)


def _confirm(app: App, aborted: Abort) -> None:
    """Wait a little until the nodes, too, say that the command has ended; name those that do not.

    The server counts them as aborted at once.
    """
    if not aborted.is_aborted:
        return
    try:
        confirm(app, [aborted])
    finally:
        for remark in remarks(aborted):
            app.note(remark)


def _leave(app: App, job_id: str, tracker: Tracker) -> None:
    """Nobody watches any more: say where the job stood, how to end it and how to come back."""
    if tracker.is_over:
        return
    app.note(f"{phase(tracker)}: {tally(tracker)}")
    same = same_server(app)
    if ABORTING in app.client.extensions:
        app.note(f"STILL RUNNING: pushcli job abort {job_id}{same}")
    else:
        app.note("STILL RUNNING: aborting it is not offered here")
    app.note(f"  to watch it: pushcli job watch {job_id}{same}")


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
        found = _outputs(app, end.job, results, is_told=is_told)
    except KeyboardInterrupt as interrupt:
        app.note(summary(end.job, needed))
        what = "output" if isinstance(interrupt, Interrupted) else "status"
        app.note(f"INTERRUPTED: the job is over; {unfetched(interrupt)}:")
        app.note(f"  pushcli job {what} {end.job.id}{same_server(app)}")
        raise
    except PushcliError:
        (app.print if app.is_text else app.note)(summary(end.job, needed))
        raise
    if app.is_text:
        is_more = not is_told and _print_outputs(app, end.job, results, found)
        _print_end(app, end.job, unremarked(end.job, results), needed)
        if is_more:
            app.remark(f"  {output_line(app, end.job, FAILED)}")
    else:
        rows = [{**result_as_data(r), **as_data(found.outputs.get(r.node, {}))} for r in results]
        # After the events: the last line is of another kind.
        kind = line_head("end", end.job.id) if app.options.format is Format.NDJSON else {}
        (emit or app.emit)({**kind, **job_as_data(end.raw), "results": rows})
    return verdict(end.job)


def _outputs(app: App, job: JobView, results: Sequence[NodeResult], *, is_told: bool) -> Excerpts:
    """All that the nodes wrote, if somebody asked for it, or what is worth a look."""
    if is_told:
        return Excerpts({})
    if job.capture_output:
        return Excerpts(fetch_outputs(app, job, results))
    return fetch_excerpts(app, job, results)


def _print_outputs(app: App, job: JobView, results: Sequence[NodeResult], found: Excerpts) -> bool:
    """Gives whether there is more to be seen."""
    if not job.capture_output:
        return print_excerpts(app, results, found)
    print_folded(app, [r for r in results if not never_ran(r)], found.outputs)
    return False


def _print_end(app: App, job: JobView, results: Sequence[NodeResult], needed: int) -> None:
    app.print(app.paint(summary(job, needed), colour(mood(job))))
    for line in exceptions(results, whole=bool(app.options.verbose)):
        for part in hung(app, line, 2):
            app.print(part)
    if (step := retry_line(app, job)) is not None:
        app.remark(f"  {step}")
