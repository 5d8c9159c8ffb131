"""`pushcli node pause` and `resume`."""

from typing import TYPE_CHECKING

import click

from pushcli.commands.target_options import target_options
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Duration, Reason

if TYPE_CHECKING:
    from pushcli.nodes import pausing
    from pushcli.nodes import selection as selecting
    from pushcli.nodes.selection import Selection
else:
    pausing = LazyModule("pushcli.nodes.pausing")
    selecting = LazyModule("pushcli.nodes.selection")


@click.command(cls=Command)
@target_options()
@click.option("--reason", required=True, type=Reason(), help="Why, for whoever starts a job.")
@click.option(
    "--for", "seconds", required=True, type=Duration(longest="366d"), metavar="2h",
    help="How long (at most 366d); then they take part again.",
)  # fmt: skip
@operator_options
@click.pass_obj
def pause(app: App, selection: "Selection", reason: str, seconds: float) -> None:
    """Keep each NODE out of new jobs for a while: it votes no, with that reason.

    What it runs goes on. A pause holds over restarts and ends by itself; a second one takes
    the place of the first.

    \b
    Example:
      pushcli node pause 'web[01-20]' --reason 'disks replaced' --for 2h
    """
    pausing.pause(app, selecting.select(app, selection), reason=reason, seconds=seconds)


@click.command(cls=Command)
@target_options()
@operator_options
@click.pass_obj
def resume(app: App, selection: "Selection") -> None:
    """Let each NODE that is paused take part in jobs again.

    \b
    Example:
      pushcli node resume 'web[01-20]'
    """
    pausing.resume(app, selecting.select(app, selection))
