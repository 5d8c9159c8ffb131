"""The Tab key in real shells, each on a pseudo-terminal."""

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


@contextmanager
def shell_with_completion(shell: str, home: Path) -> Iterator["pexpect.spawn[str]"]:
    """The shell at its prompt, its script loaded."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"HOME": str(home), "PATH": path, "TERM": "xterm", "LANG": "C.UTF-8"}
    child = pexpect.spawn(
        shutil.which(shell), START[shell], env=env, cwd=home, dimensions=(40, 120),
        encoding="utf-8", timeout=patient(20),
    )  # fmt: skip
    try:
        # Written in two pieces: what is echoed is not what is waited for.
        child.sendline(f"{LOAD[shell]}; echo lo''aded")
        child.expect("loaded")
        yield child
    finally:
        child.close(force=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_a_command_and_an_option(shell: str, tmp_path: Path) -> None:
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli aud\t--of-s\t")
        child.expect("--of-server")
        child.send(" --li\t")
        child.expect("--limit")


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_shows_what_there_is(shell: str, tmp_path: Path) -> None:
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli job sta\t\t")
        child.expect("start")
        child.expect("status")


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_a_profile_of_the_credentials_file(shell: str, tmp_path: Path) -> None:
    credentials = tmp_path / ".pushcli" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text('[default]\n[staging-eu]\nchef_server_url = "https://x/y"\n')
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli job list --profile sta\t")
        child.expect("staging-eu")


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_goes_by_the_file_that_is_named_before(shell: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[elsewhere]\n")
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli -c other job list --profile else\t")
        child.expect("elsewhere")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_broken_credentials_file_leaves_the_line_alone(shell: str, tmp_path: Path) -> None:
    credentials = tmp_path / ".pushcli" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text("[broken")
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli job list --profile sta\t --help; echo lo''st\r")
        child.expect("lost")
        assert "Traceback" not in child.before
        assert "error" not in child.before


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_a_description_keeps_its_commas_in_fish(tmp_path: Path) -> None:
    with shell_with_completion("fish", tmp_path) as child:
        child.sendline("complete -C 'pushcli jo'")
        child.expect("Start, watch, abort and read jobs")
