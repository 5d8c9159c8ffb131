"""`pushcli server ...` as a process of its own, with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.support.waiting import patient


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user without profiles or settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUSHCLI_", "CHEF_"))}
    return {**kept, "HOME": str(home), **more}


def pushcli(
    home: Path, arguments: Iterable[str | Path], **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pushcli", *map(str, arguments)],
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patient(15),
        check=False,
    )


def one_line(text: str) -> str:
    """The only line of what a command wrote to standard error."""
    assert "Traceback" not in text
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("pushcli: error: ")
    return lines[0]
