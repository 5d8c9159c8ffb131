"""`pushcli job abort`."""

from typing import TYPE_CHECKING

import click

from pushcli.errors import UsageError
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import JobId

if TYPE_CHECKING:
    from pushcli.jobs import abort as aborting
    from pushcli.jobs import abort_all as ending
    from pushcli.jobs import named
else:
    aborting = LazyModule("pushcli.jobs.abort")
    ending = LazyModule("pushcli.jobs.abort_all")
    named = LazyModule("pushcli.jobs.named")


@click.command(cls=Command)
@click.argument("job_ids", metavar="[ID...]", type=JobId(), nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All jobs of the organization that are not over.")
@operator_options
@click.pass_obj
def abort(app: App, job_ids: tuple[str, ...], all_: bool) -> None:
    """Abort the jobs ID: their commands are killed on all nodes that still run them.

    It tells which nodes confirmed that the command has ended there, and which did not.

    \b
    Examples:
      pushcli job abort 8f593bb9
      pushcli job abort @last 77aa01c2
      pushcli job abort --all
    """
    if bool(job_ids) is all_:
        raise UsageError("give a job's ID, or --all", "see `pushcli job list`")
    if all_:
        ending.abort_all(app)
    else:
        aborting.abort(app, [named.job_id(app, job_id) for job_id in job_ids])
