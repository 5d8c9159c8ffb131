"""`whitelist edit`: a node's entries, or a file, through the operator's editor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pushcli.errors import ConfigError, RequestRefused
from pushcli.exit_status import ExitStatus
from pushcli.protocol.attributes import NORMAL
from pushcli.terminal.context import App
from pushcli.whitelist import toml_text
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import changing, local, local_file, remote, toml_edit
from pushcli.whitelist.workstation.editing import agrees, draft
from pushcli.whitelist.workstation.showing import lines, write_difference
from pushcli.whitelist.workstation.views import NodeWhitelist

_HEAD = """\
# The whitelist of {node}, as it is on the server.
# Save and leave the editor to go on; what you leave as it is does not change.
"""


def edit_node(app: App, node: str) -> ExitStatus:
    """Edit what the server has for a node, at the level that operators edit.

    Raises:
        PushcliError: it could not be stored; what was typed is kept, and the error says where.
    """
    (whitelist,) = remote.read(app, [node])
    before = whitelist.normal
    with draft(app, f"{node}.toml", text_of(whitelist)) as paper:
        while True:
            _, after = paper.edit(entries_of)
            changes = changes_between(before, after)
            if not changes:
                _note_unchanged(app, node)
                return ExitStatus.OK
            titles = (f"{node} now", f"{node} edited")
            write_difference(app, titles, lines(before), lines(after))
            match agrees(app):
                case "yes":
                    _require_same(app, whitelist, changes)
                    return changing.make(app, [node], changes)
                case "no":
                    app.note("nothing was changed")
                    return ExitStatus.OK


def edit_file(app: App, path: Path) -> ExitStatus:
    """Edit a whole `agent.toml`; its whitelist is checked.

    Raises:
        PushcliError: as with a node.
    """
    before = local_file.read(path)
    with draft(app, path.name, before) as paper:
        while True:
            after, _ = paper.edit(lambda text: local.checked(path, text))
            if after == before:
                _note_unchanged(app, str(path))
                return ExitStatus.OK
            titles = (str(path), f"{path} edited")
            write_difference(app, titles, before.splitlines(), after.splitlines())
            match agrees(app):
                case "yes":
                    local_file.replace(path, before, after)
                    return ExitStatus.OK
                case "no":
                    app.note("nothing was changed")
                    return ExitStatus.OK


def text_of(whitelist: NodeWhitelist) -> str:
    """What the editor shows: the entries to edit, and as comments what others set."""
    parts = [_HEAD.format(node=whitelist.node)]
    parts += [
        f"# Set at the level {entry.level}: {toml_text.pair(entry.name, entry.value)}\n"
        for entry in whitelist.entries
        if entry.level != NORMAL
    ]
    parts += [
        f"# In the node's own file, which wins: {toml_text.pair(entry.name, entry.value)}\n"
        for entry in whitelist.local.values()
    ]
    return "".join([*parts, "\n[whitelist]\n", *(f"{line}\n" for line in lines(whitelist.normal))])


def entries_of(text: str) -> dict[str, Any]:
    """The entries in what was edited, each in its shortest form.

    Raises:
        PushcliError: no TOML, or an entry that would be refused; one line.
    """
    content = toml_edit.load(text)
    for key in content:
        if key != toml_edit.TABLE:
            raise ConfigError(f"{key!r} does not belong here", "entries stand below [whitelist]")
    table = toml_edit.entries(text)
    return {name: changing.canonical(name, table[name], local=False) for name in table}


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What must change for the one to become the other."""
    gone = [Change(name) for name in before if name not in after]
    return gone + [
        Change(name, value) for name, value in after.items() if before.get(name) != value
    ]


def _require_same(app: App, read: NodeWhitelist, changes: list[Change]) -> None:
    """Nobody else changed those entries while the editor was open."""
    (now,) = remote.read(app, [read.node])
    for change in changes:
        if now.entry(change.name) != read.entry(change.name):
            raise RequestRefused(
                f"{change.name!r} of {read.node} was changed by somebody else in the meantime",
                "edit it again",
            )


def _note_unchanged(app: App, what: str) -> None:
    app.note(f"{what} is unchanged")
