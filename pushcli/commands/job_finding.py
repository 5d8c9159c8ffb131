"""`pushcli job`: the commands that find jobs again, look at them and end them."""

from typing import TYPE_CHECKING

import click

from pushcli.commands.start_options import on_interrupt_option, poll_interval_option
from pushcli.errors import UsageError
from pushcli.exit_status import ExitStatus
from pushcli.jobs.interrupts import OnInterrupt
from pushcli.nodes.one_node import OneNode
from pushcli.protocol.names import LAST_JOB
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import lazy_module
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import JobId, Moment, Name, NamesList

if TYPE_CHECKING:
    from pushcli.jobs import abort as aborting
    from pushcli.jobs import abort_all as ending
    from pushcli.jobs import attached, job_list, job_status, named
else:
    aborting = lazy_module("pushcli.jobs.abort")
    attached = lazy_module("pushcli.jobs.attached")
    ending = lazy_module("pushcli.jobs.abort_all")
    job_list = lazy_module("pushcli.jobs.job_list")
    job_status = lazy_module("pushcli.jobs.job_status")
    named = lazy_module("pushcli.jobs.named")


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


@click.command("list", cls=Command)
@click.option(
    "--status",
    "statuses",
    metavar="STATUS,...",
    type=NamesList(lambda: job_list.STATUSES),
    help="Only jobs of these statuses, such as running,failed.",
)
@click.option(
    "--by",
    "requestor",
    metavar="USER",
    type=Name("user"),
    help="Only jobs that this user or client started; me: you.",
)
@click.option("--command", metavar="GLOB", help="Only jobs with such a command.")
@click.option("--node", metavar="NODE", type=OneNode(), help="Only jobs of this node.")
@click.option("--since", type=Moment(), metavar="2h|DATE", help="Only jobs started since then.")
@click.option(
    "--max",
    "most",
    type=click.IntRange(1, 1_000_000),
    default=25,
    show_default=True,
    metavar="N",
    help="At most so many, the newest.",
)
@operator_options
@click.pass_obj
def list_(
    app: App, *, statuses: tuple[str, ...] | None, requestor: str | None, command: str | None,
    node: str | None, since: float | None, most: int,
) -> None:  # fmt: skip
    """List the organization's jobs, newest first, and how they ended.

    \b
    Examples:
      pushcli job list --by me --since 2h
      pushcli job list --status failed,aborted --command 'deploy*'
      pushcli job list --node web01 --max 100 -F json
    """
    looked = job_list.Looked(
        most=most, statuses=statuses or (), requestor=requestor, command=command, node=node,
        since=since,
    )  # fmt: skip
    job_list.show_list(app, looked)


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
