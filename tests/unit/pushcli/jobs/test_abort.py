"""What is said of nodes that an abort was not confirmed by."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from pushcli.jobs.abort import Abort, confirm, remarks
from pushcli.jobs.model import NodeResult
from pushcli.terminal.context import App


def left() -> Any:
    """What stands for an answer of the server that nobody waits for."""
    raise KeyboardInterrupt


def test_who_leaves_before_any_node_answered_is_told_that_none_did() -> None:
    client: Any = SimpleNamespace(extensions=frozenset({"job-nodes"}), job=lambda _: left())
    app = App(
        stdout=io.StringIO(), stderr=io.StringIO(), stdin=None, env={}, connect=lambda *_: client
    )
    parts = [NodeResult(node=f"n{number}", state="running") for number in (1, 2)]
    one = Abort(job_id="8" * 32, status="aborted", before=parts)
    with pytest.raises(KeyboardInterrupt):
        confirm(app, [one])
    assert one.confirmed == []
    [line] = remarks(one)
    assert line.startswith("NOT CONFIRMED by n[1-2] so far: the command may still be ending there")
