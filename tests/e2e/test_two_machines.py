"""Two real agents under one name, as a cloned machine starts them."""

import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.support.waiting import patient, until

pytestmark = pytest.mark.timeout(patient(60))
CLONE = "clone"
"""What the second machine's directory is called; its name is the first one's."""


def clone(fleet: Sandbox) -> None:
    """A copy of the node's machine, which starts while the first goes on."""
    original, copy = fleet.agent_directory("n1"), fleet.agent_directory(CLONE)
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("spool", "*.lock"))
    file = copy / "agent.toml"
    file.write_text(file.read_text().replace(str(original), str(copy)))
    fleet.start_agent(CLONE)


def reason(fleet: Sandbox) -> str:
    status: dict[str, Any] = fleet.api.get("pushy/node_status/n1")
    return str(status.get("reason", ""))


@pytest.mark.parametrize("stopped", ["n1", CLONE])
def test_whichever_machine_is_stopped_the_other_is_available_again(
    make_fleet: Callable[..., Sandbox], stopped: str
) -> None:
    fleet = make_fleet("n1")
    clone(fleet)
    until(lambda: "two agents use this name" in reason(fleet), "the conflict is noticed")
    assert fleet.cli("job", "start", "true", "n1").returncode == 3
    fleet.end_agent(stopped, signal.SIGKILL)
    fleet.wait_available(["n1"])
    done = fleet.cli("job", "start", "true", "n1")
    assert done.returncode == 0, done.stdout + done.stderr
