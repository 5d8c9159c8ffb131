"""The database of a running server goes away and comes back: the server stays, jobs end well."""

import os
import re
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import zmq
from sqlalchemy import text
from sqlalchemy.engine import make_url

from pushcli.errors import PushcliError, ServerError
from pushcli.sandbox.sandbox import Sandbox
from tests.support import key_files
from tests.support.identities import Signer, operator
from tests.support.metrics import metric
from tests.support.old_agent import enroll
from tests.support.postgresql import on_sqlite, throw_away_database
from tests.support.stored import away, database
from tests.support.tcp_way import tcp_way
from tests.support.waiting import job_is, lines, start, until

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
MakeFleet = Callable[..., Sandbox]


@pytest.fixture
def postgresql() -> Iterator[str]:
    """A throw-away database."""
    with throw_away_database() as url:
        yield url


Trouble = Callable[[], None]


@contextmanager
def away_in_the_middle(fleet: Sandbox, marks: Path, begin: Trouble, end: Trouble) -> Iterator[None]:
    """The command ends, and its result comes, while the database is away."""
    pid = fleet.pid("server")
    job_id = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(
        lambda: fleet.api.job(job_id)["nodes"] == {"running": ["n1"]}, "it runs, and that is kept"
    )
    begin()
    until(lambda: len(lines(marks)) == 2, "the command ends")
    # Not in the log: on a full disk there is none.
    until(lambda: operator(fleet).raw("GET", "/readyz").status == 503, "it is noticed")
    yield
    end()
    job = until(lambda: _complete(fleet, job_id), "the job ends")
    assert job == {"succeeded": ["n1"]}
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"
    assert lines(marks) == ["run", "end"]
    assert fleet.pid("server") == pid
    assert fleet.cli("job", "start", "true", "n1").returncode == 0


def _complete(fleet: Sandbox, job_id: str) -> dict[str, list[str]] | None:
    try:
        job = fleet.api.job(job_id)
    except PushcliError:
        return None
    nodes: dict[str, list[str]] = job["nodes"]
    return nodes if job["status"] == "complete" else None


def refusals(fleet: Sandbox, marks: Path) -> set[str]:
    """What is said to those who start a job and change an identity meanwhile."""
    said = set()
    with pytest.raises(ServerError) as refused:
        start(fleet, "mark", "n1", env={"MARKS": str(marks)})
    said.add(refused.value.message)
    answer = operator(fleet)("POST", "groups", {"groupname": "meanwhile"})
    assert answer.status == 503, answer
    said.add(answer.json["error"][0])
    return said


def is_readable(fleet: Sandbox) -> None:
    """What is stored is shown: the job that runs, for all that is known to be stored."""
    [job] = fleet.api.jobs()
    assert (job["command"], job["status"]) == ("slow-mark", "running")
    assert fleet.api.job(job["id"])["nodes"] == {"running": ["n1"]}
    assert "admins" in operator(fleet).get("groups")


def no_trace_of_it(fleet: Sandbox, marks: Path) -> None:
    """What was refused is not done later."""
    assert operator(fleet)("GET", "groups/meanwhile").status == 404
    assert [job["command"] for job in fleet.api.jobs()] == ["slow-mark", "true"]
    assert not lines(marks)


def test_postgresql_is_away_when_the_result_comes(
    make_fleet: MakeFleet, tmp_path: Path, postgresql: str
) -> None:
    there = make_url(postgresql)
    marks, others = tmp_path / "marks", tmp_path / "others"
    with tcp_way(there.host or "", there.port or 5432) as way:
        url = there.set(host="127.0.0.1", port=way.port)
        fleet = make_fleet("n1", database_url=url.render_as_string(hide_password=False))
        with away_in_the_middle(fleet, marks, way.close, way.open):
            for said in refusals(fleet, others):
                assert "the server's database is away (it cannot be reached)" in said
        no_trace_of_it(fleet, others)


def kill_connections(url: str) -> int:
    """End all sessions of the database but this one, as an administrator may; how many."""
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(ended.fetchall())


def test_postgresqls_connections_are_killed_in_every_phase(
    make_fleet: MakeFleet, tmp_path: Path, postgresql: str
) -> None:
    fleet, marks = make_fleet("n1", "n2", database_url=postgresql), tmp_path / "marks"
    pid, slow = fleet.pid("server"), fleet.pid("n2")
    os.kill(slow, signal.SIGSTOP)
    try:
        job_id = start(fleet, "slow-mark", "n1", "n2", env={"MARKS": str(marks)})
        assert kill_connections(postgresql), "while the nodes vote"
    finally:
        os.kill(slow, signal.SIGCONT)
    until(lambda: len(lines(marks)) == 2, "the commands run")
    kill_connections(postgresql)
    # Again and again, until all results are in.
    until(lambda: kill_connections(postgresql) and len(lines(marks)) == 4, "the commands end")
    job = until(lambda: _complete(fleet, job_id), "the job ends")
    assert job == {"succeeded": ["n1", "n2"]}
    assert sorted(lines(marks)) == ["end", "end", "run", "run"]
    assert fleet.pid("server") == pid
    fleet.wait_available(["n1", "n2"])
    assert fleet.cli("job", "start", "true", "n1", "n2").returncode == 0


@on_sqlite("it is about a lock on SQLite's file")
def test_another_process_locks_sqlite_when_the_result_comes(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks, others = make_fleet("n1"), tmp_path / "marks", tmp_path / "others"
    other = sqlite3.connect(fleet.server_directory / "pushcli.db", isolation_level=None)

    def lock() -> None:
        other.execute("BEGIN EXCLUSIVE")

    def unlock() -> None:
        other.execute("ROLLBACK")

    with away_in_the_middle(fleet, marks, lock, unlock):
        for said in refusals(fleet, others):
            assert "the server's database is away (it is locked by another process)" in said
        is_readable(fleet)
    no_trace_of_it(fleet, others)
    other.close()


@on_sqlite("the disk is PostgreSQL's, not the server's")
def test_the_disk_is_full_when_the_result_comes(make_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet, marks, others = make_fleet("n1"), tmp_path / "marks", tmp_path / "others"
    pid, unlimited = fleet.pid("server"), resource.RLIM_INFINITY

    def fill() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, unlimited))

    def make_room() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))

    with away_in_the_middle(fleet, marks, fill, make_room):
        for said in refusals(fleet, others):
            assert "the server's database is away" in said
        is_readable(fleet)
    no_trace_of_it(fleet, others)


def test_a_server_whose_database_is_away_can_be_stopped(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1"), tmp_path / "marks"
    start(fleet, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    with away(fleet):
        log = fleet.log("server")
        until(lambda: "cannot write" in log.read_text(), "it is noticed")
        until(lambda: metric(fleet, "pushcli_store_waiting_bytes") > 0, "the result waits")
        assert fleet.end_server(signal.SIGTERM) == 0
    assert re.search(r"[1-9]\d* changes were not written", log.read_text())
    assert "Traceback" not in log.read_text()
    fleet.start_server()
    [job] = fleet.api.jobs()
    job_is(fleet, job["id"], "complete")


def test_a_store_with_rows_that_cannot_be_read(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1", "n2")
    assert fleet.cli("whitelist", "add", "up", "uptime", "n1", "n2", "-y").returncode == 0
    assert fleet.end_server() == 0
    deep = '{"push_jobs": {"whitelist": {"x": ' + "[" * 500 + "]" * 500 + "}}}"
    with database(fleet) as connection:
        for statement in (
            "UPDATE nodes SET normal = :deep WHERE name = 'n1'",
            "UPDATE nodes SET whitelist_report = '{' WHERE name = 'n1'",
            "INSERT INTO jobs (id, org, command, status, quorum, run_timeout, capture, requestor,"
            " created_at, updated_at, env) VALUES (:job, 'sandbox', 'x', 'running', 1, 60, FALSE,"
            " 'operator', 1, 1, '{')",
            "INSERT INTO job_nodes (job_id, node, position, state) VALUES (:job, 'n1', 0, 'x')",
        ):
            connection.execute(text(statement), {"deep": deep, "job": "f" * 32})
    fleet.start_server()
    fleet.wait_available(["n1", "n2"])
    for command in (
        ["whitelist", "list", "n1"],
        ["whitelist", "list", "n2"],
        ["node", "status"],
        ["job", "list"],
        ["job", "status", "f" * 32],
        ["node", "show", "n1"],
        ["whitelist", "add", "more", "true", "n2", "-y"],
    ):
        done = fleet.cli(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert "is ended as aborted" in fleet.log("server").read_text()
    assert fleet.cli("job", "start", "true", "n1", "n2").returncode == 0


@on_sqlite("it is about a lock on SQLite's file")
def test_no_configuration_is_handed_out_before_it_is_stored(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    profile = enroll(fleet, "late")
    client = Signer(fleet, "late", key_files.read(Path(profile.client_key)))
    query = f"?ccpk={quote(zmq.curve_keypair()[0].decode(), safe='')}&version=2.0"
    other = sqlite3.connect(fleet.server_directory / "pushcli.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert client("GET", "pushy/config/late", query=query).status == 503
    finally:
        other.execute("ROLLBACK")
        other.close()
    until(lambda: client("GET", "pushy/config/late", query=query).status == 200, "it is back")
