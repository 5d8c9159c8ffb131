"""`pushcli job wait`."""

from typing import TYPE_CHECKING

import click

from pushcli.commands.job.start_options import poll_interval_option
from pushcli.exit_status import ExitStatus
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import JobId

if TYPE_CHECKING:
    from pushcli.jobs import attached, named
else:
    attached = LazyModule("pushcli.jobs.attached")
    named = LazyModule("pushcli.jobs.named")


@click.command(cls=Command)
@click.argument("job_ids", metavar="ID...", type=JobId(), nargs=-1, required=True)
@poll_interval_option
@operator_options
@click.pass_obj
def wait(app: App, job_ids: tuple[str, ...], poll_interval: float) -> ExitStatus:
    """Wait, in silence, until the jobs ID are over.

    The exit status is that of `pushcli job start`: of several jobs, that of the first one that
    did not end well. Ctrl-C ends the waiting, not the jobs.

    \b
    Example:
      pushcli job wait @last && echo done
    """
    whole = [named.job_id(app, job_id) for job_id in job_ids]
    statuses = [attached.wait(app, job_id, interval=poll_interval) for job_id in whole]
    return next((status for status in statuses if status is not ExitStatus.OK), ExitStatus.OK)
