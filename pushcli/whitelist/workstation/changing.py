"""Changing whitelists on a server, and saying what became of it."""

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pushcli.errors import NotFound, PushcliError, UsageError
from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.reasons import pinning
from pushcli.whitelist.entry import InvalidEntry, parse, to_value
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import known_keys, local, remote
from pushcli.whitelist.workstation.partial import BrokenOff, naming_what_is_done
from pushcli.whitelist.workstation.views import EditOutcome

_LOCALLY = "`pushcli whitelist remove NAME --local agent.toml` removes it"


def value_of(
    name: str,
    command: str,
    *,
    shell: bool,
    lock: bool,
    description: str | None,
    operators: Sequence[str],
    timeout: float | None,
    env: Sequence[str],
    directory: str | None,
    dirs: Sequence[str],
    user: str | None,
    stdin: bool,
    capture: bool,
    reboots: bool,
    local: bool,
) -> Any:
    """The entry's value, in its shortest form.

    Raises:
        UsageError: it would be refused.
    """
    fields = {
        "command_line": command if shell else _arguments(command),
        "lock": lock or None,
        "description": description,
        "operators": list(operators) or None,
        "timeout": timeout,
        "env": list(env) or None,
        "dir": directory,
        "dirs": list(dirs) or None,
        "user": user,
        "stdin": stdin or None,
        "capture": None if capture else False,
        "reboots": reboots or None,
    }
    given = {key: content for key, content in fields.items() if content is not None}
    return canonical(name, given, local=local)


def canonical(name: str, value: Any, *, local: bool) -> Any:
    """The value in its shortest form.

    Raises:
        UsageError: it is no entry.
    """
    try:
        return to_value(parse(name, value, local=local))
    except InvalidEntry as error:
        raise UsageError(f"entry {name!r}: {error.reason}", "see docs/whitelist.md") from error


def _arguments(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"COMMAND cannot be split into arguments: {error}", "quote it as for a shell"
        ) from error


def make(app: App, nodes: Sequence[str], changes: Sequence[Change]) -> ExitStatus:
    """Make the changes on these nodes, as far as their agents understand them, and tell where
    they hold.

    Raises:
        RequestRefused: no agent would understand any.
    """
    found = known_keys.understood(app, nodes, changes)
    if found is None:
        return ExitStatus.OK
    parts, refusals = found
    reached = [node for part in parts for node in part.nodes]
    try:
        outcome = _change(app, parts)
    except BrokenOff as error:
        app.note(f"INTERRUPTED: {error}")
        raise
    status = print_outcome(app, reached, outcome)
    for refusal in refusals:
        app.note(escape_line(f"{refusal.name!r} is unchanged on {fold(refusal.nodes)}"))
    return ExitStatus.NOT_IN_FORCE if refusals else status


def _change(app: App, parts: Sequence[known_keys.Part]) -> EditOutcome | None:
    total: EditOutcome | None = None
    done: list[str] = []
    # Nearly always there is one.
    with naming_what_is_done([node for part in parts for node in part.nodes], done):
        for part in parts:
            outcome = remote.change(app, part.nodes, part.changes)
            total = outcome if total is None or outcome is None else total + outcome
            done += part.nodes
    return total


def remove(app: App, nodes: Sequence[str], name: str) -> ExitStatus:
    """Remove an entry from those of the nodes that have it.

    Raises:
        NotFound: none has it.
        PushcliError: it is set at another level.
    """
    found = remote.read(app, nodes)
    having = [one.node for one in found if one.entry(name) is not None]
    locally = [one.node for one in found if one.node not in having and name in one.local]
    if locally:
        app.note(escape_line(f"{name!r} is in agent.toml on {fold(locally)}: there, {_LOCALLY}"))
    if not having and locally:
        raise NotFound(
            f"the server has no entry {name!r} on {fold(nodes)}, only the nodes themselves",
            "remove it there",
        )
    if not having:
        raise NotFound(f"no entry {name!r} on {fold(nodes)}", "see `pushcli whitelist list`")
    if len(having) < len(nodes):
        without = sorted(set(nodes) - set(having))
        app.note(f"nothing to remove on {fold(without)}")
    return make(app, having, [Change(name)])


def entries_of(app: App, source: str) -> dict[str, Any]:
    """What is copied from a node."""
    [whitelist] = remote.read(app, [source])
    return {entry.name: entry.value for entry in whitelist.entries}


def copy(app: App, entries: Mapping[str, Any], nodes: Sequence[str], source: str) -> ExitStatus:
    """Put the entries onto these nodes, signed for them; on the source itself that signs what is
    there.

    Raises:
        NotFound: there are none.
        UsageError: one cannot be an entry of the server.
    """
    if not entries:
        raise NotFound(f"nothing to copy: {source} has no entries", "see `pushcli whitelist list`")
    changes = [Change(name, canonical(name, value, local=False)) for name, value in entries.items()]
    if source in nodes:
        app.note(f"{source} is copied to itself: its entries get your signature")
    return make(app, nodes, changes)


def put_locally(app: App, path: Path, values: Mapping[str, Any]) -> None:
    """Put entries into a file."""
    print_written(app, path, changed=local.put(path, values))


def print_written(app: App, path: Path, *, changed: bool) -> None:
    """Print whether the file is another one now."""
    if not app.is_text:
        app.emit({"file": str(path), "changed": changed})
    else:
        app.print(escape_line(f"{path} is {'written' if changed else 'unchanged'}"))


def print_outcome(app: App, nodes: Sequence[str], outcome: EditOutcome | None) -> ExitStatus:
    """Print how many nodes go by it now, and why the others do not."""
    if outcome is None:
        if app.is_text:
            # Ours looks there now and then.
            who = "the server" if remote.is_beside_chef(app) else "chef-client"
            app.print(f"written to {_count(len(nodes))}; {who} brings it to the agents")
        else:
            app.emit({"nodes": len(nodes), "written": len(nodes)})
        return ExitStatus.OK
    status = ExitStatus.NOT_IN_FORCE if outcome.not_in_force else ExitStatus.OK
    absent = _absent(app, nodes) if outcome.connected < outcome.nodes else []
    if not app.is_text:
        app.emit({**msgspec.to_builtins(outcome), "not_connected": absent})
        return status
    app.print(_summary(outcome, absent))
    reasons: dict[str, list[str]] = defaultdict(list)
    for node, reason in outcome.not_in_force.items():
        reasons[reason].append(node)
    for reason, found in reasons.items():
        app.print(escape_line(f"  not in force on {fold(found)}: {reason}"))
        if (command := pinning(reason)) is not None:
            app.print(f"    pin the key there: {command}")
    return status


def _summary(outcome: EditOutcome, absent: Sequence[str]) -> str:
    everywhere = outcome.in_force == outcome.nodes
    total = "" if everywhere else f"{outcome.in_force} of "
    line = f"in force on {total}{_count(outcome.nodes)}"
    missing = outcome.nodes - outcome.connected
    if missing and len(absent) == missing:
        return f"{line}; {missing} not connected: {fold(absent)}"
    return f"{line}; {missing} not connected, or with an old agent" if missing else line


def _absent(app: App, nodes: Sequence[str]) -> list[str]:
    """Those of the nodes that are not connected; none if the server does not say so now."""
    try:
        states = app.client.node_states()
        online = {s["node_name"] for s in states if s.get("status") == "online"}
    except (PushcliError, TypeError, KeyError, AttributeError):
        # The change is made: that it cannot be told in full is no failure.
        return []
    return [node for node in nodes if node not in online]


def _count(number: int) -> str:
    return f"{number} node" if number == 1 else f"{number} nodes"
