"""Real shells on pseudo-terminals, with completion loaded."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from tests.support.waiting import patient

SCRIPTS = Path(__file__).parents[3] / "completions"
START = {
    "bash": ["--norc", "--noprofile"],
    "zsh": ["-f"],
    "fish": ["--no-config", "--private"],
}
LOAD = {
    "bash": f"source {SCRIPTS}/pushcli.bash",
    "zsh": f"autoload -U compinit && compinit -D && source {SCRIPTS}/_pushcli",
    "fish": f"source {SCRIPTS}/pushcli.fish",
}
SHELLS = [
    pytest.param(
        shell, marks=pytest.mark.skipif(not shutil.which(shell), reason=f"no {shell} here")
    )
    for shell in START
]
BEGINNING = "\x01"
"""The key that leads to the line's beginning."""


@contextmanager
def shell_with_completion(
    shell: str, home: Path, cwd: Path | None = None
) -> Iterator["pexpect.spawn[str]"]:
    """The shell at its prompt, its script loaded."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"HOME": str(home), "PATH": path, "TERM": "xterm", "LANG": "C.UTF-8"}
    child = pexpect.spawn(
        shutil.which(shell), START[shell], env=env, cwd=cwd or home, dimensions=(40, 160),
        encoding="utf-8", timeout=patient(20),
    )  # fmt: skip
    try:
        # Written in two pieces: what is echoed is not what is waited for.
        child.sendline(f"{LOAD[shell]}; echo lo''aded")
        child.expect("loaded")
        yield child
    finally:
        child.close(force=True)
