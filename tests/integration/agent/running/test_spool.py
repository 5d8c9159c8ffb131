"""Supervisors and results across the ends of agents, and the spool that holds them."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pushcli.errors import StartError
from pushcli_agent.boot import Boot
from pushcli_agent.running import leftovers
from pushcli_agent.running.disk import why
from pushcli_agent.running.job_directory import read_head
from pushcli_agent.running.spool import FinishedJob, RunningJob, Spool
from tests.integration.agent.supervise.supervised import (
    JOB,
    NODE_ENV,
    errors,
    finish,
    output,
    prepared,
    processes,
    run,
    spool_in,
    wait_for_end,
)
from tests.support.full_disk import fill, small_disk
from tests.support.waiting import until

OTHER = "0" * 31 + "1"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path / "spool") as spool:
        yield spool


def left_running(tmp_path: Path, command: str, *, reboots: bool) -> Path:
    """A job whose supervisor and command were running when the machine went down; its spool."""
    spool = Spool(tmp_path / "spool", Boot("first"))
    job = spool.start(prepared(command, reboots=reboots))
    job.run()
    until(lambda: job.grown("stdout") or (spool.directory / JOB / "stdout").stat().st_size)
    os.kill(job.pid, signal.SIGKILL)
    wait_for_end(job)
    leftovers.kill(spool.directory / JOB)
    return spool.directory


@pytest.mark.parametrize(
    ("reboots", "boot", "succeeded"),
    [(True, "second", True), (True, "first", False), (True, "", False), (False, "second", False)],
)
def test_a_job_that_may_restart_the_machine_succeeds_when_it_is_back(
    tmp_path: Path, reboots: bool, boot: str, succeeded: bool
) -> None:
    directory = left_running(tmp_path, "echo going; exec sleep 300", reboots=reboots)
    (job,) = Spool(directory, Boot(boot, time.time())).adopt()
    assert isinstance(job, FinishedJob)
    assert (job.result.succeeded, job.result.lost) == (succeeded, not succeeded)
    assert output(job) == "going\n"


@pytest.mark.parametrize(
    ("command", "changes", "succeeded"),
    [
        ("echo; kill -TERM $$", {}, True),
        ("echo; exit 3", {}, False),
        ("echo; exec sleep 300", {"run_timeout": 0.2}, False),
    ],
)
def test_what_the_shutdown_ended_succeeds_but_not_what_had_failed_before(
    tmp_path: Path, command: str, changes: dict[str, float], succeeded: bool
) -> None:
    run(Spool(tmp_path / "spool", Boot("first")), command, reboots=True, **changes)
    (job,) = Spool(tmp_path / "spool", Boot("second", time.time() + 90)).adopt()
    assert isinstance(job, FinishedJob)
    assert job.result.succeeded is succeeded


@pytest.mark.parametrize("later", [3600, -3600])
def test_what_ended_long_before_the_restart_was_not_ended_by_it(
    tmp_path: Path, later: float
) -> None:
    run(Spool(tmp_path / "spool", Boot("first")), "echo; kill -SEGV $$", reboots=True)
    (job,) = Spool(tmp_path / "spool", Boot("second", time.time() + later)).adopt()
    assert isinstance(job, FinishedJob)
    assert not job.result.succeeded
    assert job.result.signal == signal.SIGSEGV


def test_what_lost_its_supervisor_before_the_restart_stays_lost(tmp_path: Path) -> None:
    directory = left_running(tmp_path, "echo going; exec sleep 300", reboots=True)
    (job,) = Spool(directory, Boot("first", time.time())).adopt()
    assert isinstance(job, FinishedJob)
    assert job.result.lost
    (again,) = Spool(directory, Boot("second", time.time())).adopt()
    assert isinstance(again, FinishedJob)
    assert again.result.lost


def test_starting_a_supervisor_does_not_hold_the_agent_up(spool: Spool) -> None:
    def times() -> tuple[float, float]:
        before = time.perf_counter()
        job = spool.start(prepared("true"))
        started = time.perf_counter()
        until(lambda: b"committed" in (spool.directory / JOB / "lock").read_bytes())
        ready = time.perf_counter()
        job.run()
        finish(job).discard()
        return started - before, ready - before

    # Both grow with the load of the machine.
    started, ready = (min(column) for column in zip(*(times() for _ in range(5)), strict=True))
    assert started < ready / 2


@pytest.mark.parametrize("by_default", [True, False])
def test_only_output_that_was_asked_for_is_delivered_while_it_is_written(
    spool: Spool, by_default: bool
) -> None:
    job = prepared("true")
    asked = msgspec.structs.replace(job.run, capture=not by_default, default_capture=by_default)
    started = spool.start(msgspec.structs.replace(job, run=asked))
    assert (read_head(spool.directory / JOB) is None) == by_default
    started.run()
    finish(started)


def test_a_supervisor_that_cannot_be_started_leaves_no_descriptor(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "posix_spawn", refuse)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises((OSError, StartError)):
        spool.start(prepared("true"))
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_job_that_is_aborted_before_it_ran_leaves_no_result(spool: Spool) -> None:
    job = spool.start(prepared("touch ran"))
    job.abort()
    wait_for_end(job)
    assert job.finished() is None
    job.run()
    spool.discard(JOB)
    assert list(spool.directory.iterdir()) == []


def test_a_job_whose_agent_goes_before_the_run_never_runs(spool: Spool, tmp_path: Path) -> None:
    job = spool.start(prepared(f"touch {tmp_path}/ran"))
    pid = job.pid
    job.close()
    assert os.waitpid(pid, 0)[1] == 0
    assert not (tmp_path / "ran").exists()
    assert spool.adopt() == []
    assert list(spool.directory.iterdir()) == []


def test_a_job_runs_at_most_once(spool: Spool, tmp_path: Path) -> None:
    job = spool.start(prepared("echo once >> $OUT", env={**NODE_ENV, "OUT": str(tmp_path / "out")}))
    job.run()
    job.run()
    with pytest.raises(FileExistsError):
        spool.start(prepared("echo twice >> $OUT"))
    finish(job)
    assert (tmp_path / "out").read_text() == "once\n"


AGENT = """
import os, sys, time
from pathlib import Path
from pushcli_agent.running.spool import Spool
from tests.integration.agent.supervise.supervised import prepared

directory, command, then, job_id = sys.argv[1:]
env = {**os.environ, "CHEF_PUSH_JOB_ID": job_id}
job = Spool(Path(directory)).start(prepared(command, job_id=job_id, env=env))
if then == "run":
    job.run()
print(job.pid, flush=True)
time.sleep(60)
"""


def killed_agent(spool: Spool, command: str, *, told_to_run: bool) -> int:
    """Start a job in another process that is then killed; the supervisor's number."""
    process = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(spool.directory), command, "run" * told_to_run, JOB],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert process.stdout is not None
    with process, process.stdout:
        pid = int(process.stdout.readline())
        process.kill()
    return pid


def test_a_job_survives_the_agents_death_and_is_adopted(spool: Spool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = f"echo one; while [ ! -e {gate} ]; do sleep 0.02; done; echo two; exit 5"
    pid = killed_agent(spool, command, told_to_run=True)
    [job] = spool.adopt()
    assert isinstance(job, RunningJob)
    assert (job.job_id, job.pid, job.state) == (JOB, pid, "running")
    assert not job.ended()
    assert job.finished() is None
    gate.touch()
    finished = finish(job)
    assert (output(finished), finished.result.exit_code) == ("one\ntwo\n", 5)


def test_an_adopted_job_can_be_aborted(spool: Spool) -> None:
    killed_agent(spool, "sleep 300", told_to_run=True)
    [job] = spool.adopt()
    assert isinstance(job, RunningJob)
    job.abort()
    assert finish(job).result.aborted
    assert processes() == set()


def test_a_committed_job_of_a_killed_agent_is_gone(spool: Spool) -> None:
    killed_agent(spool, "sleep 300", told_to_run=False)
    assert spool.adopt() == []
    assert list(spool.directory.iterdir()) == []


def test_results_wait_until_they_are_discarded(spool: Spool) -> None:
    first = run(spool, "echo kept; exit 2")
    for _ in range(2):
        [job] = Spool(spool.directory).adopt()
        assert isinstance(job, FinishedJob)
        assert (job.result.exit_code, output(job)) == (2, "kept\n")
    first.discard()
    assert spool.adopt() == []
    first.discard()


def test_several_jobs_are_adopted_and_strange_files_left_alone(spool: Spool) -> None:
    run(spool, "true")
    run(spool, "false", job_id=OTHER)
    (spool.directory / "notes").mkdir()
    (spool.directory / ("0" * 32)).write_text("")
    assert {job.job_id for job in spool.adopt()} == {OTHER, JOB}
    assert (spool.directory / "notes").exists()
    spool.discard("../spool/notes")
    assert (spool.directory / "notes").exists()


def test_what_cannot_be_removed_is_left_where_it_is(spool: Spool) -> None:
    job = run(spool, "true")
    (spool.directory / JOB / "strange").mkdir()
    job.discard()
    assert (spool.directory / JOB / "strange").exists()


def test_a_result_that_cannot_be_read_counts_as_none(spool: Spool) -> None:
    run(spool, "echo said")
    (spool.directory / JOB / "result.json").write_text('{"exit_code": "zero"}')
    [found] = spool.adopt()
    assert isinstance(found, FinishedJob)
    assert found.result.lost
    assert output(found) == "said\n"


@pytest.mark.parametrize("adopted", [False, True])
def test_nothing_runs_on_unsupervised_when_a_supervisor_is_killed(
    spool: Spool, adopted: bool
) -> None:
    job = spool.start(prepared("echo said; echo too >&2; setsid sleep 300 & sleep 301"))
    job.run()
    until(lambda: len(processes()) >= 3)
    until(lambda: (spool.directory / JOB / "stderr").stat().st_size)
    os.kill(job.pid, signal.SIGKILL)
    wait_for_end(job)
    [lost] = spool.adopt() if adopted else [job.finished()]
    assert isinstance(lost, FinishedJob)
    assert lost.result.lost
    assert (output(lost), errors(lost)) == ("said\n", "too\n")
    assert not lost.result.succeeded
    until(lambda: processes() == set())


def test_descriptors_are_not_used_up(spool: Spool) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    run(spool, "true").discard()
    before = count()
    for _ in range(5):
        run(spool, "true").discard()
    assert count() == before


def test_the_spool_is_closed_to_others(spool: Spool) -> None:
    run(spool, "echo secret")
    paths = [spool.directory, *spool.directory.rglob("*")]
    assert {path.stat().st_mode & 0o077 for path in paths} == {0}


@pytest.mark.parametrize("spoil", ["open", "link", "file", "missing"])
def test_a_spool_that_is_not_safe_is_refused(tmp_path: Path, spoil: str) -> None:
    directory = tmp_path / "spool"
    match spoil:
        case "open":
            directory.mkdir()
            directory.chmod(0o755)
        case "link":
            (tmp_path / "elsewhere").mkdir(0o700)
            directory.symlink_to("elsewhere")
        case "file":
            directory.write_text("")
        case "missing":
            directory = tmp_path / "no" / "spool"
    with pytest.raises(StartError, match="the spool"):
        Spool(directory)


@pytest.mark.parametrize("leave", [None, 0, 4096, 8192])
def test_a_disk_that_fills_while_a_command_writes_costs_neither_result_nor_mark(
    tmp_path: Path, leave: int | None
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool")
        job = spool.start(prepared("head -c 5000000 /dev/zero; echo end >&2; exit 6"))
        if leave is not None:
            fill(disk, leave)
        job.run()
        finished = finish(job)
        result = finished.result
        assert result.exit_code == 6
        said = finished.read_output("stdout", 0, 9_999_999)
        assert said.strip(b"\0").startswith(b"\n[output cut: ")
        assert len(said) == result.stdout_size
        assert result.stdout_dropped == 5_000_000 - len(said[: said.index(b"\n")])
        # One line may have been lost too, and is then counted.
        lost = b"\n[output cut: 4 more bytes]\n" if result.stderr_dropped else b"end\n"
        assert finished.read_output("stderr", 0, 99) == lost
        adopted = spool.adopt()
        assert [job.result for job in adopted if isinstance(job, FinishedJob)] == [result]


def test_a_disk_that_is_full_at_the_start_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool")
        fill(disk)
        with pytest.raises(OSError, match="No space left") as refusal:
            spool.start(prepared("true"))
        reason = why(refusal.value, spool.directory)
        assert reason == f"no space left on the disk of {spool.directory} (mounted at {disk})"
        assert list(spool.directory.iterdir()) == []
        (disk / "ballast").unlink()
        assert run(spool, "true").result.exit_code == 0


def test_a_disk_without_inodes_is_full_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m,nr_inodes=7") as disk:
        spool = Spool(disk / "spool")
        with pytest.raises(OSError, match="No space left") as refusal:
            spool.start(prepared("true"))
        assert "no space left on the disk" in str(why(refusal.value, spool.directory))
        assert list(spool.directory.iterdir()) == []


@pytest.mark.parametrize("left", [0, 1, 5, 6])
def test_output_that_lost_something_in_the_spool_is_marked(spool: Spool, left: int) -> None:
    run(spool, "printf abcdef; printf abcdef >&2")
    path = spool.directory / JOB / "stdout"
    path.write_bytes(path.read_bytes()[:left])
    (spool.directory / JOB / "stderr").unlink()
    [found] = spool.adopt()
    assert isinstance(found, FinishedJob)
    mark = "" if left == 6 else f"\n[output cut: {6 - left} more bytes]\n"
    assert output(found) == "abcdef"[:left] + mark
    assert found.result.stdout_dropped == 6 - left
    assert errors(found) == "\n[output cut: 6 more bytes]\n"
    # Asked for in parts, as it is sent.
    size = found.result.stdout_size
    parts = b"".join(found.read_output("stdout", at, 4) for at in range(0, size, 4))
    assert parts.decode() == output(found)


def test_output_that_cannot_be_read_any_more_has_its_length_and_a_mark(spool: Spool) -> None:
    finished = run(spool, "head -c 1000 /dev/zero")
    (spool.directory / JOB / "stdout").unlink()
    said = finished.read_output("stdout", 100, 900)
    assert len(said) == 900
    assert said.startswith(b"\n[output lost: 900 bytes cannot be read back]\n")


def test_what_is_killed_of_a_job_is_not_its_like_of_another_agent_on_the_machine(
    spool: Spool, tmp_path: Path
) -> None:
    other = Spool(tmp_path / "other")
    job = other.start(prepared("sleep 0.3; echo unharmed"))
    job.run()
    assert leftovers.kill(spool.directory / JOB) == 0
    until(job.ended)
    finished = job.finished()
    assert finished is not None
    assert finished.result.exit_code == 0


@pytest.mark.parametrize("kind", ["a directory", "a loop", "a number", "deep"])
def test_what_is_left_of_a_job_may_be_anything_and_the_others_are_adopted(
    spool: Spool, kind: str
) -> None:
    for job_id in (JOB, OTHER):
        (spool.directory / job_id).mkdir(0o700)
    broken, whole = spool.directory / JOB, spool.directory / OTHER
    (whole / "result.json").write_text('{"exit_code": 0}')
    match kind:
        case "a directory":
            (broken / "result.json").mkdir()
        case "a loop":
            (broken / "lock").symlink_to(broken / "lock")
        case "a number":
            (broken / "lock").write_text("9" * 5000 + " running")
        case _:
            (broken / "result.json").write_text("[" * 50_000)
    assert [job.job_id for job in spool.adopt()] == [OTHER]
