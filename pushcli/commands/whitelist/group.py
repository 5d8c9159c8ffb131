"""The group, and the parameters that its commands share."""

from collections.abc import Sequence
from pathlib import Path

import click

from pushcli.errors import UsageError
from pushcli.nodes.selection import Selection
from pushcli.protocol.names import is_node_name
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.options import operator_options

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=CommandGroup)
@operator_options
def whitelist() -> None:
    """See and change what may run on the nodes."""


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
        raise UsageError(f"expected {_expected(wanted)}, got {len(given)}", "see --help")
    for name, word in zip(wanted, given, strict=True):
        if name == "NODE" and not is_node_name(word):
            raise UsageError(f"invalid node name {word!r}", "use letters, digits and _ . : -")
    return list(given)


def _expected(wanted: list[str]) -> str:
    match wanted:
        case []:
            return "no arguments with --local"
        case ["NODE"]:
            return "one node"
        case ["NODE", "NODE"]:
            return "two nodes"
        case _:
            return " ".join(wanted)


def refuse_nodes(selection: Selection) -> None:
    """Beside --local.

    Raises:
        UsageError: nodes were named, or searched.
    """
    if not selection.is_empty:
        raise UsageError("--local excludes nodes and --search", "leave out one of them")
