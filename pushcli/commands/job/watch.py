"""`pushcli job watch`."""

from typing import TYPE_CHECKING

import click

from pushcli.commands.job.start_options import on_interrupt_option, poll_interval_option
from pushcli.exit_status import ExitStatus
from pushcli.jobs.interrupts import OnInterrupt
from pushcli.protocol.names import LAST_JOB
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
@click.argument("job_id", metavar="[ID]", type=JobId(), default=LAST_JOB)
@on_interrupt_option
@poll_interval_option
@operator_options
@click.pass_obj
def watch(app: App, job_id: str, on_interrupt: OnInterrupt, poll_interval: float) -> ExitStatus:
    """Watch the job ID to its end, as if it had been started here; without an ID your last one.

    Ctrl-C asks what is to become of it; by default it goes on. The exit status is that of
    `pushcli job start`.

    \b
    Examples:
      pushcli job watch
      pushcli job watch 8f593bb9
    """
    job_id = named.job_id(app, job_id)
    return attached.watch(app, job_id, interval=poll_interval, on_interrupt=on_interrupt)
