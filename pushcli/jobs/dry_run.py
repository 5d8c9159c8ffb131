"""`job start --dry-run`: the vote without the job, by asking the agents."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from pushcli.client.answers import checked
from pushcli.errors import NotOffered, RequestRefused
from pushcli.exit_status import ExitStatus
from pushcli.jobs.freezing import warn_if_frozen
from pushcli.jobs.model import NodeResult
from pushcli.jobs.troubles import exceptions
from pushcli.protocol import run_wire
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App
from pushcli.terminal.table import hung


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says (docs/extensions.md); `unknown`: its agent is an old one."""

    state: Literal["ready", "nacked", "unavailable", "unknown"]
    reason: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    nodes: dict[str, Verdict]


def dry_run(app: App, request: Mapping[str, Any]) -> ExitStatus:
    """Tell whether the quorum would hold, and who would not take part and why.

    Raises:
        NotOffered: the server cannot ask its agents.
    """
    keys = ("command", "nodes", "user", "dir", "env")
    question = {key: request[key] for key in keys if key in request}
    options = request.get(run_wire.OPTIONS_KEY, {})
    if secrets := options.get(run_wire.SECRET_ENV):
        # Whether they are allowed hangs on their names.
        question["env"] = {**question.get("env", {}), **dict.fromkeys(secrets, "")}
        question["secrets"] = True
    if run_wire.STDIN in options:
        question["stdin"] = True
    raw = _ask(app, question)
    verdicts = checked(raw, _Answer).nodes
    ready = sum(verdict.state == "ready" for verdict in verdicts.values())
    unknown = sum(verdict.state == "unknown" for verdict in verdicts.values())
    quorum = int(request.get("quorum", len(request["nodes"])))
    holds = ready >= quorum
    if not app.is_text:
        app.emit({**raw, "quorum": quorum, "ready": ready, "quorum_holds": holds})
    else:
        app.print(app.paint(_sentence(ready, unknown, len(verdicts), quorum), _colour(holds)))
        for line in exceptions(_results(verdicts)):
            for part in hung(app, line, 2):
                app.print(part)
    warn_if_frozen(app)
    return ExitStatus.OK if holds else ExitStatus.QUORUM_FAILED


def _ask(app: App, question: Mapping[str, Any]) -> Any:
    try:
        return app.client.post("pushy/checks", question)
    except NotOffered as error:
        error.remedy = f"leave out --dry-run; {error.remedy}"
        raise
    except RequestRefused as error:
        if "stdin" in question and run_wire.STDIN not in app.client.extensions:
            raise RequestRefused(
                "this server cannot give commands standard input", "upgrade it, or send a --file"
            ) from error
        if "env" not in question or run_wire.JOB_OPTIONS in app.client.extensions:
            raise
        raise RequestRefused(
            "this server cannot check an environment without starting a job",
            "leave out --with-env, or upgrade the server",
        ) from error


def _sentence(ready: int, unknown: int, count: int, quorum: int) -> str:
    would = f"{ready} of {count} nodes would run it"
    if ready >= quorum:
        return f"{would}: the quorum of {quorum} would hold.  Nothing was started."
    if ready + unknown >= quorum:
        return (
            f"{would}, {unknown} cannot tell: the quorum of {quorum} might hold.  "
            "Nothing was started."
        )
    few = f", only {count} named" if quorum > count else ""
    return f"{would}: the quorum of {quorum} would fail{few}.  Nothing was started."


def _colour(holds: bool) -> str:
    return colour("complete" if holds else "quorum_failed")


def _results(verdicts: Mapping[str, Verdict]) -> list[NodeResult]:
    return [
        NodeResult(node=node, state=verdict.state, reason=verdict.reason)
        for node, verdict in verdicts.items()
        if verdict.state != "ready"
    ]
