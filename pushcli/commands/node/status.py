"""`pushcli node status`."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from pushcli.commands.target_options import target_options
from pushcli.protocol.names import is_query
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Duration

if TYPE_CHECKING:
    from pushcli.client import search as searching
    from pushcli.nodes import node_status
    from pushcli.nodes import selection as selecting
    from pushcli.nodes.selection import Selection
else:
    node_status = LazyModule("pushcli.nodes.node_status")
    searching = LazyModule("pushcli.client.search")
    selecting = LazyModule("pushcli.nodes.selection")


@click.command(cls=Command)
@target_options()
@click.option(
    "--not-seen-for", "unseen_for", type=Duration(), metavar="30d",
    help="Only nodes that were not heard of for so long, or never.",
)  # fmt: skip
@click.option(
    "--troubled", is_flag=True,
    help="Only nodes that no job would get, or whose whitelist is wrong.",
)  # fmt: skip
@operator_options
@click.pass_obj
def status(app: App, selection: "Selection", unseen_for: float | None, troubled: bool) -> None:
    """Show which of the NODEs, or of all enrolled nodes, can take part in a job.

    A NODE is a name, a set, a glob, @FILE or -, as for `job start`. One with a colon or a space
    is a query, as for `node search`.

    \b
    Examples:
      pushcli node status
      pushcli node status web01 web02 -F json
      pushcli node status 'web[01-20]' 'db*' -x db3
      pushcli node status 'role:web AND platform:debian'
      pushcli node status --not-seen-for 30d
      pushcli node status --troubled
    """
    if selection.is_empty:
        node_status.show(app, (), unseen_for=unseen_for, troubled=troubled)
        return
    names = (_found(app, text) for text in selection.expressions)
    expressions = tuple(name for some in names for name in some)
    chosen = selecting.select(app, replace(selection.or_everything, expressions=expressions))
    node_status.show(app, chosen, unseen_for=unseen_for, troubled=troubled)


def _found(app: App, text: str) -> list[str]:
    return searching.names(app.client, text) if is_query(text) else [text]
