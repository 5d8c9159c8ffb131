"""A real agent process, as an operator starts it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.support.scripted_server import NODE
from tests.support.waiting import patient


class AgentProcess:
    """One agent on one directory; it may be started and ended again and again."""

    def __init__(self, directory: Path, url: str, whitelist: dict[str, str]) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.write(url, whitelist)
        self.process: subprocess.Popen[str] | None = None

    def write(self, url: str, whitelist: dict[str, str], **more: Any) -> None:
        """agent.toml."""
        values = {
            "chef_server_url": url,
            "node_name": NODE,
            "file_dir": str(self.directory / "files"),
            **more,
        }
        lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items()]
        entries = [f"{_quote(key)} = {_quote(value)}" for key, value in whitelist.items()]
        text = "\n".join([*lines, "[whitelist]", *entries]) + "\n"
        (self.directory / "agent.toml").write_text(text)

    def start(self, *arguments: str) -> "AgentProcess":
        """Start it; its log goes to a file."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pushcli", "agent", "start", "--dir",
                 str(self.directory), *arguments],
                stderr=log, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        return self

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None
        return self.process.pid

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(patient(10))
        self.process = None
        return status

    def end_jobs(self) -> None:
        """Abort what its supervisors still run."""
        for lock in self.directory.glob("spool/*/lock"):
            pid, *_ = lock.read_text().split() or [""]
            if pid and Path(f"/proc/{pid}/cmdline").exists():
                os.kill(int(pid), signal.SIGTERM)

    def wait_for_log(self, text: str, timeout: float = 5.0) -> None:
        """Until the log says this."""
        end = time.monotonic() + patient(timeout)
        while text not in self.said():
            assert time.monotonic() < end, self.said()
            time.sleep(0.02)

    def said(self) -> str:
        """What is in the log, if there is one."""
        return self.log.read_text() if self.log.is_file() else ""


def _quote(text: str) -> str:
    return msgspec.json.encode(text).decode()


@contextmanager
def agent_process(directory: Path, url: str, whitelist: dict[str, str]) -> Iterator[AgentProcess]:
    """An agent that is ended with the test; the directory holds its client.pem."""
    agent = AgentProcess(directory, url, whitelist)
    try:
        yield agent
    finally:
        if agent.process is not None:
            agent.end(signal.SIGKILL)
        agent.end_jobs()
        # Shown with a test that failed.
        print(agent.said())
