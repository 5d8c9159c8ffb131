"""`whitelist edit`: nodes' entries, or a file, through the operator's editor."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pushcli.errors import ConfigError, RequestRefused, UsageError
from pushcli.exit_status import ExitStatus
from pushcli.protocol.attributes import NORMAL
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.whitelist import toml_text
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import changing, local, local_file, remote, toml_edit
from pushcli.whitelist.workstation.editing import agrees, draft
from pushcli.whitelist.workstation.showing import lines, write_difference
from pushcli.whitelist.workstation.views import NodeWhitelist

_HEAD = """\
# The whitelist of {nodes}, as it is on the server.
# Save and leave the editor to go on; what you leave as it is does not change.
"""


def edit_nodes(app: App, nodes: Sequence[str]) -> ExitStatus:
    """Edit what the server has for nodes, at the level that operators edit.

    Raises:
        UsageError: it is not the same on all of them.
        PushcliError: it could not be stored; what was typed is kept, and the error says where.
    """
    whitelists = remote.read(app, nodes)
    before = whitelists[0].normal
    _require_alike(whitelists)
    named = fold(nodes)
    with draft(app, f"{nodes[0]}.toml", text_of(whitelists)) as paper:
        while True:
            _, after = paper.edit(entries_of)
            changes = changes_between(before, after)
            if not changes:
                _note_unchanged(app, named)
                return ExitStatus.OK
            titles = (f"{named} now", f"{named} edited")
            write_difference(app, titles, lines(before), lines(after))
            match agrees(app):
                case "yes":
                    _require_same(app, whitelists, changes)
                    return changing.make(app, nodes, changes)
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


def text_of(whitelists: Sequence[NodeWhitelist]) -> str:
    """What the editor shows: the entries to edit, and as comments what others set."""
    others: dict[str, list[str]] = {}
    for one in whitelists:
        for remark in _set_elsewhere(one):
            others.setdefault(remark, []).append(one.node)
    remarks = [
        f"# {remark}\n" if len(nodes) == len(whitelists) else f"# {fold(nodes)}: {remark}\n"
        for remark, nodes in others.items()
    ]
    head = _HEAD.format(nodes=fold([one.node for one in whitelists]))
    entries = (f"{line}\n" for line in lines(whitelists[0].normal))
    return "".join([head, *remarks, "\n[whitelist]\n", *entries])


def _set_elsewhere(whitelist: NodeWhitelist) -> Iterator[str]:
    for entry in whitelist.entries:
        if entry.level != NORMAL:
            yield f"Set at the level {entry.level}: {toml_text.pair(entry.name, entry.value)}"
    for own in whitelist.local.values():
        yield f"In the node's own file, which wins: {toml_text.pair(own.name, own.value)}"


def _require_alike(whitelists: Sequence[NodeWhitelist]) -> None:
    """One text is all that an editor shows.

    Raises:
        UsageError: the nodes do not have the same entries.
    """
    first = whitelists[0]
    for other in whitelists[1:]:
        if other.normal != first.normal:
            raise UsageError(
                f"the whitelists of {first.node} and {other.node} are not the same",
                f"edit them one at a time; `pushcli whitelist diff {first.node} {other.node}`",
            )


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


def _require_same(app: App, before: Sequence[NodeWhitelist], changes: list[Change]) -> None:
    """Nobody else changed those entries while the editor was open."""
    now = remote.read(app, [one.node for one in before])
    for then, one in zip(before, now, strict=True):
        for change in changes:
            if one.entry(change.name) != then.entry(change.name):
                raise RequestRefused(
                    f"{change.name!r} of {then.node} was changed by somebody else in the meantime",
                    "edit it again",
                )


def _note_unchanged(app: App, what: str) -> None:
    app.note(f"{what} is unchanged")
