"""`pushcli node`: see which nodes are there."""

import click

from pushcli.context import App
from pushcli.groups import CommandGroup
from pushcli.node_status import node_states
from pushcli.options import operator_options
from pushcli.params import NodeName
from pushcli.render.table import write_table


@click.group(cls=CommandGroup)
@operator_options
def node() -> None:
    """See which nodes are there."""


@node.command()
@click.argument("nodes", metavar="[NODE...]", type=NodeName(), nargs=-1)
@operator_options
@click.pass_obj
def status(app: App, nodes: tuple[str, ...]) -> None:
    """Show which of the NODEs, or of all enrolled nodes, can take part in a job.

    \b
    Examples:
      pushcli node status
      pushcli node status web01 web02 -F json
    """
    states, raw = node_states(app, nodes)
    if app.is_text:
        write_table(app, ("node", "availability"), [(s.node_name, s.availability) for s in states])
    else:
        app.emit(raw)
