"""`pushcli agent editors`: whose edits of the whitelist this node accepts by itself."""

from pathlib import Path

import click

from pushcli.escape import escape_line
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import agent_directory_option, output_options
from pushcli.terminal.params import NodeName
from pushcli.terminal.table import write_table

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=CommandGroup)
@output_options
def editors() -> None:
    """See and change whose edits of the whitelist this node accepts by itself.

    The keys are in editors.json in the agent's directory. A running agent reads it again
    within a second.
    """


@editors.command("list")
@agent_directory_option
@output_options
@click.pass_obj
def list_(app: App, directory: Path | None) -> None:
    """List the keys that are pinned here, and those that editors vouch for.

    \b
    Example:
      pushcli agent editors list
    """
    from pushcli_agent import config  # noqa: PLC0415 - `--help` need not wait for it
    from pushcli_agent.enrolment import pinned  # noqa: PLC0415

    place = config.directory(directory, app.env)
    found = pinned.rows(place)
    if not found:
        is_there = (place / config.FILE).exists()
        app.note(
            f"no editor is known in {place}: "
            + (
                "nobody can edit this node's whitelist"
                if is_there
                else "no agent is enrolled there"
            )
        )
    if app.is_text:
        write_table(app, ("editor", "key", "state"), found)
    else:
        app.emit([dict(zip(("editor", "key", "state"), row, strict=True)) for row in found])


@editors.command()
@click.argument("name", type=NodeName(""))
@click.argument("file", type=_FILE)
@agent_directory_option
@output_options
@click.pass_obj
def add(app: App, name: str, file: Path, directory: Path | None) -> None:
    """Trust the public key in FILE (PEM) as that of the editor NAME, on this node.

    \b
    Example:
      pushcli agent editors add offline offline.pub.pem
    """
    from pushcli_agent import config  # noqa: PLC0415
    from pushcli_agent.enrolment import pinned  # noqa: PLC0415

    editor = pinned.pin(config.directory(directory, app.env), name, file)
    if app.is_text:
        app.print(f"{editor.name} ({editor.fingerprint}) is an editor on this node")
    else:
        app.emit({"editor": editor.name, "key": editor.fingerprint, "state": "pinned"})


@editors.command()
@click.argument("what", metavar="NAME|FINGERPRINT|FILE")
@agent_directory_option
@output_options
@click.pass_obj
def remove(app: App, what: str, directory: Path | None) -> None:
    """Stop trusting a key on this node, whoever vouches for it.

    Entries that were signed with it are refused from then on.

    \b
    Example:
      pushcli agent editors remove bob
    """
    from pushcli_agent import config  # noqa: PLC0415
    from pushcli_agent.enrolment import pinned  # noqa: PLC0415

    place = config.directory(directory, app.env)
    gone = list(pinned.unpin(place, what))
    for key in gone if app.is_text else ():
        app.print(escape_line(f"{key} is no longer trusted on this node"))
    if not app.is_text:
        app.emit({"removed": gone})
    if not any(state.startswith("pinned") for _, _, state in pinned.rows(place)):
        app.note("no key is pinned now: no editor can vouch for another")
