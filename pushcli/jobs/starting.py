"""From what is to be run, and on which nodes, to an exit status."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import msgspec

from pushcli.errors import UsageError
from pushcli.exit_status import ExitStatus
from pushcli.jobs.interrupts import OnInterrupt, before_start
from pushcli.protocol.run import RunSpec
from pushcli.terminal.context import App


@dataclass(frozen=True, kw_only=True)
class How:
    """How the operator wants to start a job, and what he wants to see of it.

    Args:
        quorum: a number or a percentage, as typed.
        nowait: return as soon as it is started.
        dry_run: ask the nodes, and start nothing.
        poll_interval: the longest pause between two looks at the job, in seconds.
        on_interrupt: what Ctrl-C does to the job.
        follow: what the command writes is shown while it writes it.
        quiet: results and errors only.
        timestamps: lines begin with the time at which they are printed.
        batch: nodes of a batch, as a number or a percentage; None: all at once.
        batch_wait: seconds between two batches.
        max_failures: nodes that may fail before no other batch starts, likewise; None: all.
        typed: the command that was typed, without its nodes, and without what may be a
            percentage of them.
    """

    quorum: str | None = None
    nowait: bool = False
    dry_run: bool = False
    poll_interval: float = 1.0
    on_interrupt: OnInterrupt = OnInterrupt.ASK
    follow: bool = False
    quiet: bool = False
    timestamps: bool = False
    batch: str | None = None
    batch_wait: float = 0.0
    max_failures: str | None = None
    typed: tuple[str, ...] = ()

    def require_sense(self, app: App) -> None:
        """Refuse what goes ill together, before anything is read or asked.

        Raises:
            UsageError: it does.
        """
        if self.follow:
            from pushcli.jobs.follow import require_lines  # noqa: PLC0415

            require_lines(app)
        if self.batch is None and (self.batch_wait or self.max_failures is not None):
            raise UsageError(
                "--batch-wait and --max-failures are about batches", "give --batch too"
            )
        if self.batch is not None and self.nowait:
            raise UsageError("--batch waits for each batch", "leave out --nowait")
        if self.follow and (self.batch is not None or self.nowait):
            raise UsageError(
                "--follow follows one job to its end", "leave out --batch and --nowait"
            )

    def apply(self, app: App) -> None:
        """Have the rest of this run of the program print as wanted."""
        app.quiet, app.timestamps = self.quiet, self.timestamps


def carry_out(
    app: App, run: RunSpec, nodes: Sequence[str], how: How, *, everything: bool = False
) -> ExitStatus:
    """Start the job, watch it and tell of its end, as far as that is wanted.

    Args:
        everything: the nodes are all that there are.

    Raises:
        UsageError: it cannot be, or the operator did not confirm it.
        PushcliError: the server refused, or did not answer.
    """
    # Whoever only asks how a job is started need not wait for what starts one.
    from pushcli.jobs import run_job  # noqa: PLC0415
    from pushcli.jobs.batch_run import run_batches  # noqa: PLC0415
    from pushcli.jobs.batches import course  # noqa: PLC0415
    from pushcli.jobs.confirming import require_confirmation  # noqa: PLC0415
    from pushcli.jobs.dry_run import dry_run  # noqa: PLC0415
    from pushcli.jobs.follow import following  # noqa: PLC0415
    from pushcli.jobs.job_request import job_request  # noqa: PLC0415
    from pushcli.jobs.live import shared_display  # noqa: PLC0415
    from pushcli.jobs.tracker import Tracker  # noqa: PLC0415

    if how.follow:
        run = msgspec.structs.replace(run, capture=True, default_capture=False)
    request = job_request(run, nodes, quorum=how.quorum)
    with before_start(app):
        if how.dry_run:
            return dry_run(app, request)
        require_confirmation(app, len(nodes), everything=everything)
    if how.batch is not None:
        return run_batches(app, run, course(nodes, how.batch, how.max_failures), how)
    if how.nowait:
        job_id = run_job.start(app, request, bare=how.quiet)
        if not app.is_text:
            app.emit({"id": job_id})
        return ExitStatus.OK
    job_id = run_job.start(app, request)
    tracker = Tracker(nodes, command=run.command)
    live = shared_display(app) if how.follow else None
    with following(app, job_id, live) if how.follow else nullcontext(False) as is_told:
        end = run_job.wait(
            app, job_id, tracker, interval=how.poll_interval, on_interrupt=how.on_interrupt,
            beside_output=is_told, below=live if is_told else None,
        )  # fmt: skip
    return run_job.report(app, end, request, is_told=is_told)
