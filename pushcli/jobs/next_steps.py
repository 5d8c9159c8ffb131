"""What to do next, as a line that can be pasted."""

from collections.abc import Iterable

from pushcli.escape import escape_line
from pushcli.jobs.model import JobView
from pushcli.jobs.named import SHORT
from pushcli.jobs.pages import EXTENSION
from pushcli.jobs.retry import CHOICES
from pushcli.terminal.context import App
from pushcli.terminal.pasting import same_server

_TROUBLED = ("failed", "crashed", "timed_out")


def retry_line(app: App, job: JobView) -> str | None:
    """How to run a job again where it failed; None: it failed nowhere."""
    nodes = [name for state in _TROUBLED for name in job.nodes.get(state, [])]
    if not nodes or not job.is_over:
        return None
    flags = [
        f" --{choice.replace('_', '-')}"
        for choice, states in CHOICES.items()
        if any(job.nodes.get(state) for state in states) and {*states} & {*_TROUBLED}
    ]
    whom = escape_line(nodes[0]) if len(nodes) == 1 else f"the {len(nodes)}"
    named = f"{_short(app, job.id)}{''.join(flags)}{same_server(app)}"
    return f"again for {whom}     pushcli job retry {named}"


def output_line(app: App, job: JobView, states: Iterable[str]) -> str:
    """How to see all that the nodes in these states wrote."""
    there = ",".join(state for state in states if job.nodes.get(state))
    chosen = f" --with-status {there}" if there else ""
    named = f"{_short(app, job.id)}{chosen}{same_server(app)}"
    return f"all that is kept     pushcli job output {named}"


def _short(app: App, job_id: str) -> str:
    """As much of the id as the server finds the job by."""
    return job_id[:SHORT] if EXTENSION in app.client.extensions else job_id
