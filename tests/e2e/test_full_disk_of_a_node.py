"""A node's disk is full: its agent goes on, and says what it cannot keep."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.e2e.conftest import FAST, WHITELIST
from tests.support.fleet import Fleet
from tests.support.full_disk import fill, needs_mount, small_disk
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow, needs_mount]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Sandbox]:
    """One node, whose agent's directory is a small disk."""
    with ExitStack() as stack:

        class OnASmallDisk(Fleet):
            def enroll_node(self, node: str) -> None:
                super().enroll_node(node)
                place, made = self.agent_directory(node), tmp_path / "made"
                shutil.copytree(place, made)
                stack.enter_context(small_disk(place, "2m"))
                shutil.copytree(made, place, dirs_exist_ok=True)

        made = OnASmallDisk(tmp_path, ["n1"], whitelist=WHITELIST, settings=FAST)
        yield stack.enter_context(made)


def test_an_edit_that_a_node_cannot_keep_is_not_in_force_and_is_when_there_is_room(
    fleet: Sandbox,
) -> None:
    ballast = fill(fleet.agent_directory("n1"))
    edit = fleet.cli("whitelist", "add", "up", "echo up", "n1", "-y")
    assert edit.returncode == 11, edit
    why = "cannot save the server's whitelist in .*: No space left on device"
    assert re.search(rf"not in force on n1: {why}", edit.stdout)
    listed = fleet.cli("whitelist", "list", "n1")
    assert re.search(rf"n1: what was in force before stays: {why}", listed.stderr)
    assert fleet.cli("job", "start", "true", "n1").returncode == 3
    told = fleet.cli("job", "start", "--dry-run", "true", "n1").stdout
    assert "no space left on the disk of" in told
    ballast.unlink()
    # Nobody has to push it again.
    until(lambda: fleet.cli("job", "start", "up", "n1").returncode == 0, "it is in force")
    assert fleet.cli("job", "start", "true", "n1").returncode == 0
