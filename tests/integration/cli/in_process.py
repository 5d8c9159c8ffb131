"""The command line in this process: whoever tests what it does needs no process for it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pushcli.__main__ import explain
from pushcli.cli import root
from pushcli.terminal.context import App
from tests.integration.cli.played_server import URL
from tests.integration.cli.program import Result

OLD_SERVER = {
    "Server": "openresty/1.25.3.1",
    "X-Ops-API-Info": "flavor=cs;version=12.0.0;oc_erchef=15.9.38+20240101",
    "X-Ops-Server-API-Version": '{"min_version":"0","max_version":"2","request_version":"0"}',
}
"""Headers of a Chef Infra Server."""


class Said(NamedTuple):
    """What a command gave back and wrote."""

    status: object
    stdout: str
    stderr: str


def run(key: Path, *arguments: str) -> Said:
    """`pushcli ARGUMENTS` as the user ann of acme, against a Chef Infra Server that a test plays.

    Raises:
        PushcliError: what the program would tell in one line.
    """
    env = {"PUSHCLI_SERVER_URL": URL, "PUSHCLI_USER": "ann", "PUSHCLI_KEY": str(key)}
    return run_with(env, *arguments)


def run_with(env: Mapping[str, str], *arguments: str) -> Said:
    """`pushcli ARGUMENTS` with this environment, without a terminal.

    Raises:
        PushcliError: what the program would tell in one line.
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    app = App(stdout=out, stderr=err, stdin=None, env=env)
    try:
        with root.make_context("pushcli", list(arguments), obj=app) as context:
            status = root.invoke(context)
    finally:
        if "client" in app.__dict__:
            app.client.close()
    assert isinstance(out.buffer, io.BytesIO)
    return Said(status, out.buffer.getvalue().decode(), err.getvalue())


def outcome(env: Mapping[str, str], *arguments: str) -> Result:
    """How `pushcli ARGUMENTS` ends; of one that fails no more than the line that says why."""
    try:
        said = run_with(env, *arguments)
    except Exception as error:
        line, status = explain(error)
        return Result(status, "", f"pushcli: error: {line}\n")
    assert said.status is None or isinstance(said.status, int)
    return Result(said.status or 0, said.stdout, said.stderr)
