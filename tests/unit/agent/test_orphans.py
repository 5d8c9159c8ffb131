"""Reaping what others left, and leaving alone what somebody waits for."""

import subprocess
from pathlib import Path

from pushcli_agent import orphans
from tests.support.waiting import until


def has_ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_whose_end_somebody_waits_for_is_left_to_him() -> None:
    with subprocess.Popen(["sh", "-c", "exit 3"]) as awaited, subprocess.Popen(["true"]) as left:
        until(lambda: has_ended(awaited.pid) and has_ended(left.pid), "both have ended")
        assert orphans.reap({awaited.pid}) == 1
        assert orphans.reap({awaited.pid}) == 0
        assert awaited.wait() == 3
        assert not Path(f"/proc/{left.pid}").exists()
