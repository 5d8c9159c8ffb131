"""What a job leaves running in the background keeps an output to write to."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli_agent.running import leftovers
from pushcli_agent.running.spool import Spool
from tests.integration.agent.supervise.supervised import (
    JOB,
    finish,
    output,
    prepared,
    processes,
    run,
    spool_in,
)
from tests.support.waiting import lines, until

SERVICE = (
    "(trap 'exit 3' PIPE; while [ ! -e {gate} ]; do sleep 0.05; done; "
    "for i in 1 2 3; do echo line $i || exit 4; echo error $i >&2 || exit 4; done; "
    "head -c 3000000 /dev/zero || exit 5; echo lived on > {gate}.said; exec sleep 300) & echo up"
)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path / "spool") as spool:
        yield spool


def drains() -> dict[int, Path]:
    """The processes that read what services of our jobs write."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "comm").read_text() == "pushcli-drain\n" and JOB in (
                path / "cmdline"
            ).read_bytes().decode("utf-8", "replace"):
                found[int(path.name)] = path
        except OSError:
            continue
    return found


def the_drain() -> int:
    """The one that there is, once it has its name: the job's end does not wait for that."""
    until(lambda: len(drains()) == 1, "there is one drain")
    return next(iter(drains()))


def test_a_service_lives_on_and_what_it_writes_is_thrown_away(spool: Spool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    finished = run(spool, SERVICE.format(gate=gate))
    assert (finished.result.exit_code, output(finished)) == (0, "up\n")
    drain = the_drain()
    files = {str(link.readlink()) for link in Path(f"/proc/{drain}/fd").iterdir()}
    assert all(file.startswith("pipe:") or file == "/dev/null" for file in files), files
    finished.discard()
    gate.touch()
    said = Path(f"{gate}.said")
    until(said.exists, "the service has written more than any pipe holds")
    assert lines(said) == ["lived on"]
    assert list(spool.directory.iterdir()) == []
    assert [*drains()] == [drain]
    leftovers.kill(spool.directory / JOB)
    until(lambda: not drains(), "the drain ends with the service")


def test_it_survives_the_agent_s_signals_and_is_small(spool: Spool, tmp_path: Path) -> None:
    finished = run(spool, SERVICE.format(gate=tmp_path / "gate"))
    finished.discard()
    drain = the_drain()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGPIPE):
        os.kill(drain, number)
    smaps = Path(f"/proc/{drain}/smaps_rollup").read_text().split()
    dirty = int(smaps[smaps.index("Private_Dirty:") + 1])
    assert dirty < 4096, f"{dirty} KiB"
    before = Path(f"/proc/{drain}/stat").read_text().split()[13:15]
    time.sleep(0.3)
    assert Path(f"/proc/{drain}/stat").read_text().split()[13:15] == before, "it works for nothing"
    (tmp_path / "gate").touch()
    until((tmp_path / "gate.said").exists, "the service lives")


@pytest.mark.parametrize(
    "command",
    ["sleep 300 >/dev/null 2>&1 &", "echo up", "(sleep 0.05; echo late) &"],
)
def test_where_nobody_holds_the_output_nothing_stays(spool: Spool, command: str) -> None:
    run(spool, command)
    until(lambda: not drains())


def test_one_channel_that_is_held_is_enough(spool: Spool) -> None:
    run(spool, "sleep 300 >/dev/null &")
    assert the_drain()


def test_a_job_without_capture_leaves_none(spool: Spool) -> None:
    run(spool, "sleep 300 & echo x", capture=False)
    assert not drains()


def test_locks_are_free_though_the_drain_lives(spool: Spool, tmp_path: Path) -> None:
    job = spool.start(prepared(SERVICE.format(gate=tmp_path / "gate")))
    job.run()
    finish(job)
    assert [type(found).__name__ for found in spool.adopt()] == ["FinishedJob"]
    assert the_drain()


def test_after_an_abort_there_is_nothing_left_to_drain(spool: Spool, tmp_path: Path) -> None:
    job = spool.start(prepared(SERVICE.format(gate=tmp_path / "gate") + "; sleep 300"))
    job.run()
    until(processes, "it runs")
    job.abort()
    assert finish(job).result.aborted
    assert (processes(), drains()) == (set(), {})
