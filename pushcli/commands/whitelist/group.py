"""The group, and the parameters that its commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pushcli.errors import UsageError
from pushcli.protocol.names import is_node_name
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import NodeName

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=CommandGroup)
@operator_options
def whitelist() -> None:
    """See and change what may be started on the nodes."""


def nodes_or_search(command: F) -> F:
    """`[NODE...]`, or `-s QUERY`."""
    search = click.option(
        "-s", "--search", "query", metavar="QUERY", help="The nodes that match, instead of names."
    )
    nodes = click.argument("nodes", metavar="[NODE...]", type=NodeName(), nargs=-1)
    return nodes(search(command))


local_option = click.option(
    "--local", type=FILE, metavar="FILE", help="An agent.toml on this machine, instead of a node."
)


def words(given: Sequence[str], local: object, *names: str) -> list[str]:
    """The arguments of a command whose NODE gives way to --local.

    Args:
        names: of all the arguments, NODEs first.

    Raises:
        UsageError: too many or too few, or a NODE that can be none.
    """
    nodes = sum(name == "NODE" for name in names)
    wanted = [name for i, name in enumerate(names) if i != nodes - 1 or not local]
    if len(given) != len(wanted):
        raise UsageError(
            f"{' '.join(wanted)} must be given" if wanted else "no arguments go with --local",
            f"{len(given)} arguments came",
        )
    for name, word in zip(wanted, given, strict=True):
        if name == "NODE" and not is_node_name(word):
            raise UsageError(
                f"{word!r} is no node's name", "it has letters, digits and _ . : - only"
            )
    return list(given)


def refuse_nodes(nodes: Sequence[str], query: str | None) -> None:
    """Beside --local.

    Raises:
        UsageError: nodes were named, or searched.
    """
    if nodes or query is not None:
        raise UsageError("--local is of this machine", "leave out nodes and --search, or --local")
