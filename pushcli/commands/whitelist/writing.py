"""`add`, `remove`, `edit`, `copy`."""

from pathlib import Path

import click

from pushcli.commands.target_options import target_options
from pushcli.commands.whitelist.group import (
    local_option,
    nodes_of,
    refuse_nodes,
    whitelist,
)
from pushcli.errors import UsageError
from pushcli.exit_status import ExitStatus
from pushcli.nodes.one_node import OneNode
from pushcli.nodes.selection import Selection, select
from pushcli.terminal.completing import completes
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Seconds
from pushcli.whitelist.pattern import is_pattern
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import changing, edit_node
from pushcli.whitelist.workstation import local as local_whitelist


@whitelist.command()
@click.argument("name", shell_complete=completes("entry"))
@click.argument("command")
@target_options()
@click.option(
    "--lock", is_flag=True, help="Hold a lock while it runs; refuse to run it twice at once."
)
@click.option(
    "--pattern", is_flag=True, help=r"NAME is a regular expression; \1 in COMMAND is a group."
)
@click.option("--description", metavar="TEXT", help="What the entry is for.")
@click.option(
    "--operator",
    "operators",
    metavar="USER",
    shell_complete=completes("user"),
    multiple=True,
    help="Who may start it (default: all who may start jobs); may be repeated.",
)
@click.option("--timeout", type=Seconds(zero=False), help="Time after which it is ended.")
@click.option(
    "--allow-env",
    "env",
    metavar="VARIABLE",
    multiple=True,
    help="A variable that jobs may set; may be repeated.",
)
@click.option("--in-dir", "directory", metavar="DIR", help="Directory that it runs in.")
@click.option(
    "--allow-dir",
    "dirs",
    metavar="DIR",
    multiple=True,
    help="Another directory that jobs may name; may be repeated.",
)
@click.option("--as-user", metavar="USER", help="User on the node that it runs as.")
@click.option("--allow-stdin", is_flag=True, help="Jobs may say what it reads from standard input.")
@click.option("--no-capture", is_flag=True, help="What it writes is never kept: it has secrets.")
@click.option("--reboots", is_flag=True, help="It succeeds when the node restarts and comes back.")
@click.option(
    "--no-shell", is_flag=True, help="Split COMMAND into arguments, and run it without a shell."
)
@local_option
@operator_options
@click.pass_obj
def add(
    app: App, *, name: str, command: str, selection: Selection, lock: bool,
    pattern: bool, description: str | None, operators: tuple[str, ...], timeout: float | None,
    env: tuple[str, ...], directory: str | None, dirs: tuple[str, ...], as_user: str | None,
    allow_stdin: bool, no_capture: bool, reboots: bool, no_shell: bool, local: Path | None,
) -> ExitStatus:  # fmt: skip
    """Let NAME run COMMAND on the NODEs; an entry of this name is replaced.

    It is signed with your key, and in force within seconds on agents that are connected.

    \b
    Examples:
      pushcli whitelist add ntpdate 'ntpdate -u time' web01 web02
      pushcli whitelist add 'service (\\w+) restart' 'service \\1 restart' \\
        --pattern -s 'role:web'
      pushcli whitelist add deploy './deploy "$BRANCH"' web01 --in-dir /srv/app \\
        --allow-env BRANCH --as-user deploy
    """
    name = _entry_name(name) if pattern else name
    value = changing.value_of(
        name, command, shell=not no_shell, lock=lock, description=description,
        operators=operators, timeout=timeout, env=env, directory=directory, dirs=dirs,
        user=as_user, stdin=allow_stdin, capture=not no_capture, reboots=reboots,
        local=local is not None,
    )  # fmt: skip
    if local is not None:
        refuse_nodes(selection)
        changing.put_locally(app, local, {name: value})
        return ExitStatus.OK
    return changing.make(app, select(app, selection, with_object=True), [Change(name, value)])


@whitelist.command()
@click.argument("name", shell_complete=completes("entry"))
@target_options()
@click.option("--pattern", is_flag=True, help="NAME is a regular expression, as with add.")
@local_option
@operator_options
@click.pass_obj
def remove(
    app: App, *, name: str, selection: Selection, pattern: bool,
    local: Path | None,
) -> ExitStatus:  # fmt: skip
    """Remove the entry NAME from the whitelists of the NODEs that have it.

    \b
    Example:
      pushcli whitelist remove ntpdate -s '*:*'
    """
    name = _entry_name(name) if pattern else name
    if local is not None:
        refuse_nodes(selection)
        local_whitelist.remove(local, name)
        changing.print_written(app, local, changed=True)
        return ExitStatus.OK
    return changing.remove(app, select(app, selection, with_object=True), name)


@whitelist.command()
@target_options()
@local_option
@operator_options
@click.pass_obj
def edit(app: App, selection: Selection, local: Path | None) -> ExitStatus:
    """Open the whitelist of the NODEs, if it is the same on all, in $VISUAL or $EDITOR, as TOML.

    What you save is checked, and the difference is shown before anything changes.

    \b
    Examples:
      pushcli whitelist edit web01
      pushcli whitelist edit 'web[01-20]'
    """
    nodes = nodes_of(app, selection, local)
    if local is not None:
        return edit_node.edit_file(app, local)
    return edit_node.edit_nodes(app, nodes)


@whitelist.command()
@click.option("--from", "source", type=OneNode(), metavar="NODE", help="Node to copy from.")
@target_options()
@click.option(
    "--local",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="An agent.toml on this machine: to copy to with --from, else to copy from.",
)
@operator_options
@click.pass_obj
def copy(app: App, *, source: str | None, selection: Selection, local: Path | None) -> ExitStatus:
    """Copy the entries that the server has for one node to the NODEs, signed by you.

    Entries of the same name are replaced; others stay.

    \b
    Examples:
      pushcli whitelist copy --from web01 web02 web03
      pushcli whitelist copy --local agent.toml -s 'role:web'
    """
    if source is None and local is None:
        raise UsageError("no source to copy from", "give --from NODE, or --local FILE")
    if source is None:
        assert local is not None  # noqa: S101 - see above
        found = select(app, selection, with_object=True)
        return changing.copy(app, local_whitelist.entries(local), found, str(local))
    if local is not None:
        refuse_nodes(selection)
        changing.put_locally(app, local, changing.entries_of(app, source))
        return ExitStatus.OK
    targets = select(app, selection, with_object=True)
    return changing.copy(app, changing.entries_of(app, source), targets, source)


def _entry_name(expression: str) -> str:
    """The name of a pattern's entry, as lists show it: `/expression/`."""
    if is_pattern(expression):
        raise UsageError(
            f"{expression} already has the slashes of a pattern",
            f"leave out --pattern, or give /{expression}/ if they are the request's own",
        )
    return f"/{expression}/"
