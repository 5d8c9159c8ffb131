"""`pushcli node delete`."""

from typing import TYPE_CHECKING

import click

from pushcli.commands.target_options import target_options
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options

if TYPE_CHECKING:
    from pushcli.nodes import node_deletion
    from pushcli.nodes import selection as selecting
    from pushcli.nodes.selection import Selection
else:
    node_deletion = LazyModule("pushcli.nodes.node_deletion")
    selecting = LazyModule("pushcli.nodes.selection")


@click.command("delete", cls=Command)
@target_options()
@operator_options
@click.pass_obj
def delete(app: App, selection: "Selection") -> None:
    """Delete each NODE: its object, client and keys, and what is known of its state.

    Its agent is disconnected at once and cannot return; what it runs is given up. Finished
    jobs keep its name. A node that enrolls under this name later is a new one.

    \b
    Examples:
      pushcli node delete web01
      pushcli node delete 'web[01-20]' -y
    """
    node_deletion.delete(app, selecting.select(app, selection, with_object=True))
