"""What must hold while a fleet is attacked, and after it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pushcli.sandbox.sandbox import Sandbox
from tests.support.waiting import job_is, patient, start, until

MAX_GROWTH = 100.0
"""MiB of resident memory."""
MAX_LOG = 1_000_000
"""Bytes."""
WORKING = ("n1", "n2")
"""Nodes whose job must not notice anything."""
OTHER = "n3"


def whitelist(directory: Path) -> dict[str, str]:
    """Of every node: `wait` runs until a file of its job's name is there."""
    return {
        "true": "true",
        "wait": f'while [ ! -e "{directory}/$CHEF_PUSH_JOB_ID" ]; do sleep 0.1; done; echo whole',
    }


class Memory:
    """Watches a process's resident memory.

    Args:
        highest: MiB, from then on.
    """

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/statm")
        self.first = self.highest = self.now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def now(self) -> float:
        """MiB."""
        return int(self._file.read_text().split()[1]) * 4096 / 2**20

    def end(self) -> float:
        """Stop watching; returns by how many MiB it grew at most."""
        self._ended.set()
        self._thread.join()
        return self.highest - self.first

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self.highest = max(self.highest, self.now())
            except OSError:
                return


class Log:
    """What a log gets from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._begin = file.stat().st_size

    def text(self) -> str:
        """All of it."""
        return self._file.read_bytes()[self._begin :].decode("utf-8", "replace")

    def require_little(self) -> None:
        """It is short, no line is forged, and nothing failed inside."""
        text = self.text()
        assert len(text) < MAX_LOG, text[:2000]
        assert "Traceback" not in text, text[text.index("Traceback") - 500 :][:4000]
        assert "\x1b" not in text


@contextmanager
def unharmed(fleet: Sandbox) -> Iterator[None]:
    """Attack within: the server lives, stays small and quiet, and its jobs go on."""
    pid, log, memory = fleet.pid("server"), Log(fleet.log("server")), None
    job_id = start(fleet, "wait", *WORKING)
    until(lambda: fleet.api.job(job_id)["nodes"].get("running") == list(WORKING), "both run")
    memory = Memory(pid)
    try:
        yield
        grown = memory.end()
        # Who is asked next need not wait for what was before.
        started = time.monotonic()
        other = start(fleet, "true", OTHER)
        job_is(fleet, other, "complete")
        assert time.monotonic() - started < patient(5)
        assert fleet.api.job(other)["nodes"] == {"succeeded": [OTHER]}
        assert grown < MAX_GROWTH, f"{grown:.0f} MiB"
        assert fleet.api.job(job_id)["nodes"] == {"running": list(WORKING)}
        (fleet.directory / job_id).touch()
        assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": list(WORKING)}
        log.require_little()
    finally:
        memory.end()
        (fleet.directory / job_id).touch()
