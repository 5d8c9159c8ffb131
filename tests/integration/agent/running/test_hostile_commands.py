"""Commands that do their worst: what they leave, what they flood, how they hide."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli_agent.running import leftovers
from pushcli_agent.running.spool import Spool
from tests.integration.agent.supervise.supervised import (
    NODE_ENV,
    errors,
    finish,
    output,
    prepared,
    processes,
    run,
    spool_in,
)
from tests.support.waiting import patient, until

pytestmark = pytest.mark.slow

LIFETIME = patient(20)
"""Seconds after which what these tests start ends by itself, should nobody kill it: longer than
the tests wait."""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path / "spool") as spool:
        yield spool


def script(tmp_path: Path, text: str) -> str:
    """The command that runs this Python program, which ignores TERM and ends in time."""
    path = tmp_path / "hostile.py"
    path.write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"end = time.monotonic() + {LIFETIME}\n{text}"
    )
    return f"{sys.executable} -I -S {path}"


BOMB = """
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while time.monotonic() < end:
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.2)
        os._exit(0)
    time.sleep(0.05)
"""


def test_a_tree_that_grows_while_it_is_killed_is_gone_in_the_end(
    spool: Spool, tmp_path: Path
) -> None:
    job = spool.start(prepared(f"{script(tmp_path, BOMB)} & sleep {LIFETIME}"))
    job.run()
    until(lambda: len(processes()) > 64)
    job.abort()
    assert finish(job).result.aborted
    assert processes() == set()


COMETS = """
os.fork(), os.fork()
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
    with open(sys.argv[1], "a") as file:
        file.write(".")
"""


def test_generations_that_live_for_less_than_a_millisecond_are_caught(
    spool: Spool, tmp_path: Path
) -> None:
    beats = tmp_path / "beats"
    job = run(spool, f"{script(tmp_path, COMETS)} {beats} & sleep {LIFETIME}", run_timeout=0.5)
    assert job.result.timed_out
    assert job.result.signal == 15
    # They are too fast to be seen in /proc; what they write tells of them.
    size = beats.stat().st_size
    time.sleep(0.2)
    assert beats.stat().st_size == size > 0


def test_a_timeout_finds_a_daemon_that_has_left_by_the_book(spool: Spool, tmp_path: Path) -> None:
    text = """
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.chdir("/")
for descriptor in range(3): os.close(descriptor)
os.closerange(3, 256)
os.execve("/bin/sleep", ["innocent", str(end - time.monotonic())], {})
"""
    pids = f"pgrep -x -f 'innocent .*' -P $PPID > {tmp_path}/pid"
    command = f"{script(tmp_path, text)}; until {pids}; do sleep 0.02; done; sleep {LIFETIME}"
    job = run(spool, command, run_timeout=1)
    assert job.result.timed_out
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_flood_on_both_channels_ends_in_time_and_in_bounds(spool: Spool) -> None:
    flood = "head -c 100000000 /dev/zero"
    command = f"({flood} >&2; echo $? >> $CODES) & {flood}; echo $? >> $CODES; wait"
    codes = spool.directory.parent / "codes"
    env = {**NODE_ENV, "CODES": str(codes)}
    result = run(spool, command, env=env, max_output_bytes=100_000).result
    assert result.exit_code == 0
    # Neither was ended by SIGPIPE.
    assert codes.read_text() == "0\n0\n"
    assert result.stdout_dropped == result.stderr_dropped == 99_900_000
    assert result.stdout_size < 100_100


def test_a_command_that_neither_ends_nor_reads_nor_keeps_its_output_is_killed(
    spool: Spool,
) -> None:
    command = "trap '' TERM HUP INT; echo up; exec <&- >&- 2>&-; while :; do sleep 0.1; done"
    before = time.monotonic()
    job = run(spool, command, run_timeout=0.3)
    assert time.monotonic() - before >= 5
    assert (job.result.timed_out, job.result.signal, output(job)) == (True, 9, "up\n")
    assert processes() == set()


def test_a_timeout_of_nothing_ends_the_command_at_once(spool: Spool) -> None:
    result = run(spool, f"sleep {LIFETIME}", run_timeout=0).result
    assert result.timed_out
    assert result.signal == 15


RECYCLER = """
main = int(sys.argv[1])
while True:
    try:
        os.kill(main, 0)
    except ProcessLookupError:
        break
    time.sleep(0.01)
for _ in range(100):
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(main - 1))
    pid = os.fork()
    if pid == 0:
        # An orphan, of which the supervisor hears when it ends.
        time.sleep(0.1)
        os._exit(0)
    if pid == main:
        print("recycled", flush=True)
        break
"""


def test_an_orphan_with_the_commands_number_does_not_change_the_result(
    spool: Spool, tmp_path: Path
) -> None:
    if not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        pytest.skip("the next process number cannot be chosen here")
    recycler = f"setsid {script(tmp_path, RECYCLER)} $$"
    job = run(spool, f"{recycler} & sleep {LIFETIME}", run_timeout=0.1)
    if "recycled" not in output(job):
        pytest.skip(f"others took the number first {errors(job)}")
    assert job.result.signal == 15
    assert job.result.exit_code is None


def test_an_agent_that_a_job_restarted_does_not_kill_itself_with_the_job(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pushcli_agent.running import leftovers;"
        "print(leftovers.kill(Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, leftovers.MARK: str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "0\n")
