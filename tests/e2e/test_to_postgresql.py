"""`pushcli server to-postgresql`: a server with a file goes on with PostgreSQL, or as it was."""

import json
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from pushcli.exit_status import ExitStatus
from pushcli_server import settings
from pushcli_server.store.database import make_engine
from tests.support.fleet import Fleet
from tests.support.json_shapes import faults, shapes_of
from tests.support.postgresql import throw_away_database
from tests.support.waiting import job_is, lines, patient, start, until

pytestmark = pytest.mark.timeout(120)

LARGE = b"x" * 50_000
SHAPES = shapes_of((Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8"))
ON_A_FILE = {"database_url": ""}


def to_postgresql(fleet: Fleet, url: str, *more: str) -> tuple[int, str, str]:
    place = str(fleet.server_directory)
    done = fleet.cli("server", "to-postgresql", url, "--dir", place, *more)
    return done.returncode, done.stdout, done.stderr


def files(fleet: Fleet) -> dict[str, bytes]:
    """What there is of settings and databases."""
    found = (path for path in fleet.server_directory.iterdir() if path.is_file())
    return {
        path.name: path.read_bytes() for path in found
        if path.name == settings.FILE or path.name.endswith((".db", ".before-postgresql"))
    }  # fmt: skip


def test_it_goes_on_there_with_all_that_it_has(tmp_path: Path) -> None:
    marks, go = tmp_path / "marks", tmp_path / "go"
    waits = f"until [ -e {go} ]; do sleep 0.1; done"
    whitelist = {
        "large": "head -c 50000 /dev/zero | tr '\\0' x",
        "slow": f"echo begin >> {marks}; {waits}; echo end >> {marks}",
        "true": "true",
    }
    with (
        throw_away_database() as url,
        Fleet(tmp_path / "fleet", ["n1"], whitelist=whitelist, settings=ON_A_FILE) as fleet,
    ):
        file = fleet.server_directory / "pushcli.db"
        job = start(fleet, "large", "n1", capture_output=True)
        job_is(fleet, job, "complete")
        slow = start(fleet, "slow", "n1")
        until(lambda: lines(marks), "the command runs")
        status, out, err = to_postgresql(fleet, url, "--dry-run")
        assert (status, err) == (ExitStatus.OK, "")
        assert f"Would move {fleet.server_directory} to " in out
        assert "2 jobs, 1 node," in out
        status, _, err = to_postgresql(fleet, url)
        assert status == ExitStatus.ERROR
        assert "the server is running" in err
        assert file.exists()

        before = fleet.api.jobs(), fleet.api.get("audit")
        fleet.end_server()
        status, out, err = to_postgresql(fleet, url, "-F", "json")
        assert (status, err) == (ExitStatus.OK, "")
        moved = json.loads(out)
        assert not faults(moved, SHAPES["server to-postgresql"][0])
        assert moved["rows"]["jobs"] == 2
        assert not file.exists()
        assert Path(moved["kept"]).read_bytes().startswith(b"SQLite format 3")
        assert stat.S_IMODE((fleet.server_directory / settings.FILE).stat().st_mode) == 0o600

        # Another machine has not got the files.
        for kept in (fleet.server_directory / "blobs").glob("??"):
            shutil.rmtree(kept)
        fleet.start_server()
        assert (fleet.api.jobs(), fleet.api.get("audit")) == before
        assert fleet.api.job_output(job, "n1", "stdout") == LARGE
        fleet.wait_available(["n1"])
        go.touch()
        job_is(fleet, slow, "complete")
        assert lines(marks) == ["begin", "end"]
        # What counts up by itself goes on after what was there.
        job_is(fleet, start(fleet, "true", "n1"), "complete")
        assert len(fleet.api.jobs()) == 3
        status, _, err = to_postgresql(fleet, url)
        assert status == ExitStatus.CONFIG
        assert "already" in err
        assert fleet.end_server() == 0


@pytest.fixture
def stopped(tmp_path: Path) -> Fleet:
    """A server that was made, and never started."""
    fleet = Fleet(tmp_path / "fleet", [], settings=ON_A_FILE)
    fleet.make_server()
    return fleet


@pytest.mark.parametrize(
    ("url", "status", "why"),
    [
        ("sqlite:///x.db", ExitStatus.CONFIG, "SQLite file: give postgresql://HOST/NAME"),
        ("push", ExitStatus.CONFIG, "not a URL: give"),
        ("mysql://h/push", ExitStatus.CONFIG, "names 'mysql'"),
        ("postgresql://x:hush@127.0.0.1:1/push", ExitStatus.ERROR, "cannot use the database"),
        (
            "postgresql://127.0.0.1:1/push?password=hush",
            ExitStatus.ERROR,
            "cannot use the database",
        ),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["", "dry"])
def test_what_is_no_database_for_it_is_one_line(
    stopped: Fleet, url: str, status: ExitStatus, why: str, more: list[str]
) -> None:
    before = files(stopped)
    code, out, err = to_postgresql(stopped, url, *more)
    assert (code, out) == (status, "")
    assert len(err.splitlines()) == 1
    assert why in err
    assert "hush" not in err
    assert files(stopped) == before


def test_where_something_is_in_the_way_nothing_is_left_in_either_place(stopped: Fleet) -> None:
    before = files(stopped)
    kept = stopped.server_directory / "pushcli.db.before-postgresql"
    with throw_away_database() as url:
        kept.touch()
        code, _, err = to_postgresql(stopped, url)
        assert code == ExitStatus.CONFIG
        assert f"{kept} exists" in err
        kept.unlink()

        # The settings cannot be written, when all else is done.
        in_the_way = stopped.server_directory / f".{settings.FILE}.new"
        in_the_way.mkdir()
        code, _, err = to_postgresql(stopped, url)
        assert code == ExitStatus.CONFIG
        assert "cannot write" in err
        assert files(stopped) == before
        in_the_way.rmdir()

        code, out, err = to_postgresql(stopped, url)
        assert (code, err) == (
            ExitStatus.OK, f"Start it: pushcli server start --dir {stopped.server_directory}\n"
        )  # fmt: skip
        assert f"Its file is {kept.name} now" in out
        assert kept.exists()


def test_a_database_that_another_server_has_is_left_alone(stopped: Fleet, tmp_path: Path) -> None:
    with throw_away_database() as url:
        other = Fleet(tmp_path / "other", [], settings={"database_url": url})
        other.make_server()
        for more in ([], ["--dry-run"]):
            code, _, err = to_postgresql(stopped, url, *more)
            assert code == ExitStatus.ERROR
            assert "holds a server's data: give an empty database" in err
        other.start_server()
        assert other.end_server() == 0


def test_who_breaks_it_off_has_the_file_and_an_empty_database(stopped: Fleet) -> None:
    """A lock in the way of the copy: it waits until it is interrupted."""
    before = files(stopped)
    with throw_away_database() as url:
        engine = make_engine(url)
        try:
            with engine.begin() as other:
                # Nobody else makes a table of this name until this transaction ends.
                other.execute(text("CREATE TABLE organizations (name text)"))
                command = ["server", "to-postgresql", url, "--dir", str(stopped.server_directory)]
                with subprocess.Popen(
                    stopped.command(*command), env=stopped.environment, text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                ) as process:  # fmt: skip
                    until(lambda: waits(engine), "it makes its tables")
                    process.send_signal(signal.SIGINT)
                    _, stderr = process.communicate(timeout=patient(15))
                assert process.returncode == 130, stderr
                assert "Traceback" not in stderr
                other.rollback()
        finally:
            engine.dispose()
        assert files(stopped) == before
        assert not (stopped.server_directory / f".{settings.FILE}.new").exists()
        code, _, err = to_postgresql(stopped, url)
        assert code == ExitStatus.OK, err


def waits(engine: Engine) -> bool:
    """Whether somebody waits for a lock in this database."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    # A transaction sees what it saw first.
    with engine.connect() as connection:
        return bool(connection.scalar(query))


def captured(fleet: Fleet, command: str) -> str:
    """A job of n1 that is over."""
    job = start(fleet, command, "n1", capture_output=True)
    job_is(fleet, job, "complete")
    return job


def test_output_whose_file_is_gone_is_counted(tmp_path: Path) -> None:
    whitelist = {name: f"head -c 50000 /dev/zero | tr '\\0' {name}" for name in ("x", "y")}
    with (
        throw_away_database() as url,
        Fleet(tmp_path / "fleet", ["n1"], whitelist=whitelist, settings=ON_A_FILE) as fleet,
    ):
        x, y = (captured(fleet, name) for name in ("x", "y"))
        [part] = fleet.api.job_nodes(x)
        fleet.end_server()
        digest = part["stdout_digest"]
        (fleet.server_directory / "blobs" / digest[:2] / digest[2:]).unlink()
        status, out, err = to_postgresql(fleet, url)
        assert status == ExitStatus.OK
        assert f"of 1 outputs the files below {fleet.server_directory}/blobs could not" in out + err
        fleet.start_server()
        assert fleet.api.job_output(y, "n1", "stdout") == b"y" * 50_000
        done = fleet.cli("job", "output", x, "n1")
        assert done.returncode == ExitStatus.ERROR
        assert "is missing" in done.stderr
