"""The group `pushcli node`; its help imports none of its commands: names and help stand here."""

import click

from pushcli.terminal.command_groups import Lazy, LazyGroup
from pushcli.terminal.options import operator_options

COMMANDS = {
    "status": Lazy(
        "pushcli.commands.node.status:status",
        "Show which of the NODEs, or of all enrolled nodes, can take part in a job.",
    ),
    "list": Lazy("pushcli.commands.node.objects:list_", "List the names of all nodes."),
    "show": Lazy(
        "pushcli.commands.node.objects:show",
        "Show what is known about NODE; everything with -F json.",
    ),
    "search": Lazy(
        "pushcli.commands.node.objects:search",
        "Find the nodes that match QUERY, in Chef's search syntax.",
    ),
    "delete": Lazy(
        "pushcli.commands.node.deletion:delete",
        "Delete each NODE: its object, client and keys, and what is known of its state.",
    ),
    "pause": Lazy(
        "pushcli.commands.node.pausing:pause",
        "Keep each NODE out of new jobs for a while: it votes no, with that reason.",
    ),
    "resume": Lazy(
        "pushcli.commands.node.pausing:resume",
        "Let each NODE that is paused take part in jobs again.",
    ),
    "token": Lazy(
        "pushcli.commands.node.token:token",
        "Make tokens for nodes to enroll with, instead of a shared key.",
    ),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
@operator_options
def node() -> None:
    """See which nodes there are, let new ones enroll, delete others."""
