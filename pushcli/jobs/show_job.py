"""Looking at jobs that were started earlier, and ending them."""

from pushcli.client.answers import checked
from pushcli.errors import NotFound
from pushcli.escape import decode, escape_line
from pushcli.jobs.for_programs import job_as_data, result_as_data
from pushcli.jobs.model import PENDING, JobView, NodeResult
from pushcli.jobs.output import as_data
from pushcli.jobs.results import never_ran, node_results
from pushcli.jobs.watch import look
from pushcli.jobs.wording import description, duration, exceptions, explain
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli.terminal.context import App
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


def show_output(app: App, job_id: str, node: str, channel: str, *, raw: bool) -> None:
    """One channel of one node, and beside it what is missing of it.

    Raises:
        NotFound: there is no such job or node in it, or nothing was captured; the text says which.
    """
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


def _why_none(app: App, job_id: str, node: str, channel: str) -> NotFound:
    """Why there is no output of this node."""
    try:
        job = look(app, job_id).job
    except NotFound:
        return NotFound(f"there is no job {job_id}", "see `pushcli job list`")
    if not job.capture_output:
        return NotFound(
            f"job {job_id} keeps no output", "start it with --capture to see what it writes"
        )
    found = [result for result in node_results(app, job) if result.node == node]
    if not found:
        return NotFound(f"job {job_id} has no node {node}", f"see `pushcli job status {job_id}`")
    [result] = found
    words = ", ".join(filter(None, (escape_line(result.state), explain(result))))
    if result.state in PENDING and not job.is_over:
        return NotFound(
            f"there is no {channel} from {node} yet ({words})",
            "it comes when the command has ended",
        )
    if never_ran(result):
        return NotFound(f"the command did not run on {node} ({words})", "so it wrote nothing")
    if result.output_pending:
        return NotFound(f"there is no {channel} from {node} yet ({words})", "try again in a moment")
    return NotFound(
        f"no {channel} from {node} has arrived ({words})",
        "agents that are gone, or older than this version, may not deliver it",
    )


def abort(app: App, job_id: str) -> None:
    """End a job; one that is over already stays as it is."""
    status = app.client.abort_job(job_id)
    if not app.is_text:
        app.emit({"id": job_id, "status": status})
    elif status == "aborted":
        app.print("Aborted.")
    else:
        app.print(f"Not aborted: the job was already over ({escape_line(status)}).")
