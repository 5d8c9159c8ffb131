"""The group, and the parameters that its commands share."""

from pathlib import Path

import click

from pushcli.errors import UsageError
from pushcli.nodes.selection import Selection, select
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=CommandGroup)
@operator_options
def whitelist() -> None:
    """See and change what may run on the nodes."""


local_option = click.option(
    "--local", type=FILE, metavar="FILE", help="An agent.toml on this machine, instead of a node."
)


def refuse_nodes(selection: Selection) -> None:
    """Beside --local.

    Raises:
        UsageError: nodes were named, or searched.
    """
    if not selection.is_empty:
        raise UsageError("--local excludes nodes and --search", "leave out one of them")


def nodes_of(app: App, selection: Selection, local: Path | None = None) -> list[str]:
    """The nodes that a command is about; none with --local, which excludes them.

    Raises:
        PushcliError: it names none, cannot be read, or nothing matches.
    """
    if local is not None:
        refuse_nodes(selection)
        return []
    return select(app, selection, with_object=True)


def exactly(app: App, selection: Selection, count: int) -> list[str]:
    """The nodes of a command that is about one, or two.

    Raises:
        UsageError: there are more or fewer.
    """
    names = nodes_of(app, selection)
    if len(names) == 1 and len(selection.expressions) == count:
        # A loop over nodes compares one with itself, too.
        return names * count
    if len(names) != count:
        wanted = "one node" if count == 1 else "two nodes"
        raise UsageError(f"expected {wanted}, got {len(names)}", "see --help")
    return names
