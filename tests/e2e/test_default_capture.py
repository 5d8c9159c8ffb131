"""What real agents keep of output that nobody asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli.protocol.limits import MAX_DEFAULT_OUTPUT
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.waiting import job_is, start

pytestmark = pytest.mark.timeout(90)
DEFAULT = {"pushcli": {"capture": "default"}}
WHITELIST: dict[str, Any] = {
    "both": "echo said; printf 'no \\377 UTF-8' >&2; exit 3",
    "much": (
        "echo first; head -c 300000 /dev/zero | tr '\\0' x; echo last; head -c 70000 /dev/zero >&2"
    ),
    "secret": {"command_line": "echo hidden", "capture": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory, settings = tmp_path_factory.mktemp("default"), {"heartbeat_interval": 250}
    with Fleet(directory, ["n1", "shy"], whitelist=WHITELIST, settings=settings) as fleet:
        edit(fleet.agent_directory("shy") / "agent.toml", "default_capture = false")
        fleet.end_agent("shy")
        fleet.wait_available(["shy"], available=False)
        fleet.start_agent("shy")
        fleet.wait_available(fleet.nodes)
        yield fleet


def edit(file: Path, line: str) -> None:
    """Have the setting first in the file."""
    file.write_text(f"{line}\n{file.read_text()}")


def parts(fleet: Sandbox, command: str, *nodes: str, **asked: Any) -> dict[str, dict[str, Any]]:
    job_id = start(fleet, command, *nodes, **asked)
    job_is(fleet, job_id, "complete")
    return {part["node"]: {"job": job_id, **part} for part in fleet.api.job_nodes(job_id)}


def test_a_little_is_kept_as_it_is_where_the_node_does_not_mind(fleet: Sandbox) -> None:
    found = parts(fleet, "both", "n1", "shy", **DEFAULT)
    job_id = found["n1"]["job"]
    assert (found["n1"]["exit_code"], found["n1"]["stdout_size"]) == (3, 5)
    assert fleet.api.job_output(job_id, "n1", "stderr") == b"no \xff UTF-8"
    assert found["shy"]["exit_code"] == 3
    assert not [key for key in found["shy"] if key.startswith("std")]


def test_of_much_beginning_and_end_are_kept_with_a_mark_between(fleet: Sandbox) -> None:
    found = parts(fleet, "much", "n1", **DEFAULT)["n1"]
    for channel in ("stdout", "stderr"):
        kept = fleet.api.job_output(found["job"], "n1", channel)
        assert 0.99 * MAX_DEFAULT_OUTPUT < len(kept) <= MAX_DEFAULT_OUTPUT
        assert b" bytes left out ...\n" in kept
        assert found[f"{channel}_dropped"] > 0
    kept = fleet.api.job_output(found["job"], "n1", "stdout")
    assert kept.startswith(b"first\nxxx")
    assert kept.endswith(b"xxxlast\n")
    whole = parts(fleet, "much", "n1", capture_output=True)["n1"]
    assert whole["stdout_size"] == len("first\n") + 300_000 + len("last\n")


def test_an_entry_with_secrets_has_the_last_word(fleet: Sandbox) -> None:
    for asked in (DEFAULT, {"capture_output": True}):
        found = parts(fleet, "secret", "n1", "shy", **asked)
        for node, part in found.items():
            assert (part["state"], "stdout_size" in part) == ("succeeded", False)
            spooled = fleet.agent_directory(node).rglob("stdout")
            assert not list(spooled)


def test_a_node_that_keeps_nothing_by_itself_keeps_what_is_asked_for(fleet: Sandbox) -> None:
    found = parts(fleet, "both", "shy", capture_output=True)["shy"]
    assert fleet.api.job_output(found["job"], "shy", "stdout") == b"said\n"


def test_a_server_may_turn_it_off(tmp_path: Path) -> None:
    settings = {"heartbeat_interval": 250, "default_capture": False}
    with Fleet(tmp_path, ["n1"], whitelist=WHITELIST, settings=settings) as fleet:
        fleet.wait_available(fleet.nodes)
        found = parts(fleet, "both", "n1", **DEFAULT)["n1"]
        assert "stdout_size" not in found
        found = parts(fleet, "both", "n1", capture_output=True)["n1"]
        assert found["stdout_size"] == 5
