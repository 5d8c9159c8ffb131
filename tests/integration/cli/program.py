"""The real program in a process of its own, with a home directory of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import patient

PUSHCLI = [sys.executable, "-m", "pushcli"]


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Home:
    """A home directory with a credentials file."""

    path: Path

    @property
    def env(self) -> dict[str, str]:
        """An environment that shares nothing with the one of the tests but the path."""
        return {"HOME": str(self.path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def write_profile(self, url: str, key: Path, name: str = "default") -> None:
        """A profile of the user `admin`, in place of what was there."""
        file = self.path / ".pushcli" / "credentials"
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.write_text(
            f'[{name}]\nclient_name = "admin"\nclient_key = "{key}"\nchef_server_url = "{url}"\n'
        )
        file.chmod(0o600)

    def add_to_profile(self, line: str) -> None:
        """One line more."""
        file = self.path / ".pushcli" / "credentials"
        file.write_text(f"{file.read_text()}{line}\n")

    def run(self, *arguments: str, **env: str) -> Result:
        """Run `pushcli ARGUMENTS` to its end."""
        done = subprocess.run(
            [*PUSHCLI, *arguments], env={**self.env, **env}, cwd=self.path, timeout=patient(15),
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        stdout = done.stdout.decode("utf-8", "surrogateescape")
        return Result(done.returncode, stdout, done.stderr.decode())

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `pushcli ARGUMENTS`; wait for it or end it."""
        return subprocess.Popen(
            [*PUSHCLI, *arguments], env=self.env, cwd=self.path, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def assert_one_line(result: Result, status: int, *words: str) -> None:
    """The run failed with this status and one line that has these words."""
    assert (result.status, result.stderr.count("\n")) == (status, 1), result
    assert result.stderr.startswith("pushcli: error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
