"""`whitelist test`: what would run for a request, and by which entry."""

from pathlib import Path

import msgspec

from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.terminal.context import App
from pushcli.whitelist import match
from pushcli.whitelist.workstation import local, local_file, remote, words
from pushcli.whitelist.workstation.views import Verdict

READY = "ready"


def test_node(app: App, node: str, request: str) -> ExitStatus:
    """Ask the node's agent, live."""
    return _print_verdict(app, node, remote.check(app, node, request))


def test_file(app: App, path: Path, request: str) -> ExitStatus:
    """What an agent would do that had only this file.

    Raises:
        ConfigError: the agent would not take the file.
    """
    found = match.find(local.checked(path, local_file.read(path)), request)
    if found is None:
        return _print_verdict(
            app, str(path), Verdict(state="nacked", reason="not on the whitelist")
        )
    runs = found.command if isinstance(found.command, str) else list(found.command)
    verdict = Verdict(state=READY, entry=found.entry.name, source="local", runs=runs)
    return _print_verdict(app, str(path), verdict)


def _print_verdict(app: App, where: str, verdict: Verdict) -> ExitStatus:
    ready = verdict.state == READY
    if not app.is_text:
        app.emit({"node": where, **msgspec.to_builtins(verdict)})
    elif ready:
        source = f" ({verdict.source})" if verdict.source else ""
        app.print(escape_line(f"{where} would run: {words.runs(verdict.runs or '')}"))
        app.print(escape_line(f"  by the entry {verdict.entry}{source}"))
    else:
        why = verdict.reason or "no reason given"
        app.print(escape_line(f"{where} would run nothing ({verdict.state}): {why}"))
    return ExitStatus.OK if ready else ExitStatus.WOULD_NOT_RUN
