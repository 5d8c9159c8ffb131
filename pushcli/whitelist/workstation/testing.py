"""`whitelist test`: what would run for a request, and by which entry."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.whitelist import match
from pushcli.whitelist.workstation import local, local_file, remote, words
from pushcli.whitelist.workstation.views import Verdict

READY = "ready"


def test_nodes(app: App, nodes: Sequence[str], request: str) -> ExitStatus:
    """Ask the nodes' agents, live; those that say the same share a line."""
    verdicts = remote.check(app, nodes, request)
    if not app.is_text:
        told = [{"node": node, **msgspec.to_builtins(verdicts[node])} for node in nodes]
        app.emit(told if len(told) > 1 else told[0])
    else:
        alike: dict[Verdict, list[str]] = {}
        for node in nodes:
            alike.setdefault(verdicts[node], []).append(node)
        for verdict, names in sorted(alike.items(), key=lambda item: item[0].state != READY):
            count = f" ({len(names)})" if len(names) > 1 else ""
            _print_verdict(app, f"{fold(names)}{count}", verdict)
    return _status(verdicts.values())


def test_file(app: App, path: Path, request: str) -> ExitStatus:
    """What an agent would do that had only this file.

    Raises:
        ConfigError: the agent would not take the file.
    """
    found = match.find(local.checked(path, local_file.read(path)), request)
    if found is None:
        verdict = Verdict(state="nacked", reason="not on the whitelist")
    else:
        runs = found.command if isinstance(found.command, str) else tuple(found.command)
        verdict = Verdict(state=READY, entry=found.entry.name, source="local", runs=runs)
    if app.is_text:
        _print_verdict(app, str(path), verdict)
    else:
        app.emit({"node": str(path), **msgspec.to_builtins(verdict)})
    return _status([verdict])


def _status(verdicts: Iterable[Verdict]) -> ExitStatus:
    would = all(verdict.state == READY for verdict in verdicts)
    return ExitStatus.OK if would else ExitStatus.WOULD_NOT_RUN


def _print_verdict(app: App, where: str, verdict: Verdict) -> None:
    if verdict.state == READY:
        source = f" ({verdict.source})" if verdict.source else ""
        app.print(escape_line(f"{where} would run: {words.runs(verdict.runs or '')}"))
        app.print(escape_line(f"  by the entry {verdict.entry}{source}"))
    else:
        why = verdict.reason or "no reason given"
        app.print(escape_line(f"{where} would run nothing ({verdict.state}): {why}"))
