"""The directory that a job was allowed is the one that its command begins in."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli.protocol.run import RunSpec
from pushcli.whitelist.entry import parse
from pushcli_agent.running.policy import PolicyConfig, prepare
from pushcli_agent.running.spool import RunningJob, Spool
from pushcli_agent.supervise import process
from pushcli_agent.whitelist.merged import MergedWhitelist
from tests.integration.agent.supervise.supervised import (
    JOB,
    errors,
    finish,
    open_directory,
    output,
)
from tests.support.descriptors import open_descriptors

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as other users")


@pytest.fixture
def place() -> Iterator[Path]:
    """`app` and `evil`, which other users may enter."""
    with open_directory() as path:
        for name in ("app", "evil"):
            (path / name).mkdir()
        yield path


def committed(tmp_path: Path, allowed: Path, asked: Path, **entry: Any) -> RunningJob:
    """A job on a node that allows one directory, voted for and not started yet."""
    value = {"command_line": "pwd; ls /proc/self/fd | wc -l", **entry}
    config = PolicyConfig(
        whitelist=MergedWhitelist({"go": parse("go", value, local=True)}),
        file_dir=tmp_path / "files",
        lock_dir=tmp_path / "locks",
        allowed_dirs=frozenset({str(allowed)}),
    )
    run = RunSpec(command="go", run_timeout=math.inf, dir=str(asked), capture=True)
    job = prepare(JOB, run, config, node="web01", requestor="ann")
    try:
        return Spool(tmp_path / "spool").start(job)
    finally:
        job.release()


@pytest.mark.parametrize("lock", [True, False])
def test_the_command_begins_there_and_inherits_nothing(
    tmp_path: Path, place: Path, lock: bool
) -> None:
    before = open_descriptors()
    job = committed(tmp_path, place / "app", place / "app", lock=lock)
    job.run()
    # 0, 1, 2, and the one with which `ls` reads the directory.
    assert output(finish(job)) == f"{place}/app\n4\n"
    assert open_descriptors() == before


def test_a_link_that_is_turned_around_after_the_vote_changes_nothing(
    tmp_path: Path, place: Path
) -> None:
    link = place / "link"
    link.symlink_to(place / "app")
    job = committed(tmp_path, place / "app", link)
    link.unlink()
    link.symlink_to(place / "evil")
    job.run()
    assert output(finish(job)).startswith(f"{place}/app\n")


@pytest.mark.parametrize("by", ["link", "directory"])
def test_a_directory_that_is_replaced_after_the_vote_is_not_entered(
    tmp_path: Path, place: Path, by: str
) -> None:
    job = committed(tmp_path, place / "app", place / "app")
    (place / "app").rmdir()
    if by == "link":
        (place / "app").symlink_to(place / "evil")
    else:
        (place / "app").mkdir()
    job.run()
    finished = finish(job)
    assert finished.result.exit_code == 126
    assert errors(finished) == (
        "pushcli: cannot run the command: "
        "its directory was replaced after this node agreed to run it\n"
    )
    assert output(finished) == ""


@as_root
def test_whoever_runs_it_must_be_able_to_get_there(tmp_path: Path, place: Path) -> None:
    inner = place / "app" / "inner"
    inner.mkdir(0o755)
    (place / "app").chmod(0o700)
    job = committed(tmp_path, inner, inner, user="nobody")
    job.run()
    finished = finish(job)
    assert finished.result.exit_code == 126
    assert "cannot change to its directory: Permission denied" in errors(finished)


def test_an_agent_of_0_1_0_says_nothing_of_a_judged_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir("/")
    process.enter(b"/usr", None)
    assert Path.cwd() == Path("/usr")
