"""What the commands of a job wrote, printed for people: also why there is nothing of it."""

import io
from typing import Any

import pytest

from pushcli.jobs.folded import print_folded
from pushcli.jobs.model import NodeResult
from pushcli.jobs.output import Outputs
from pushcli.terminal.context import App

SIZED = {"stdout_size": 3, "stderr_size": 0}


@pytest.mark.parametrize(
    ("result", "outputs", "line"),
    [
        ({"state": "succeeded"}, {},
         "web01 (succeeded): no output was kept: its entry may say capture = false"),
        ({"state": "crashed"}, {}, "web01 (crashed): no output arrived"),
        ({"state": "succeeded", **SIZED}, {"stderr": b""}, "web01 (succeeded): no output arrived"),
        ({"state": "succeeded", **SIZED, "output_deleted_at": 1.0}, {"stderr": b""},
         "web01 (succeeded, output deleted)"),
        ({"state": "succeeded", **SIZED, "output_deleted_at": 1.0}, {},
         "web01 (succeeded, output deleted)"),
        ({"state": "aborted", "output_pending": True}, {}, "web01 (aborted, output still to come)"),
        ({"state": "succeeded", "stdout_size": 0, "stderr_size": 0},
         {"stdout": b"", "stderr": b""}, "web01 (succeeded): no output"),
    ],
)  # fmt: skip
def test_why_there_is_no_output_is_said_once(
    result: dict[str, Any], outputs: Outputs, line: str
) -> None:
    out = io.StringIO()
    app = App(stdout=out, stderr=io.StringIO(), stdin=None, env={})
    print_folded(app, [NodeResult(node="web01", **result)], {"web01": outputs})
    assert out.getvalue() == f"{line}\n"
