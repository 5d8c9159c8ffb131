"""Coming back to a job that runs already: to watch it, or only to wait for its end."""

from pushcli.exit_status import ExitStatus
from pushcli.jobs import run_job
from pushcli.jobs.interrupts import Decision, OnInterrupt
from pushcli.jobs.tracker import Tracker
from pushcli.jobs.verdict import verdict
from pushcli.jobs.watch import Snapshot, look
from pushcli.protocol.names import by_number
from pushcli.terminal.context import App


def watch(app: App, job_id: str, *, interval: float, on_interrupt: OnInterrupt) -> ExitStatus:
    """Show a job to its end, and tell how it ended."""
    tracker, end = _joined(app, job_id)
    if end is None:
        # Somebody else's job is not ended by pressing Enter.
        end = run_job.wait(
            app, job_id, tracker, interval=interval, on_interrupt=on_interrupt,
            default=Decision.DETACH, is_new=False,
        )  # fmt: skip
    names = sorted(tracker.states, key=by_number)
    quorum = {} if tracker.quorum is None else {"quorum": tracker.quorum}
    return run_job.report(app, end, {"nodes": names, **quorum})


def wait(app: App, job_id: str, *, interval: float, quietly: bool = True) -> ExitStatus:
    """Until a job is over; how it ended is told by the exit status alone.

    Args:
        quietly: its progress is not shown either.
    """
    tracker, end = _joined(app, job_id)
    if end is None:
        end = run_job.wait(
            app, job_id, tracker, interval=interval, on_interrupt=OnInterrupt.DETACH,
            is_new=False, quietly=quietly,
        )  # fmt: skip
    return verdict(end.job)


def _joined(app: App, job_id: str) -> tuple[Tracker, Snapshot | None]:
    """The job as it is now, and its end if it is over."""
    snapshot = look(app, job_id)
    tracker = Tracker(command=snapshot.job.command)
    tracker.update(snapshot.job)
    return tracker, snapshot if snapshot.job.is_over else None
