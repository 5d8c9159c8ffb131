"""Looking at jobs that were started earlier, and ending them."""

from pushcli.client.answers import checked
from pushcli.errors import NotFound, PermissionDenied, ServerError
from pushcli.escape import escape_line
from pushcli.jobs.for_programs import job_as_data, result_as_data
from pushcli.jobs.model import PENDING, JobView, NodeResult
from pushcli.jobs.results import node_results
from pushcli.jobs.watch import look
from pushcli.jobs.wording import description, duration, exceptions, explain
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.table import write_table
from pushcli.terminal.times import times_column


def show_status(app: App, job_id: str) -> None:
    """The job as the server tells of it, and what became of its nodes."""
    snapshot = look(app, job_id)
    results = node_results(app, snapshot.job)
    if not app.is_text:
        app.emit({**job_as_data(snapshot.raw), "results": [*map(result_as_data, results)]})
        return
    for line in description(snapshot.raw):
        app.print(line)
    if app.options.verbose:
        header = ("node", "state", "time", "why")
        write_table(app, header, [_row(result) for result in results], cut={"why": 8})
        return
    for line in exceptions(results, only_explained=True):
        app.print(line)


def _row(result: NodeResult) -> tuple[str, str, str, str]:
    return result.node, result.state, duration(result), explain(result)


def show_list(app: App) -> None:
    """All jobs, the newest first."""
    raw = app.client.jobs()
    jobs = checked(raw, list[JobView])
    # The old server lists them in no order; ours the oldest first, to the microsecond.
    order = sorted(range(len(jobs)), key=lambda i: (_created(jobs[i]), i), reverse=True)
    if not app.is_text:
        app.emit([job_as_data(raw[i]) for i in order])
        return
    when = times_column(app, "created")
    rows = [(j.id, j.status, when.text(_created(j)), j.command) for j in (jobs[i] for i in order)]
    write_table(app, ("id", "status", when.title, "command"), rows, cut={"command": 8})


def _created(job: JobView) -> float:
    try:
        return parse_rfc1123(job.created_at)
    except ValueError:
        return 0.0


def abort(app: App, job_id: str) -> None:
    """End a job; one that is over already stays as it is.

    The server counts nodes as aborted at once. One that is out of contact hears of it when it is
    back: until then its command may run, which is said.
    """
    before = _before(app, job_id)
    status = app.client.abort_job(job_id)
    was_over = before is not None and before[0].is_over
    lost = [
        result.node
        for result in (before[1] if before is not None and status == "aborted" else [])
        if result.out_of_contact and result.state in PENDING
    ]
    if not app.is_text:
        app.emit({"id": job_id, "status": status, **({"unconfirmed": lost} if lost else {})})
    elif status != "aborted" or was_over:
        app.print(f"Not aborted: the job was already over ({escape_line(status)}).")
    else:
        app.print("Aborted.")
    if lost and app.is_text:
        app.note(
            f"NOT CONFIRMED by {fold(lost)}, out of contact: the command may run on there until "
            "the node is back"
        )


def _before(app: App, job_id: str) -> tuple[JobView, list[NodeResult]] | None:
    """The job as it was; None: whoever may abort it may not read it, or the server cannot tell."""
    try:
        job = look(app, job_id).job
        return job, [] if job.is_over else node_results(app, job)
    except (NotFound, PermissionDenied, ServerError):
        return None
