"""`pushcli job list`."""

from typing import TYPE_CHECKING

import click

from pushcli.nodes.one_node import OneNode
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Moment, Name, NamesList

if TYPE_CHECKING:
    from pushcli.jobs import job_list
else:
    job_list = LazyModule("pushcli.jobs.job_list")


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
