"""Looking at jobs that were started earlier, and ending them."""

import msgspec

from pushcli.client.answers import checked
from pushcli.errors import NotFound
from pushcli.escape import decode, escape_line
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.output import as_data
from pushcli.jobs.results import node_results
from pushcli.jobs.watch import look
from pushcli.jobs.wording import description, duration, exceptions, explain
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli.terminal.context import App
from pushcli.terminal.table import write_table


def show_status(app: App, job_id: str) -> None:
    """The job as the server tells of it, and what became of its nodes."""
    snapshot = look(app, job_id)
    results = node_results(app, snapshot.job)
    if not app.is_text:
        app.emit({**snapshot.raw, "results": msgspec.to_builtins(results)})
        return
    for line in description(snapshot.raw):
        app.print(line)
    if app.options.verbose:
        header = ("node", "state", "time", "why")
        write_table(app, header, [_row(result) for result in results])
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
        app.emit([raw[i] for i in order])
        return
    rows = [(j.id, j.status, j.created_at, j.command) for j in (jobs[i] for i in order)]
    write_table(app, ("id", "status", "created", "command"), rows)


def _created(job: JobView) -> float:
    try:
        return parse_rfc1123(job.created_at)
    except ValueError:
        return 0.0


def show_output(app: App, job_id: str, node: str, channel: str, *, raw: bool) -> None:
    """One channel of one node.

    Raises:
        NotFound: there is no such job or node in it, or nothing was captured.
    """
    try:
        data = app.client.job_output(job_id, node, channel)
    except NotFound as error:
        raise NotFound(
            f"job {job_id} has no {channel} from {node}",
            "was it started with --capture, and did the command run there?",
        ) from error
    if raw:
        app.write_bytes(data)
    elif app.is_text:
        app.write(decode(data))
    else:
        app.emit({"id": job_id, "node": node, **as_data({channel: data})})


def abort(app: App, job_id: str) -> None:
    """End a job; one that is over already stays as it is."""
    status = app.client.abort_job(job_id)
    if not app.is_text:
        app.emit({"id": job_id, "status": status})
    elif status == "aborted":
        app.print("Aborted.")
    else:
        app.print(f"Not aborted: the job was already over ({escape_line(status)}).")
