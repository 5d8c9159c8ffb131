"""Real shells, and what they do with a command."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import patient

SHELLS = [shell for shell in map(shutil.which, ("sh", "dash", "bash")) if shell is not None]
HOSTILE = [
    "x", "", " ", "$(touch X)", "`touch X`", "'", "''", "\\", "\\'", "'; touch X; '", '"',
    '"; touch X; "',
    "$HOME", "${x:-$(touch X)}", "a[$(touch X)]", "$((a[$(touch X)]))", ";touch X", "&& touch X",
    "| touch X",
    "> X", "#", "*", "~", "-n", "%s", "\\'; touch X #", "'\\''; touch X; '", "é", "日本", "\\0",
    "\\1", "!!",
    "{a,b}", ")", "(touch X)", "}; touch X", "EOF", "a=b", "\u00a0", "$'\\x27; touch X'", "[x]",
    "]] ; touch X",
]  # fmt: skip
"""Requests that want a file called X."""


@dataclass(frozen=True)
class Ran:
    """What a shell did."""

    status: int
    output: bytes
    created: list[str]


def run(shell: str, command: str | tuple[str, ...]) -> Ran:
    """Have a shell run a command, or itself with such arguments, in an empty directory."""
    arguments = ["-c", command] if isinstance(command, str) else command[1:]
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [shell, *arguments], cwd=directory, capture_output=True, timeout=patient(10),
            check=False, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "x": "value", "HOME": "/"},
        )  # fmt: skip
        created = sorted(path.name for path in Path(directory).rglob("*"))
        return Ran(done.returncode, done.stdout, created)
