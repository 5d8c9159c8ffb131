"""A real server, and operators who type commands at it."""

import json
import os
import pty
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.program import Result
from tests.support.waiting import patient


@dataclass(frozen=True)
class Operated:
    """Runs the program as an administrator of the organization, or as somebody else."""

    fleet: Sandbox

    @property
    def place(self) -> Path:
        """Where commands are typed."""
        return self.fleet.directory / "home"

    @property
    def superuser(self) -> tuple[str, ...]:
        """The options of the superuser that `server init` made."""
        return ("-u", "pivotal", "-k", str(self.fleet.server_directory / "keys" / "pivotal.pem"))

    def run(self, *arguments: str, **env: str) -> Result:
        """Run `pushcli ARGUMENTS` to its end."""
        done = subprocess.run(
            self.fleet.command(*arguments), env={**self.fleet.environment, **env},
            cwd=self.place, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=patient(15), check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, **env: str) -> str:
        """What it prints if it succeeds, which it must."""
        result = self.run(*arguments, **env)
        assert result.status == ExitStatus.OK, result
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """The same with `-F json`, read."""
        return json.loads(self.ok(*arguments, "-F", "json"))

    def typed(self, answer: str, *arguments: str) -> tuple[int, str]:
        """Run it on a terminal and answer its question; the exit status and all it wrote."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            self.fleet.command(*arguments), env=self.fleet.environment, cwd=self.place,
            stdin=theirs, stdout=theirs, stderr=theirs,
        ) as process:  # fmt: skip
            os.close(theirs)
            os.write(ours, answer.encode())
            written = b""
            while chunk := _read(ours):
                written += chunk
            os.close(ours)
            return process.wait(patient(15)), written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""  # the other end is closed
