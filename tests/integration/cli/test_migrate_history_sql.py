"""`pushcli migrate history`: the jobs in the original server's database in ours.

What it takes over is looked at on one server that runs for all tests: their scenes were imported
before it was started, one after the other.
"""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG
from pushcli_server import settings
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.terminal import on_terminal
from tests.support.beside_chef import BesideChef
from tests.support.chef_server import chef_server
from tests.support.fleet import Fleet
from tests.support.history_import import ONE, THREE, TWO, command, remarks, stopped_server, told
from tests.support.original_database import ACME, OriginalDatabase, original_database
from tests.support.tcp_way import tcp_way
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(90)
ASCII = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
OF_A_LANGUAGE = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
"""Neither capitals nor signs come before all else there."""
AS_ORG = f"--organization={ACME}={ORG}"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with stopped_server(tmp_path / "fleet") as fleet:
        yield fleet


@pytest.fixture
def home(fleet: Fleet) -> Home:
    """The home of its operator."""
    return Home(fleet.credentials.parent.parent)


@pytest.fixture(scope="module")
def one_database() -> Iterator[OriginalDatabase]:
    with original_database() as database:
        yield database


@pytest.fixture
def database(one_database: OriginalDatabase) -> OriginalDatabase:
    """An empty one."""
    one_database.renew()
    return one_database


@pytest.fixture(scope="module")
def one_of_a_language() -> Iterator[OriginalDatabase]:
    with original_database(made_with=OF_A_LANGUAGE) as database:
        yield database


@pytest.fixture
def of_a_language(one_of_a_language: OriginalDatabase) -> OriginalDatabase:
    """An empty one with another order than that of bytes."""
    one_of_a_language.renew()
    return one_of_a_language


def shown(home: Home, *arguments: str) -> Any:
    result = home.run(*arguments, "--profile", ORG, "-F", "json")
    assert result.status == ExitStatus.OK, result
    return json.loads(result.stdout)


@dataclass(frozen=True)
class Importing:
    """A scene's database, and the stopped server that is to have its jobs."""

    fleet: Fleet
    home: Home
    database: OriginalDatabase

    def __call__(self) -> dict[str, Any]:
        """Take them over; what was said."""
        return told(self.fleet, self.home.env, self.database.url, AS_ORG)


Scene = Callable[[Importing], dict[str, Any]]
SCENES: list[Scene] = []
"""What makes a database's jobs, and takes them over: no two scenes have a job's id in common."""


def scene(made: Scene) -> Scene:
    SCENES.append(made)
    return made


@dataclass(frozen=True)
class Imported:
    """A server with the jobs of all scenes, and what was said of each."""

    fleet: Fleet
    home: Home
    answers: dict[Scene, dict[str, Any]]


@pytest.fixture(scope="module")
def imported(
    tmp_path_factory: pytest.TempPathFactory, one_database: OriginalDatabase
) -> Iterator[Imported]:
    fleet = Fleet(tmp_path_factory.mktemp("imported") / "fleet", [])
    fleet.make_server()
    home = Home(fleet.credentials.parent.parent)
    answers = {}
    try:
        for make in SCENES:
            one_database.renew()
            answers[make] = make(Importing(fleet, home, one_database))
        fleet.start_server()
        yield Imported(fleet, home, answers)
    finally:
        fleet.stop()


@scene
def one_too_old(take: Importing) -> dict[str, Any]:
    """The first: output of scenes before it would be too old as well."""
    database = take.database
    database.job("91" * 16, created_at="2019-01-01", updated_at="2019-01-01", nodes={"a": 3})
    database.job("92" * 16, created_at="2026-09-01", updated_at="2026-09-01", nodes={"a": 3})
    answer = take()
    place = str(take.fleet.server_directory)
    # Nobody is asked whether the clock is right: what is old was written elsewhere.
    pruned = take.home.run("server", "prune", "--dir", place)
    return {**answer, "pruned": pruned.stdout}


def test_imported_jobs_are_pruned_as_others(imported: Imported) -> None:
    answer = imported.answers[one_too_old]
    assert (answer["jobs"], answer["expired"]) == (2, 1)
    assert answer["pruned"].startswith("Deleted 1 jobs"), answer
    there = {job["id"] for job in imported.fleet.api.jobs()}
    assert there & {"91" * 16, "92" * 16} == {"92" * 16}
    # Nor does the server advise to prune what it has just got.
    assert "clock" not in imported.fleet.log("server").read_text()


@scene
def two_large_channels(take: Importing) -> dict[str, Any]:
    one = take.database.job("e2" * 16, nodes={"a": 3, "b": 3})
    # Of the first there is as much as is kept in memory.
    for node, size in (("a", 4 * 2**20), ("b", 1000)):
        take.database.session.execute(
            "INSERT INTO job_output VALUES (%s, %s, repeat('o', %s), repeat('e', %s))",
            [one, node, size, size],
        )
    return take()


def test_output_and_errors_of_a_node_stay_apart_in_files(imported: Imported) -> None:
    assert imported.answers[two_large_channels]["remarks"] == []
    for node, size in (("a", 4 * 2**20), ("b", 1000)):
        for channel, letter in (("stdout", b"o"), ("stderr", b"e")):
            found = imported.fleet.api.job_output("e2" * 16, node, channel)
            assert found == letter * size, (node, channel)


@scene
def two_jobs(take: Importing) -> dict[str, Any]:
    one, two = "a1" * 16, "a2" * 16
    database = take.database
    database.job(one, quorum=2, nodes={"web1": 3, "web2": 4})
    database.options(
        one, user="deploy", directory="/srv", env='{"A":"b"}', capture=True, file="raw:text"
    )
    database.output(one, "web1", "fine\nä", "")
    database.output(one, "web2", "", "no such file\n")
    database.job(two, command="true", status=3, nodes={"web1": 9, "web2": 7, "web3": 6})
    # By the program: that is what the tests of all others leave out.
    done = take.home.run(*command(take.fleet, database.url, AS_ORG, "-y", "-F", "json"))
    assert done.status == ExitStatus.OK, done
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_jobs_states_and_output_are_those_of_our_server_afterwards(imported: Imported) -> None:
    one, two = "a1" * 16, "a2" * 16
    api, home, answer = imported.fleet.api, imported.home, imported.answers[two_jobs]
    assert (answer["jobs"], answer["nodes"], answer["outputs"]) == (2, 5, 2)
    assert answer["organizations"] == [ORG]
    assert answer["remarks"] == []
    job = api.job(one, include_file=True)
    assert job == {
        "id": one, "command": "chef-client", "status": "complete", "run_timeout": 300,
        "created_at": "Fri, 04 Sep 2026 23:01:02 GMT",
        "updated_at": "Fri, 04 Sep 2026 23:17:56 GMT",
        "user": "deploy", "dir": "/srv", "env": {"A": "b"}, "capture_output": True,
        "file": "raw:text", "nodes": {"succeeded": ["web1"], "failed": ["web2"]},
    }  # fmt: skip
    assert api.job(two)["nodes"] == {
        "was_ready": ["web1"], "nacked": ["web2"], "unavailable": ["web3"],
    }  # fmt: skip
    assert api.job_output(one, "web1", "stdout") == "fine\nä".encode()
    assert api.job_output(one, "web2", "stderr") == b"no such file\n"
    listed = {job["id"]: job for job in shown(home, "job", "list")}
    assert listed[one]["quorum"] == 2
    assert "requestor" not in listed[one]
    assert "by (unknown)" in home.run("job", "status", one, "--profile", ORG).stdout
    assert "(unknown)" in home.run("job", "list", "--profile", ORG).stdout
    output = home.run("job", "output", one, "--profile", ORG)
    assert "no such file" in output.stdout


@scene
def twice(take: Importing) -> dict[str, Any]:
    take.database.job("b1" * 16, nodes={"web1": 3})
    assert take()["jobs"] == 1
    take.database.job("b2" * 16, nodes={"web1": 3})
    take.database.session.execute("UPDATE jobs SET command = 'changed there'")
    return take()


def test_a_second_run_adds_what_is_new_and_nothing_else(imported: Imported) -> None:
    answer = imported.answers[twice]
    assert (answer["jobs"], answer["there"], answer["left_out"]) == (1, 1, 0)
    api = imported.fleet.api
    assert api.job("b1" * 16)["command"] == "chef-client"
    assert api.job("b2" * 16)["command"] == "changed there"
    there = [job["id"] for job in api.jobs()]
    assert sorted(one for one in there if one.startswith("b")) == ["b1" * 16, "b2" * 16]


def test_a_dry_run_and_a_no_change_nothing(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    database.job(ONE, nodes={"web1": 3})
    dry = home.run(*command(fleet, database.url, AS_ORG, "--dry-run"))
    assert dry.status == ExitStatus.OK, dry
    assert f"Would import 1 jobs of {ORG}, with the states of 1 nodes" in dry.stdout
    asked = home.run(*command(fleet, database.url, AS_ORG))
    assert asked.status == ExitStatus.USAGE
    assert asked.stderr.endswith("no terminal to confirm on: pass -y\n")
    assert told(fleet, home.env, database.url, AS_ORG)["there"] == 0


def test_it_writes_only_while_the_server_is_stopped(
    imported: Imported, database: OriginalDatabase
) -> None:
    fleet, home = imported.fleet, imported.home
    before = len(fleet.api.jobs())
    database.job(ONE)
    refused = home.run(*command(fleet, database.url, AS_ORG, "-y"))
    assert_one_line(refused, ExitStatus.ERROR, "the server is running", "--dry-run")
    assert home.run(*command(fleet, database.url, AS_ORG, "--dry-run")).status == ExitStatus.OK
    assert len(fleet.api.jobs()) == before
    over_rest = home.run(*command(fleet, fleet.url, "--profile", ORG, "-y"))
    assert_one_line(over_rest, ExitStatus.ERROR, "the old one, set another api_port")


NOT_OVER = {0: "voting", 1: "running", 5: "new", 7: "crashed"}


def why_aborted(word: str) -> str:
    return {"crashed": "crashed with the old server: aborted"}.get(
        word, f"was {word} when it was imported: aborted"
    )


@scene
def not_over(take: Importing) -> dict[str, Any]:
    for status in NOT_OVER:
        nodes = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 8}
        take.database.job(f"c{status}" * 16, status=status, nodes=nodes)
    return take()


def test_what_was_not_over_is_said(imported: Imported) -> None:
    assert remarks(imported.answers[not_over]) == {
        why_aborted(word): ("changed", 1) for word in NOT_OVER.values()
    }


@pytest.mark.parametrize(("status", "word"), NOT_OVER.items())
def test_what_was_not_over_ends_and_says_why(imported: Imported, status: int, word: str) -> None:
    job_id = f"c{status}" * 16
    said = {one["why"]: one["example"] for one in imported.answers[not_over]["remarks"]}
    assert said[why_aborted(word)] == job_id
    job = imported.fleet.api.job(job_id)
    assert job["status"] == "aborted"
    ready = "was_ready" if word in {"voting", "new"} else "crashed"
    states = {node: state for state, nodes in job["nodes"].items() for node in nodes}
    assert states == {
        "a": "unavailable", "b": ready, "c": "crashed", "d": "succeeded", "e": "crashed",
    }  # fmt: skip
    parts = imported.fleet.api.job_nodes(job_id)
    reasons = {part["node"]: part.get("reason") for part in parts}
    when = "when the old server crashed" if word == "crashed" else "when the job was imported"
    assert reasons == {
        "a": f"had not voted {when}", "b": f"was ready {when}", "c": f"was running {when}",
        "d": None, "e": "faulty, says the old server",
    }  # fmt: skip


@scene
def bad_rows(take: Importing) -> dict[str, Any]:
    database = take.database
    database.job("XYZ")
    database.job("A" * 32)
    database.job("0" * 32, status=17)
    database.job("01" * 16, created_at="infinity")
    database.job("02" * 16, created_at="2999-01-01")
    database.job("03" * 16, created_at="0044-03-15 BC")
    database.job("04" * 16, command="x" * 1_000_001)
    database.job("05" * 16, updated_at="-infinity")
    database.job("06" * 16, updated_at="2026-09-01", run_timeout=None, quorum=None)
    database.job("07" * 16, nodes={"web1": 3, "web2": 42, "no such name": 3})
    database.options("07" * 16, env="[1,2]", file="nothing", user="  ")
    database.job("08" * 16, org="f" * 32)
    database.job("09" * 16, run_timeout=-1, quorum=-5)
    database.job(ONE, nodes={"web1": 3})
    database.session.execute(
        "INSERT INTO job_nodes VALUES (%s, %s, 'alien', 3, now(), now())", [ONE, "e" * 32]
    )
    database.output(ONE, "nobody", "lost")
    return take()


def test_one_bad_row_never_ends_the_import(imported: Imported) -> None:
    answer = imported.answers[bad_rows]
    assert remarks(answer) == {
        "the id is not 32 hex digits": ("left out", 2),
        "there is no job status 17": ("left out", 1),
        "created_at is not a time": ("left out", 2),
        "created_at is in the future": ("left out", 1),
        "the command and its environment are over 1,000,000 characters": ("left out", 1),
        "updated_at is not a time: the same as created_at": ("changed", 1),
        "updated_at is before created_at: the same": ("changed", 1),
        "run_timeout is not known: 3600, which is the default": ("changed", 1),
        "the quorum is not known: the number of nodes, which is the default": ("changed", 2),
        "the environment is not one of strings: left out": ("changed", 1),
        "its file is not one: left out": ("changed", 1),
        "there is no node state 42": ("left out", 1),
        "no node can have the name": ("left out", 1),
        "output of a node that the job does not have: left out": ("changed", 1),
        f"the name of its organization {'f' * 32} is not known: give "
        f"--organization {'f' * 32}=NAME": ("left out", 1),
    }
    assert (answer["jobs"], answer["left_out"], answer["nodes"]) == (5, 8, 2)
    api = imported.fleet.api
    assert api.job(ONE)["nodes"] == {"succeeded": ["web1"]}
    assert api.job("09" * 16)["run_timeout"] == -1
    listed = {job["id"]: job for job in shown(imported.home, "job", "list")}
    assert listed["06" * 16]["duration"] == 0
    there = {job_id for job_id in listed if job_id == ONE or job_id.startswith(("0", "A", "X"))}
    assert there == {*(f"0{number}" * 16 for number in (5, 6, 7, 9)), ONE}


def test_an_organization_that_is_not_here_is_told(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    database.job(ONE)
    answer = told(fleet, home.env, database.url, f"--organization={ACME}=acme")
    assert remarks(answer) == {
        "there is no organization acme on this server: make it first": ("left out", 1)
    }
    wrong = home.run(*command(fleet, database.url, "--organization=acme=acme"))
    assert_one_line(wrong, ExitStatus.USAGE, "--organization acme=acme")


@scene
def any_bytes(take: Importing) -> dict[str, Any]:
    one = "d1" * 16
    with original_database(made_with=ASCII) as database:
        database.job(one, nodes={"web1": 3}, command="x")
        database.session.execute(r"UPDATE jobs SET command = E'caf\xe9 \xc3\xa4'")
        database.output(one, "web1", "x")
        database.session.execute(r"UPDATE job_output SET stdout = E'\xff\xfe'")
        database.job("d2" * 16, nodes={"web1": 3})
        database.session.execute(
            r"INSERT INTO jobs SELECT E'\xe9', org_id, command, status, 1,"
            r" last_updated_by, created_at, updated_at FROM jobs LIMIT 1"
        )
        return told(take.fleet, take.home.env, database.url, AS_ORG)


def test_text_of_any_encoding_is_read(imported: Imported) -> None:
    """Databases of old installations have none, and take any bytes."""
    assert remarks(imported.answers[any_bytes]) == {
        "the command is not UTF-8: what is not is replaced": ("changed", 1),
        "the id is not 32 hex digits": ("left out", 1),
    }
    api = imported.fleet.api
    assert api.job("d1" * 16)["command"] == "caf\N{REPLACEMENT CHARACTER} ä"
    assert api.job_output("d1" * 16, "web1", "stdout") == b"\xff\xfe"


SIZES = {"a": 5 * 2**20, "b": 4 * 2**20, "c": 4 * 2**20, "d": 100_000, "e": 10}


@scene
def much_output(take: Importing) -> dict[str, Any]:
    one = take.database.job("e1" * 16, nodes=dict.fromkeys(SIZES, 3))
    for node, size in SIZES.items():
        take.database.session.execute(
            "INSERT INTO job_output VALUES (%s, %s, repeat(%s, %s), '')", [one, node, node, size]
        )
    return take()


def test_output_of_any_size_is_taken_over_or_cut(imported: Imported) -> None:
    answer = imported.answers[much_output]
    assert remarks(answer) == {"output is cut: there is too much of it": ("changed", 1)}
    for node, size in SIZES.items():
        kept = min(size, 4 * 2**20)
        output = imported.fleet.api.job_output_marked("e1" * 16, node, "stdout")
        assert output.data == node.encode() * kept
        assert (output.dropped, output.cut_at) == (size - kept, kept if size > kept else None)
    assert not list((imported.fleet.server_directory / "blobs/incoming").iterdir())


@scene
def bounded_output(take: Importing) -> dict[str, Any]:
    file = take.fleet.server_directory / settings.FILE
    usual = file.read_text()
    file.write_text(f"max_job_output_bytes = 65536\n{usual}")
    one = take.database.job("f1" * 16, nodes={"a": 3, "b": 3})
    take.database.output(one, "a", "a" * 65_534)
    take.database.output(one, "b", "0123456789", "more")
    answer = take()
    file.write_text(usual)
    return answer


def test_a_jobs_output_is_bounded_as_that_of_others(imported: Imported) -> None:
    api, one = imported.fleet.api, "f1" * 16
    outputs = [api.job_output_marked(one, node, "stdout") for node in "ab"]
    assert [(one.data[-3:], one.dropped) for one in outputs] == [(b"aaa", 0), (b"01", 8)]
    assert api.job_output_marked(one, "b", "stderr")[:2] == (b"", 4)


def test_a_row_that_cannot_be_read_is_one_job_less(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    for job_id in (ONE, TWO, THREE):
        database.job(job_id, nodes={"web1": 3})
        database.output(job_id, "web1", "x")
    database.session.execute("""
        ALTER TABLE jobs RENAME TO jobs_kept;
        CREATE VIEW jobs AS SELECT id, org_id, command, status, last_updated_by, created_at,
          updated_at, quorum, 1 / (CASE WHEN id LIKE '2%' THEN 0 ELSE 1 END) AS run_timeout
          FROM jobs_kept;
    """)
    answer = told(fleet, home.env, database.url, AS_ORG)
    assert remarks(answer) == {"division by zero": ("left out", 1)}
    assert (answer["jobs"], answer["outputs"]) == (2, 2)


def test_output_that_cannot_be_read_is_one_jobs(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    for job_id in (ONE, TWO, THREE):
        database.job(job_id, nodes={"web1": 3, "web2": 3})
        database.output(job_id, "web1", "x")
        database.output(job_id, "web2", "x")
    broken = "CASE WHEN job_id LIKE '2%' AND node_name = 'web2' THEN 0 ELSE 1 END"
    database.session.execute(f"""
        ALTER TABLE job_output RENAME TO output_kept;
        CREATE VIEW job_output AS SELECT job_id, node_name, stderr,
          CAST(1 / ({broken}) AS text) AS stdout FROM output_kept;
    """)
    answer = told(fleet, home.env, database.url, AS_ORG)
    why = "its output, or a part of it, cannot be read: division by zero"
    assert remarks(answer) == {why: ("changed", 1)}
    assert (answer["jobs"], answer["outputs"]) == (3, 4)


def test_old_schemas_without_options_and_output_are_read(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    database.job(ONE, nodes={"web1": 3})
    database.session.execute("DROP TABLE job_options, job_output; ALTER TABLE jobs DROP quorum")
    assert told(fleet, home.env, database.url, AS_ORG)["jobs"] == 1


def test_another_programs_database_and_one_that_is_away_are_one_line(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    database.session.execute("ALTER TABLE jobs DROP COLUMN command CASCADE")
    assert_one_line(
        home.run(*command(fleet, database.url, "-y")),
        ExitStatus.ERROR,
        "has no column jobs.command",
    )
    database.session.execute("DROP TABLE jobs CASCADE")
    assert_one_line(
        home.run(*command(fleet, database.url, "-y")), ExitStatus.ERROR, "has no table jobs"
    )
    away = "postgresql://somebody:secret@127.0.0.1:1/x"
    found = home.run(*command(fleet, away, "-y"))
    assert_one_line(found, ExitStatus.ERROR, "cannot read postgresql://somebody:***@127.0.0.1:1/x")
    assert "secret" not in found.stderr
    odd = home.run(*command(fleet, "postgresql://127.0.0.1:port/x", "-y"))
    assert_one_line(odd, ExitStatus.CONFIG, "SOURCE is not a URL")
    assert_one_line(
        home.run(*command(fleet, "mysql://x/y", "-y")), ExitStatus.USAGE, "SOURCE is neither"
    )


def test_the_old_database_is_only_read(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    """A function that would write says that it may not."""
    database.job(ONE)
    database.session.execute("""
        CREATE FUNCTION writes() RETURNS integer LANGUAGE plpgsql AS
          $$BEGIN DELETE FROM job_nodes; RETURN 1; END$$;
        ALTER TABLE jobs RENAME TO jobs_kept;
        CREATE VIEW jobs AS SELECT id, org_id, command, status, last_updated_by, created_at,
          updated_at, quorum, writes() AS run_timeout FROM jobs_kept;
    """)
    result = home.run(*command(fleet, database.url, AS_ORG, "-y"))
    assert_one_line(result, ExitStatus.ERROR, "DELETE in a read-only transaction")


def lock_output(database: OriginalDatabase, job_id: str) -> None:
    """Whoever reads this job's output waits for whoever has the lock 7."""
    database.session.execute(f"""
        ALTER TABLE job_output RENAME TO output_kept;
        CREATE VIEW job_output AS SELECT job_id, node_name, stderr, CASE
          WHEN job_id = '{job_id}' THEN stdout || CAST(pg_advisory_xact_lock(7) AS text)
          ELSE stdout END AS stdout FROM output_kept;
    """)


@contextmanager
def stuck(
    fleet: Fleet, home: Home, database: OriginalDatabase, *arguments: str, url: str = ""
) -> Iterator[tuple["subprocess.Popen[str]", psycopg.Connection]]:
    """An import that waits for the lock, and who has it; it is killed at the end."""
    with psycopg.connect(database.url) as blocking:
        blocking.execute("SELECT pg_advisory_xact_lock(7)")
        more = arguments or ("-y",)
        process = home.start(*command(fleet, url or database.url, AS_ORG, *more))
        try:
            # Other databases there are others' tests.
            waiting = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND"
                " database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            while database.session.execute(waiting).fetchone() == (0,):
                assert process.poll() is None
            yield process, blocking
        finally:
            process.kill()
            process.communicate()


def test_a_database_that_does_not_hear_of_an_interrupt_changes_nothing_of_it(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    """The question that it is asked cannot be taken back: nobody waits for that."""
    database.fill(20, job_id="lpad(CAST(i AS text), 32, '0')")
    lock_output(database, f"{10:032}")
    place = urlsplit(database.url)
    with tcp_way(place.hostname or "", place.port or 5432) as way:
        url = place._replace(netloc=f"{place.username}@127.0.0.1:{way.port}").geturl()
        with stuck(fleet, home, database, url=url) as (process, _):
            way.swallows = frozenset({"client"})
            process.send_signal(signal.SIGINT)
            status = process.wait(patient(10))
            assert process.stderr is not None
            said = process.stderr.read()
    assert said.startswith("INTERRUPTED: ")
    assert len(said.splitlines()) == 1
    assert status == ExitStatus.INTERRUPTED


def test_an_import_that_broke_off_goes_on(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    """A job is there with all that belongs to it, or not at all."""
    count = 600
    database.fill(count, job_id="lpad(CAST(i AS text), 32, '0')")
    lock_output(database, f"{560:032}")
    with stuck(fleet, home, database):
        pass
    answer = told(fleet, home.env, database.url, AS_ORG)
    assert 250 <= answer["there"] < 560
    assert answer["jobs"] == count - answer["there"]
    fleet.start_server()
    for number in (*range(1, count, 20), answer["there"], answer["there"] + 1):
        for node in (1, 2):
            output = fleet.api.job_output(f"{number:032}", f"web{node}", "stdout")
            assert output == f"{number} on {node} ".encode().ljust(10, b"x")


def test_who_interrupts_it_is_told_what_that_means(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    """What was read by then is there; a dry run took nothing over."""
    database.fill(600, job_id="lpad(CAST(i AS text), 32, '0')")
    lock_output(database, f"{560:032}")
    with stuck(fleet, home, database) as (process, blocking):
        # It reads on for as long as the lock is held.
        process.send_signal(signal.SIGINT)
        status = process.wait(patient(5))
        blocking.rollback()
        assert process.stderr is not None
        said = process.stderr.read()
    assert said == "INTERRUPTED: what was taken over stays; run it again: it goes on\n"
    assert status == ExitStatus.INTERRUPTED
    answer = told(fleet, home.env, database.url, AS_ORG)
    assert 500 <= answer["there"] < 600
    assert answer["jobs"] == 600 - answer["there"]


def test_how_far_it_is_shows_on_a_terminal(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    database.fill(5000)
    with on_terminal(home, *command(fleet, database.url, AS_ORG, "-y")) as terminal:
        terminal.expect(" of 5,000   ")
        assert terminal.screen.cursor.hidden
        assert re.fullmatch("Jobs  +━+─* +[0-9],?[0-9]+ of 5,000 *", terminal.lines[-1])
        assert terminal.end() == ExitStatus.OK
    assert not terminal.screen.cursor.hidden
    assert terminal.lines[0].startswith("From postgresql://")
    assert "Imported 5,000 jobs" in terminal.lines[1]


def test_many_jobs_take_few_statements_and_pages_meet(
    fleet: Fleet, home: Home, of_a_language: OriginalDatabase
) -> None:
    """Also where the old database has another order than that of bytes."""
    count = 1100
    mixed = "CASE WHEN i % 11 = 0 THEN upper(md5(CAST(i AS text))) ELSE md5(CAST(i AS text)) END"
    of_a_language.fill(count, job_id=mixed)
    before = statements(of_a_language)
    answer = told(fleet, home.env, of_a_language.url, AS_ORG)
    assert statements(of_a_language) - before < count / 10
    assert remarks(answer) == {"the id is not 32 hex digits": ("left out", 100)}
    assert (answer["jobs"], answer["nodes"], answer["outputs"]) == (1000, 2000, 2000)


def statements(database: OriginalDatabase) -> int:
    """Transactions so far; of an import, which ends the session, each statement is one."""
    query = (
        "SELECT pg_stat_get_db_xact_commit(oid) FROM pg_database WHERE datname = current_database()"
    )
    found = database.session.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def test_output_of_more_nodes_than_are_read_at_once_comes_whole(
    fleet: Fleet, home: Home, of_a_language: OriginalDatabase
) -> None:
    nodes = [f"{letter}{number}" for number in range(5) for letter in "aBcDeF"]
    of_a_language.job(ONE, nodes=dict.fromkeys(nodes, 3))
    for node in nodes:
        of_a_language.output(ONE, node, node, "x" * 400_000)
    answer = told(fleet, home.env, of_a_language.url, AS_ORG)
    assert answer["remarks"] == []
    assert answer["outputs"] == len(nodes)


def test_memory_is_bounded_however_much_output_there_is(
    fleet: Fleet, home: Home, database: OriginalDatabase
) -> None:
    size = 4 * 2**20
    database.fill(40, job_id="lpad(CAST(i AS text), 32, '0')", bytes_each=size)
    database.session.execute(
        "CREATE TABLE small AS SELECT lpad(CAST(i AS text), 32, 'a') AS id"
        " FROM generate_series(1, 220) AS i;"
        f"INSERT INTO jobs SELECT id, '{ACME}', 'true', 2, 1, id, now(), now(), 1 FROM small"
    )
    last = database.job("f" * 32, nodes={"web1": 3})
    database.output(last, "web1", "")
    lock_output(database, last)
    with stuck(fleet, home, database) as (process, _):
        status = Path(f"/proc/{process.pid}/status").read_text()
    [peak] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    assert int(peak.split()[1]) * 1024 < 2 * 40 * size * 2 / 3


def test_names_of_organizations_are_asked_of_chef(
    tmp_path: Path, database: OriginalDatabase
) -> None:
    key = keys.generate()
    with chef_server(key.public_key()) as chef:
        chef.guids = {ORG: ACME}
        (tmp_path / "fleet").mkdir()
        fleet = BesideChef(tmp_path / "fleet", chef, key)
        try:
            fleet.make_server()
            home = Home(fleet.credentials.parent.parent)
            database.job(ONE, nodes={"web1": 3})
            database.job(THREE, nodes={"web1": 3})
            database.job(TWO, org="f" * 32)
            dry = home.run(*command(fleet, database.url, "--dry-run"))
            assert "Would import 2 jobs of sandbox" in dry.stdout, dry
            answer = told(fleet, home.env, database.url)
            assert (answer["jobs"], answer["left_out"]) == (2, 1)
            fleet.start_server()
            assert sorted(job["id"] for job in fleet.api.jobs()) == [ONE, THREE]
            chef.fault = "failing"
            broken = home.run(*command(fleet, database.url, "--dry-run"))
            assert_one_line(broken, ExitStatus.ERROR, "the server failed (500)")
        finally:
            fleet.stop()
