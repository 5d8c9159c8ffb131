"""What a command finds, and how it ends, under a real supervisor."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.protocol.run import Outcome, RunSpec
from pushcli.whitelist.entry import parse
from pushcli_agent.running import leftovers
from pushcli_agent.running.policy import PolicyConfig, prepare
from pushcli_agent.running.spool import FinishedJob, Spool
from pushcli_agent.whitelist.merged import MergedWhitelist
from tests.integration.agent.supervise.supervised import (
    JOB,
    NODE_ENV,
    errors,
    finish,
    open_directory,
    output,
    prepared,
    processes,
    run,
    spool_in,
    user,
    wait_for_end,
)
from tests.support.waiting import until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as other users")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path / "spool") as spool:
        yield spool


@pytest.mark.parametrize(
    ("command", "code", "number"),
    [
        ("true", 0, None),
        ("exit 3", 3, None),
        ("kill -KILL $$", None, signal.SIGKILL),
        ("no-such-program", 127, None),
    ],
)
def test_the_result_says_how_the_command_ended(
    spool: Spool, command: str, code: int | None, number: int | None
) -> None:
    before = time.time()
    result = run(spool, command).result
    assert (result.exit_code, result.signal) == (code, number)
    assert not result.timed_out
    assert not result.aborted
    assert result.started_at is not None
    assert result.ended_at is not None
    assert before <= result.started_at <= result.ended_at <= time.time()


@pytest.mark.parametrize("capture", [True, False])
def test_the_supervisor_writes_each_field_of_an_outcome(spool: Spool, capture: bool) -> None:
    run(spool, "true", capture=capture)
    written = json.loads(_spooled(spool, "result.json"))
    assert written.keys() == set(Outcome.__struct_fields__)


def test_a_result_that_0_1_0_spooled_is_read(spool: Spool) -> None:
    directory = spool.directory / JOB
    directory.mkdir()
    (directory / "result.json").write_text(
        '{"exit_code": null, "signal": 15, "timed_out": true, "aborted": false,'
        ' "started_at": 1795466596.25, "ended_at": 1795466597.5, "capture": true,'
        ' "stdout_size": 5, "stderr_size": 0, "stdout_dropped": 7, "stderr_dropped": 0}\n'
    )
    (directory / "stdout").write_text("12345")
    [job] = spool.adopt()
    assert isinstance(job, FinishedJob)
    assert job.result == Outcome(
        signal=15, timed_out=True, started_at=1795466596.25, ended_at=1795466597.5, capture=True,
        stdout_size=5, stdout_dropped=7,
    )  # fmt: skip


def test_the_result_says_how_long_the_command_took(spool: Spool) -> None:
    result = run(spool, "sleep 0.3").result
    assert result.started_at is not None
    assert result.ended_at is not None
    assert result.ended_at - result.started_at >= 0.3


def test_both_channels_are_captured_byte_for_byte(spool: Spool) -> None:
    job = run(spool, r"printf '\377\000\376'; printf 'err' >&2")
    assert job.read_output("stdout", 0, 100) == b"\xff\0\xfe"
    assert job.read_output("stdout", 1, 1) == b"\0"
    assert job.read_output("stdout", 3, 100) == b""
    assert (job.result.stdout_size, job.result.stderr_size) == (3, 3)
    assert errors(job) == "err"


def test_without_capture_output_goes_nowhere(spool: Spool, tmp_path: Path) -> None:
    command = 'A=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); echo "$A" > $OUT; echo x; echo y >&2'
    env = {**NODE_ENV, "OUT": str(tmp_path / "out")}
    job = run(spool, command, capture=False, env=env)
    assert (tmp_path / "out").read_text() == "/dev/null\n/dev/null\n"
    assert not job.result.capture
    assert job.read_output("stdout", 0, 10) == b""
    assert job.result.stdout_size == 0


def test_a_command_finds_a_clean_process(spool: Spool) -> None:
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    old = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        job = run(
            spool,
            "sleep 5 & ls /proc/$!/fd; readlink /proc/$!/fd/0; kill $!;"
            "grep -E 'SigBlk|SigIgn' /proc/self/status; umask;"
            "echo $$; cut -d' ' -f5,6 /proc/$$/stat; pwd; tr '\\0' '\\n' < /proc/$$/environ",
            env={"PATH": NODE_ENV["PATH"], "A": "b c"},
            directory="/usr",
        )
    finally:
        signal.signal(signal.SIGUSR2, old)
        os.close(leak)
    lines = output(job).splitlines()
    assert lines[:4] == ["0", "1", "2", "/dev/null"]
    # Numbers 32 and 33 belong to the C library, which lets nobody change them.
    masks = [int(line.split()[1], 16) & ~(0b11 << 31) for line in lines[4:6]]
    assert masks == [0, 0]
    assert int(lines[6], 8) == 0o022
    assert lines[8].split() == [lines[7], lines[7]]
    assert lines[9] == "/usr"
    mark = f"{leftovers.MARK}={spool.directory / JOB}"
    assert set(lines[10:]) == {f"PATH={NODE_ENV['PATH']}", "A=b c", mark}


def test_standard_input_is_empty(spool: Spool) -> None:
    assert output(run(spool, "cat; echo end")) == "end\n"


@as_root
def test_a_job_runs_as_its_user_and_cannot_come_back(spool: Spool) -> None:
    nobody = user("nobody")
    own = os.getgroups()
    # One that the agent has and its job's user has not.
    os.setgroups([*own, 4242])
    try:
        job = run(spool, "id -u; id -g; id -G; grep -E '^(Uid|Gid|CapEff)' /proc/$$/status",
                  user=nobody)  # fmt: skip
    finally:
        os.setgroups(own)
    lines = output(job).splitlines()
    assert lines[:2] == [str(nobody.uid), str(nobody.gid)]
    assert set(lines[2].split()) == {str(group) for group in nobody.groups}
    assert lines[3].split()[1:] == [str(nobody.uid)] * 4
    assert lines[4].split()[1:] == [str(nobody.gid)] * 4
    assert int(lines[5].split()[1], 16) == 0


@as_root
def test_a_job_with_a_user_and_a_file_finds_both() -> None:
    with open_directory() as directory:
        config = PolicyConfig(
            whitelist=MergedWhitelist(
                {"show": parse("show", 'cat "$CHEF_PUSH_JOB_FILE"; echo $HOME $USER', local=True)}
            ),
            file_dir=directory / "files",
            lock_dir=directory / "locks",
        )
        asked = RunSpec(command="show", capture=True, user="nobody", file="raw:content\n")
        ready = prepare(JOB, asked, config, node="web01", requestor=None)
        job = Spool(directory / "spool").start(ready)
        job.run()
        nobody = user("nobody")
        assert output(finish(job)) == f"content\n{nobody.home} nobody\n"


@as_root
def test_a_directory_is_entered_with_the_users_own_rights(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(0o700)
    job = run(spool, "echo not reached", user=user("nobody"), directory=str(tmp_path / "closed"))
    assert job.result.exit_code == 126
    assert output(job) == ""
    line = "pushcli: cannot run the command: cannot change to its directory: Permission denied\n"
    assert errors(job) == line


@as_root
def test_the_jobs_user_can_touch_neither_the_supervisor_nor_the_spool() -> None:
    with open_directory() as directory:
        spool = Spool(directory / "spool")
        job = run(
            spool,
            "S=$PPID; for n in TERM KILL STOP; do kill -$n $S && echo signalled; done;"
            f"cat /proc/$S/environ && echo read; head -c 1 /proc/$S/mem && echo read;"
            f"ls /proc/$S/fd && echo listed; ls {directory}/spool && echo listed;"
            f"cat {directory}/spool/{JOB}/lock && echo read;"
            f"echo x > {directory}/spool/{JOB}/result.json && echo written; echo end",
            user=user("nobody"),
        )
        assert output(job) == "end\n"
        assert job.result.exit_code == 0
        assert "not permitted" in errors(job)


def test_of_output_beyond_the_limit_beginning_and_end_are_kept_and_the_middle_is_counted(
    spool: Spool,
) -> None:
    write = "printf first; head -c 5000000 /dev/zero; printf '\\377last'; echo whole >&2"
    job = run(spool, write, max_output_bytes=1000)
    mark = b"\n... 4,999,010 bytes left out ...\n"
    ends = b"first" + bytes(495), bytes(495) + b"\xfflast"
    assert job.read_output("stdout", 0, 9999) == ends[0] + mark + ends[1]
    assert (job.result.stdout_size, job.result.stdout_dropped) == (1000 + len(mark), 4_999_010)
    assert (job.result.stdout_cut_at, job.result.stderr_cut_at) == (500, None)
    assert errors(job) == "whole\n"
    assert (job.result.stderr_dropped, job.result.exit_code) == (0, 0)


@pytest.mark.parametrize("limit", [0, 1, 39, 40, 4097, 70_001, 3_000_000])
def test_whatever_the_limit_nothing_is_kept_twice_and_all_the_rest_is_counted(
    spool: Spool, limit: int
) -> None:
    whole = bytes(i * 7 % 251 for i in range(5003)) * 700
    write = "import os; os.write(1, bytes(i * 7 % 251 for i in range(5003)) * 700)"
    job = run(spool, (sys.executable, "-I", "-c", write), max_output_bytes=limit)
    result, at = job.result, job.result.stdout_cut_at
    assert at is not None
    said = job.read_output("stdout", 0, result.stdout_size + 9)
    mark = b"\n... %s bytes left out ...\n" % f"{result.stdout_dropped:,}".encode()
    assert said[at : at + len(mark)] == mark
    end = said[at + len(mark) :]
    assert at + len(end) == limit
    assert len(whole) - limit == result.stdout_dropped
    assert whole.startswith(said[:at])
    assert whole.endswith(end)
    assert limit < 2 or len(end) == min(limit // 2, 2**20)


def test_output_beyond_the_limit_costs_no_more_disk_while_it_is_written(
    spool: Spool, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    command = f"yes 0123456 | head -c 9000000; until [ -e {gate} ]; do sleep 0.02; done; echo end"
    job = spool.start(prepared(command, max_output_bytes=50_000))
    job.run()
    until(lambda: len(_spooled(spool, "stdout")) == 50_000)
    beginning = _spooled(spool, "stdout")[:25_000]
    gate.touch()
    said = finish(job).read_output("stdout", 0, 99_999)
    assert said.startswith(beginning)
    assert said.endswith(b"0123456\nend\n")
    assert len(said) < 50_050


def test_output_of_exactly_the_limit_has_no_mark(spool: Spool) -> None:
    job = run(spool, "head -c 70000 /dev/zero", max_output_bytes=70_000)
    assert (job.result.stdout_size, job.result.stdout_dropped) == (70_000, 0)


def test_a_full_disk_cuts_the_output_like_the_limit(spool: Spool) -> None:
    resource = pytest.importorskip("resource")
    job = spool.start(prepared("head -c 300000 /dev/zero; echo end >&2"))
    resource.prlimit(job.pid, resource.RLIMIT_FSIZE, (8192, 8192))
    job.run()
    finished = finish(job)
    mark = b"\n[output cut: %d more bytes (File too large)]\n" % (300_000 - 4096)
    assert finished.read_output("stdout", 0, 999_999) == bytes(4096) + mark
    assert finished.result.stdout_size == 4096 + len(mark)
    assert finished.result.stdout_dropped == 300_000 - 4096
    assert finished.result.exit_code == 0
    assert errors(finished) == "end\n"


def test_output_that_a_full_disk_cut_has_no_hole_when_there_is_room_again(
    spool: Spool, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    command = 'head -c 300000 /dev/zero; until [ -e "$GATE" ]; do sleep 0.02; done; echo more'
    job = spool.start(prepared(command, env={**NODE_ENV, "GATE": str(tmp_path / "gate")}))
    resource.prlimit(job.pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    job.run()
    until(lambda: len(_spooled(spool, "stdout")) == 8192)
    resource.prlimit(job.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    (tmp_path / "gate").touch()
    mark = b"\n[output cut: 291813 more bytes (File too large)]\n"
    assert finish(job).read_output("stdout", 0, 999_999) == bytes(8192) + mark


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_job(spool: Spool) -> None:
    job = run(spool, "sleep 300 & echo $!")
    daemon = int(output(job))
    assert job.result.exit_code == 0
    assert daemon in processes()
    os.kill(daemon, signal.SIGKILL)


def test_a_daemon_that_writes_for_ever_does_not_hold_the_job(spool: Spool) -> None:
    job = run(spool, "yes & exit 4", max_output_bytes=100)
    assert job.result.exit_code == 4


def test_what_a_daemon_says_right_after_the_end_is_still_taken(spool: Spool) -> None:
    def said() -> str:
        job = run(spool, "(sleep 0.02; echo late) &")
        text = output(job)
        job.discard()
        return text

    # A busy machine may not come to it within the moment.
    assert any(said() == "late\n" for _ in range(10))


def test_a_command_that_closes_its_output_is_waited_for_at_rest(
    spool: Spool, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    command = f"exec >&- 2>&-; while [ ! -e {gate} ]; do sleep 0.05; done; exit 4"
    job = spool.start(prepared(command))
    job.run()
    until(lambda: _spooled(spool, "lock").split()[1:] == [b"running"])
    before = _cpu(job.pid)
    time.sleep(0.5)
    assert _cpu(job.pid) - before < 0.1
    gate.touch()
    assert finish(job).result.exit_code == 4


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_command_that_is_too_long_fails_with_the_reason(spool: Spool) -> None:
    job = run(spool, "true", env={"A": "x" * 200_000})
    assert job.result.exit_code == 126
    assert errors(job) == "pushcli: cannot run the command: Argument list too long\n"


@as_root
def test_the_jobs_user_can_open_its_output_by_name(spool: Spool) -> None:
    job = run(spool, "echo out > /dev/stdout; echo err > /dev/stderr", user=user("nobody"))
    assert (output(job), errors(job)) == ("out\n", "err\n")


def test_signals_that_are_meant_for_the_agent_do_not_end_a_supervisor(spool: Spool) -> None:
    job = spool.start(prepared("for s in HUP INT QUIT USR1 USR2 ALRM; do kill -$s $PPID; done"))
    job.run()
    assert finish(job).result.exit_code == 0


# --- abort and timeout

TREE = (
    # A child in the group, one in a session of its own, and one whose parents are gone.
    "sleep 301 & setsid sleep 302 & (setsid sh -c 'sleep 303 & sleep 304' & ) ; echo up; wait"
)


def test_an_abort_ends_the_whole_tree(spool: Spool) -> None:
    job = spool.start(prepared(TREE))
    job.run()
    until(lambda: len(processes() - {job.pid}) >= 6)
    job.abort()
    result = finish(job).result
    assert processes() == set()
    assert result.aborted
    assert not result.timed_out
    assert result.signal == signal.SIGTERM


def test_an_abort_before_the_run_ends_the_supervisor_and_nothing_ran(
    spool: Spool, tmp_path: Path
) -> None:
    job = spool.start(prepared(f"echo x > {tmp_path}/ran"))
    until(lambda: b"committed" in _spooled(spool, "lock"))
    job.abort()
    wait_for_end(job)
    assert job.finished() is None
    assert not (tmp_path / "ran").exists()


def test_an_agent_that_is_gone_before_the_run_leaves_nothing_that_runs(
    spool: Spool, tmp_path: Path
) -> None:
    job = spool.start(prepared(f"echo x > {tmp_path}/ran"))
    until(lambda: b"committed" in _spooled(spool, "lock"))
    job.close()
    until(job.ended)
    assert not (tmp_path / "ran").exists()


def test_a_timeout_kills_what_does_not_end_by_itself_within_five_seconds(spool: Spool) -> None:
    before = time.monotonic()
    job = run(spool, f"trap '' TERM; echo up; {TREE}; wait; sleep 305", run_timeout=0.5)
    assert time.monotonic() - before >= 5.0
    assert processes() == set()
    assert job.result.timed_out
    assert not job.result.aborted
    assert job.result.signal == signal.SIGKILL
    assert output(job).startswith("up\n")


def test_a_background_process_that_ignores_term_is_killed_though_the_command_ended(
    spool: Spool,
) -> None:
    command = "(trap '' TERM; setsid sh -c 'while :; do sleep 0.1; done') & sleep 300"
    job = spool.start(prepared(command))
    job.run()
    until(lambda: len(processes()) >= 3)
    job.abort()
    assert finish(job).result.signal == signal.SIGTERM
    assert processes() == set()


def test_a_command_may_clean_up_when_it_is_aborted(spool: Spool) -> None:
    command = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done"
    job = spool.start(prepared(command))
    job.run()
    until(lambda: _spooled(spool, "stdout") == b"up\n")
    job.abort()
    job.abort()
    finished = finish(job)
    assert output(finished) == "up\nbye\n"
    assert (finished.result.exit_code, finished.result.aborted) == (7, True)


def test_no_name_hides_a_process(spool: Spool, tmp_path: Path) -> None:
    program = tmp_path / "x) Z 1 1 (y"
    shutil.copy2(shutil.which("sleep") or "", program)
    job = spool.start(prepared(f"setsid '{program}' 300 & wait"))
    job.run()
    until(lambda: len(processes()) >= 2)
    job.abort()
    finish(job)
    assert processes() == set()


def _spooled(spool: Spool, name: str) -> bytes:
    [path] = list(spool.directory.glob(f"*/{name}")) or [Path("/dev/null")]
    return path.read_bytes()


def test_what_forks_and_leaves_its_session_for_ever_is_killed(spool: Spool, tmp_path: Path) -> None:
    script = tmp_path / "runner"
    script.write_text("#!/bin/sh\ntrap '' TERM\nsetsid $0 & exit 0\n")
    script.chmod(0o755)
    job = spool.start(prepared(f"{script}; sleep 300"))
    job.run()
    until(lambda: _spooled(spool, "lock").split()[1:] == [b"running"])
    job.abort()
    finish(job)
    assert processes() == set()


def test_stopped_processes_end_too(spool: Spool) -> None:
    job = spool.start(prepared("sleep 300 & kill -STOP $! $$"))
    job.run()
    until(lambda: _spooled(spool, "lock").split()[1:] == [b"running"])
    until(lambda: len(processes()) >= 2)
    job.abort()
    # Not SIGKILL, after five seconds.
    assert finish(job).result.signal == signal.SIGTERM
    assert processes() == set()


def test_timeouts_count_from_the_run_not_from_the_commit(spool: Spool) -> None:
    job = spool.start(prepared("true", run_timeout=2))
    until(lambda: b"committed" in _spooled(spool, "lock"))
    time.sleep(2.1)
    job.run()
    result = finish(job).result
    assert (result.exit_code, result.timed_out) == (0, False)


def test_a_daemon_of_an_ended_job_outlives_a_late_abort(spool: Spool) -> None:
    job = spool.start(prepared("setsid sleep 300 >/dev/null 2>&1 & echo $!"))
    job.run()
    finished = finish(job)
    job.abort()
    assert len(processes()) == 1
    assert not finished.result.aborted
