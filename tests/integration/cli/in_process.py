"""The command line in this process, against a Chef Infra Server that a test plays."""

import io
from pathlib import Path
from typing import NamedTuple

from pushcli.cli import root
from pushcli.terminal.context import App
from tests.integration.cli.played_server import URL

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
    """`pushcli ARGUMENTS` as the user ann of the organization acme.

    Raises:
        PushcliError: what the program would tell in one line.
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    env = {"PUSHCLI_SERVER_URL": URL, "PUSHCLI_USER": "ann", "PUSHCLI_KEY": str(key)}
    app = App(stdout=out, stderr=err, stdin=None, env=env)
    with root.make_context("pushcli", list(arguments), obj=app) as context:
        status = root.invoke(context)
    if "client" in app.__dict__:
        app.client.close()
    assert isinstance(out.buffer, io.BytesIO)
    return Said(status, out.buffer.getvalue().decode(), err.getvalue())
