"""The command line in this process: whoever tests what it does needs no process for it."""

import io
from collections.abc import Mapping
from typing import NamedTuple

from pushcli.__main__ import explain
from pushcli.cli import root
from pushcli.terminal.context import App


class Said(NamedTuple):
    """What a command gave back and wrote."""

    status: int
    stdout: str
    stderr: str


def run(env: Mapping[str, str], *arguments: str) -> Said:
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
    assert status is None or isinstance(status, int)
    assert isinstance(out.buffer, io.BytesIO)
    return Said(status or 0, out.buffer.getvalue().decode(), err.getvalue())


def outcome(env: Mapping[str, str], *arguments: str) -> Said:
    """How `pushcli ARGUMENTS` ends, as `run`; of one that fails the line that says why, alone."""
    try:
        return run(env, *arguments)
    except Exception as error:
        line, status = explain(error)
        return Said(status, "", f"pushcli: error: {line}\n")
