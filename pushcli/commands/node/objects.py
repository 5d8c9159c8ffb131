"""`pushcli node list`, `show` and `search`: nodes as the server has them."""

from typing import TYPE_CHECKING

import click

from pushcli.nodes.one_node import OneNode
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options

if TYPE_CHECKING:
    from pushcli.nodes import node_objects
else:
    node_objects = LazyModule("pushcli.nodes.node_objects")

attributes_option = click.option(
    "-a",
    "--attribute",
    "attributes",
    metavar="PATH",
    multiple=True,
    help="An attribute, such as kernel.release; may be repeated.",
)


@click.command("list", cls=Command)
@operator_options
@click.pass_obj
def list_(app: App) -> None:
    """List the names of all nodes.

    \b
    Example:
      pushcli node list
    """
    node_objects.show_list(app)


@click.command(cls=Command)
@click.argument("name", metavar="NODE", type=OneNode())
@attributes_option
@operator_options
@click.pass_obj
def show(app: App, name: str, attributes: tuple[str, ...]) -> None:
    """Show what is known about NODE; everything with -F json.

    \b
    Examples:
      pushcli node show web01
      pushcli node show web01 -a kernel.release -a tags
    """
    node_objects.show(app, name, attributes)


@click.command("search", cls=Command)
@click.argument("query")
@attributes_option
@click.option("-i", "--id-only", is_flag=True, help="Only the names, one per line.")
@operator_options
@click.pass_obj
def search(app: App, query: str, attributes: tuple[str, ...], id_only: bool) -> None:
    """Find the nodes that match QUERY, in Chef's search syntax.

    \b
    Examples:
      pushcli node search 'role:web* AND chef_environment:prod'
      pushcli node search 'platform:debian' -a fqdn -a kernel.release
      pushcli node search '*:*' -i
    """
    node_objects.show_found(app, query, attributes, only_names=id_only)
