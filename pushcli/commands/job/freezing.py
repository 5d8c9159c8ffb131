"""`pushcli job freeze` and `unfreeze`."""

from typing import TYPE_CHECKING

import click

from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Reason

if TYPE_CHECKING:
    from pushcli.jobs import freezing
else:
    freezing = LazyModule("pushcli.jobs.freezing")


@click.command(cls=Command)
@click.option("--reason", required=True, type=Reason(), help="Why, for whoever starts a job.")
@operator_options
@click.pass_obj
def freeze(app: App, reason: str) -> None:
    """Let no job of the organization start; those that run go on. For administrators.

    It holds, also over restarts of the server, until `pushcli job unfreeze`.

    \b
    Example:
      pushcli job freeze --reason 'storage is down, ask ann'
    """
    freezing.freeze(app, reason)


@click.command(cls=Command)
@operator_options
@click.pass_obj
def unfreeze(app: App) -> None:
    """Let jobs start again. For administrators.

    \b
    Example:
      pushcli job unfreeze
    """
    freezing.unfreeze(app)
