"""`list`, `show`, `diff`, `test`."""

from pathlib import Path

import click

from pushcli.commands.target_options import target_options
from pushcli.commands.whitelist.group import (
    FILE,
    local_option,
    refuse_nodes,
    whitelist,
    words,
)
from pushcli.exit_status import ExitStatus
from pushcli.nodes.selection import Selection, select
from pushcli.terminal.completing import completes
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.whitelist.workstation import local as local_whitelist
from pushcli.whitelist.workstation import remote, showing, testing


@whitelist.command("list")
@target_options()
@local_option
@operator_options
@click.pass_obj
def list_(app: App, selection: Selection, local: Path | None) -> None:
    """Show the whitelists of the NODEs, or of all, in one table.

    Equal entries share a row. Those unsigned, refused, local or not yet in force are marked.

    \b
    Examples:
      pushcli whitelist list web01 web02
      pushcli whitelist list -s 'role:web'
    """
    if local is not None:
        refuse_nodes(selection)
        showing.show_file(app, local)
        return
    if selection.is_empty:
        found = remote.all_names(app)
    else:
        found = select(app, selection.or_everything, with_object=True)
    showing.show_list(app, remote.read(app, found))


@whitelist.command()
@click.argument("given", metavar="[NODE] NAME", nargs=-1, shell_complete=completes("node", "entry"))
@local_option
@operator_options
@click.pass_obj
def show(app: App, given: tuple[str, ...], local: Path | None) -> None:
    """Show one entry: what it runs, who signed it, whether it is in force or why not.

    \b
    Example:
      pushcli whitelist show web01 chef-client
    """
    *nodes, name = words(given, local, "NODE", "NAME")
    if local is not None:
        showing.show_local_entry(app, local, name)
    else:
        showing.show_entry(app, remote.read(app, nodes)[0], name)


@whitelist.command()
@click.argument("given", metavar="NODE [NODE]", nargs=-1, shell_complete=completes("node", "node"))
@local_option
@operator_options
@click.pass_obj
def diff(app: App, given: tuple[str, ...], local: Path | None) -> ExitStatus:
    """Show the differences between two NODEs, or a NODE and a file; exit 13 if there are any.

    \b
    Examples:
      pushcli whitelist diff web01 web02
      pushcli whitelist diff web01 --local agent.toml
    """
    nodes = words(given, local, "NODE", "NODE")
    sides = {one.node: showing.in_effect(one) for one in remote.read(app, nodes)}
    if local is not None:
        sides[str(local)] = local_whitelist.entries(local)
    left, right = sides[nodes[0]], sides[nodes[-1] if local is None else str(local)]
    titles = (nodes[0], nodes[-1] if local is None else str(local))
    return showing.show_difference(app, titles, left, right)


@whitelist.command()
@click.argument(
    "given", metavar="[NODE] REQUEST", nargs=-1, shell_complete=completes("node", "command")
)
@click.option("--local", type=FILE, metavar="FILE", help="Test an agent.toml on this machine.")
@operator_options
@click.pass_obj
def test(app: App, given: tuple[str, ...], local: Path | None) -> ExitStatus:
    """Show what NODE would run for REQUEST, and by which entry; nothing is started.

    The exit status is 12 if nothing would run.

    \b
    Examples:
      pushcli whitelist test web01 'service nginx restart'
      pushcli whitelist test --local agent.toml uptime
    """
    *nodes, request = words(given, local, "NODE", "REQUEST")
    if local is not None:
        return testing.test_file(app, local, request)
    return testing.test_node(app, nodes[0], request)
