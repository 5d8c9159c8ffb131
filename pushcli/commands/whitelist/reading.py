"""`list`, `show`, `diff`, `test`."""

from pathlib import Path

import click

from pushcli.commands.target_options import target_options
from pushcli.commands.whitelist.group import (
    FILE,
    exactly,
    local_option,
    nodes_of,
    refuse_nodes,
    whitelist,
)
from pushcli.exit_status import ExitStatus
from pushcli.nodes.selection import Selection, select
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.whitelist.workstation import local as local_whitelist
from pushcli.whitelist.workstation import one_entry, remote, showing, testing


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
    showing.show_list(app, remote.look(app, found))


@whitelist.command()
@target_options(last=("NAME", "entry"))
@local_option
@operator_options
@click.pass_obj
def show(app: App, selection: Selection, name: str, local: Path | None) -> None:
    """Show one entry: what it runs, who signed it, whether it is in force or why not.

    Nodes where all of that is the same are shown together.

    \b
    Examples:
      pushcli whitelist show web01 chef-client
      pushcli whitelist show -s 'role:web' chef-client
    """
    nodes = nodes_of(app, selection, local)
    if local is not None:
        one_entry.show_local(app, local, name)
    else:
        one_entry.show(app, remote.look(app, nodes, name), name)


@whitelist.command()
@target_options()
@local_option
@operator_options
@click.pass_obj
def diff(app: App, selection: Selection, local: Path | None) -> ExitStatus:
    """Show the differences between two NODEs, or a NODE and a file; exit 13 if there are any.

    \b
    Examples:
      pushcli whitelist diff web01 web02
      pushcli whitelist diff web01 --local agent.toml
    """
    nodes = exactly(app, selection, 2 if local is None else 1)
    sides = {one.node: showing.in_effect(one) for one in remote.read(app, nodes)}
    if local is not None:
        sides[str(local)] = local_whitelist.entries(local)
    left, right = sides[nodes[0]], sides[nodes[-1] if local is None else str(local)]
    titles = (nodes[0], nodes[-1] if local is None else str(local))
    return showing.show_difference(app, titles, left, right)


@whitelist.command()
@target_options(last=("REQUEST", "command"))
@click.option("--local", type=FILE, metavar="FILE", help="Test an agent.toml on this machine.")
@operator_options
@click.pass_obj
def test(app: App, selection: Selection, request: str, local: Path | None) -> ExitStatus:
    """Show what each NODE would run for REQUEST, and by which entry; nothing is started.

    The exit status is 12 if nothing would run on one of them.

    \b
    Examples:
      pushcli whitelist test web01 'service nginx restart'
      pushcli whitelist test --all uptime
      pushcli whitelist test --local agent.toml uptime
    """
    nodes = nodes_of(app, selection, local)
    if local is not None:
        return testing.test_file(app, local, request)
    return testing.test_nodes(app, nodes, request)
