"""`pushcli server start --stand-by`: a second server waits for the first's end, and goes on."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli_server import settings
from tests.e2e.conftest import FAST, WHITELIST
from tests.support.fleet import Fleet
from tests.support.postgresql import throw_away_database
from tests.support.second_server import StandingBy, beside, join, own_end
from tests.support.tcp_way import tcp_way
from tests.support.waiting import job_is, lines, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
LEASE, LONGER = 2, 5


@pytest.fixture
def url() -> Iterator[str]:
    with throw_away_database() as url:
        yield url


@pytest.fixture
def first(tmp_path: Path, url: str) -> Iterator[Fleet]:
    more = {"database_url": url, "lease": LEASE}
    with StandingBy(
        tmp_path / "first", ["n1"], whitelist=WHITELIST, settings={**FAST, **more}
    ) as it:
        yield it


@pytest.fixture
def second(first: Fleet, tmp_path: Path) -> Iterator[Fleet]:
    """On the ports of the first, as behind one name: it listens once that is gone."""
    with beside(first, tmp_path / "second", StandingBy) as second:
        own, theirs = (one.server_directory / settings.FILE for one in (second, first))
        own.write_text(theirs.read_text())
        second.ports = first.ports
        second.credentials.write_text(first.credentials.read_text())
        yield second


def said(server: Fleet) -> str:
    return server.log("server").read_text()


def works(server: Fleet) -> None:
    until(lambda: ": ready, REST on" in said(server).rpartition("standing ready")[2], "it works")


def listed(server: Fleet) -> list[str]:
    done = server.cli("server", "list", "--dir", str(server.server_directory))
    assert done.returncode == ExitStatus.OK, done.stderr
    return [line.split(" since ")[0] for line in done.stdout.splitlines()]


def lists(server: Fleet, lines_of: list[str]) -> bool:
    return listed(server) == lines_of


def test_it_takes_over_when_the_first_is_killed_or_ends(
    first: Fleet, second: Fleet, tmp_path: Path, url: str
) -> None:
    host, marks = os.uname().nodename, tmp_path / "marks"
    work = f"{host} works with {url}"
    second.start_server()
    assert f"standing ready: another server works with this database: on {host}" in said(second)
    for one in (first, second):
        until(partial(lists, one, [work, f"{host} stands ready"]), "both are listed")
    job = start(first, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    first.end_server(signal.SIGKILL)
    works(second)
    job_is(second, job, "complete")
    assert second.api.job(job)["nodes"] == {"succeeded": ["n1"]}
    assert lines(marks) == ["run", "end"]

    first.start_server()
    assert "standing ready" in said(first)
    assert second.end_server() == 0
    works(first)
    first.wait_available(["n1"])
    job_is(first, start(first, "true", "n1"), "complete")


def test_it_takes_over_when_the_first_hangs(first: Fleet, tmp_path: Path) -> None:
    with beside(first, tmp_path / "second", StandingBy) as second:
        second.start_server()
        os.kill(first.pid("server"), signal.SIGSTOP)
        works(second)
        assert second.api.jobs() == []
        os.kill(first.pid("server"), signal.SIGCONT)
        assert own_end(first) == ExitStatus.ERROR


def test_it_ends_in_good_order_and_leaves_no_trace(first: Fleet, second: Fleet) -> None:
    second.start_server()
    until(lambda: len(listed(first)) == 2, "it is listed")
    assert second.end_server() == 0
    assert len(listed(first)) == 1
    second.start_server()
    assert second.end_server(signal.SIGINT) == 0
    second.start_server()
    until(lambda: len(listed(first)) == 2, "it is listed")
    second.end_server(signal.SIGKILL)
    until(lambda: len(listed(first)) == 1, "it is not heard of any more")
    job_is(first, start(first, "true", "n1"), "complete")


def writes(server: Fleet, file: Path) -> bool:
    """Whether its server has this file open."""
    there = list(Path(f"/proc/{server.pid('server')}/fd").iterdir())
    return file in {one.readlink() for one in there if one.is_symlink()}


def test_signals_while_it_waits(first: Fleet, second: Fleet) -> None:
    file, log = second.server_directory / settings.FILE, second.server_directory / "server.log"
    file.write_text(file.read_text() + '\nlog_target = "file"\nlog_file = "server.log"\n')
    second.start_server()
    os.kill(second.pid("server"), signal.SIGUSR2)
    old = log.with_suffix(".old")
    log.rename(old)
    assert writes(second, old)
    os.kill(second.pid("server"), signal.SIGHUP)
    until(lambda: not writes(second, old), "it is let go of")
    first.end_server()
    works(second)
    assert second.end_server() == 0


def test_secrets_that_were_replaced_while_it_waited_count(first: Fleet, second: Fleet) -> None:
    second.start_server()
    rotated = first.cli(
        "server", "rotate-keys", "--now", "--dir", str(first.server_directory), "-y"
    )
    assert rotated.returncode == ExitStatus.OK, rotated.stderr
    first.wait_available(["n1"], available=False)
    first.wait_available(["n1"])
    done = join(first, second.server_directory, more=["--refresh"])
    assert done.returncode == ExitStatus.OK, done.stderr
    first.end_server(signal.SIGKILL)
    works(second)
    second.wait_available(["n1"])
    job_is(second, start(second, "true", "n1"), "complete")


def test_a_database_that_is_away_for_longer_than_the_lease_changes_nobodys_place(
    first: Fleet, second: Fleet, url: str
) -> None:
    """Whoever works needs a moment to say that he is there, once it is back."""
    host, name = url.split("@")[1].split("/")
    first.end_server()
    with tcp_way("127.0.0.1", int(host.split(":")[1])) as one, tcp_way("127.0.0.1", 5432) as two:
        for server, way in ((first, one), (second, two)):
            file = server.server_directory / settings.FILE
            text = file.read_text().replace(
                url, f"postgresql://postgres@127.0.0.1:{way.port}/{name}"
            )
            file.write_text(text.replace(f"lease = {LEASE}", f"lease = {LONGER}"))
            assert f"lease = {LONGER}" in file.read_text()
        first.start_server()
        second.start_server()
        before = said(second)
        for way in (one, two):
            way.close()
        until(lambda: "does not say who works" in said(second).removeprefix(before), "it is away")
        time.sleep(2 * LONGER)
        two.open()
        # The second sees it first.
        time.sleep(LONGER / 2)
        one.open()
        first.wait_available(["n1"])
        until(lambda: len(listed(first)) == 2, "both are there again")
        job_is(first, start(first, "true", "n1"), "complete")
        assert "ready, REST on" not in said(second).removeprefix(before)


def test_with_a_file_there_is_one_server(tmp_path: Path) -> None:
    with (
        Fleet(tmp_path / "first", [], settings={"database_url": ""}) as first,
        beside(first, tmp_path / "second", StandingBy) as second,
    ):
        done = second.cli("server", "start", "--stand-by", "--dir", str(second.server_directory))
        assert done.returncode == ExitStatus.ERROR
        assert "another server works with this database" in done.stderr
        first.end_server()
        second.start_server()
        assert "ready, REST on" in said(second)
