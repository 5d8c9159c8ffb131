"""`pushcli job status`."""

from typing import TYPE_CHECKING

import click

from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import JobId

if TYPE_CHECKING:
    from pushcli.jobs import attached, job_status, named
else:
    attached = LazyModule("pushcli.jobs.attached")
    job_status = LazyModule("pushcli.jobs.job_status")
    named = LazyModule("pushcli.jobs.named")


@click.command(cls=Command)
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--watch", is_flag=True, help="Show its progress first, until it is over.")
@operator_options
@click.pass_obj
def status(app: App, job_id: str, *, watch: bool) -> None:
    """Show who started the job ID, how it stands, and what became of its nodes.

    Nodes that came to the same end share a row; with -V each has its own.

    \b
    Examples:
      pushcli job status @last
      pushcli job status 8f593bb9 --watch
    """
    job_id = named.job_id(app, job_id)
    if watch:
        attached.wait(app, job_id, interval=1.0, quietly=False)
    job_status.show_status(app, job_id)
