"""A server is backed up while it runs, and comes back somewhere else: its nodes notice nothing."""

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.postgresql import IS_CHOSEN, throw_away_database
from tests.support.waiting import job_is, lines, start, until

pytestmark = pytest.mark.timeout(120)

LARGE = b"x" * 50_000
WHITELIST = {"large": "head -c 50000 /dev/zero | tr '\\0' x", "small": "echo small"}


def backed_up(fleet: Sandbox, name: str = "backup.tar") -> Path:
    file = fleet.directory / name
    done = fleet.cli("server", "backup", str(file), "--dir", str(fleet.server_directory))
    assert done.returncode == 0, done
    return file


def put_back(fleet: Fleet, file: Path, database_url: str | None = None) -> None:
    """In place of the server, whose directory goes."""
    if database_url is None:
        database_url = fleet.new_database().get("database_url", "")
    fleet.server_directory.rename(fleet.directory / f"old-{file.name}")
    done = fleet.cli(
        "server", "restore", str(file), "--dir", str(fleet.server_directory),
        "--set", f"database_url={database_url}",
    )  # fmt: skip
    assert done.returncode == 0, done


def test_a_backup_of_a_running_server_has_all_of_it(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    # However slow the machine: it ends where the server is back.
    go = tmp_path / "go"
    waits = f"until [ -e {go} ]; do sleep 0.1; done"
    slowly = {"slow": f"echo begin >> {marks}; {waits}; echo end >> {marks}"}
    with Fleet(tmp_path / "fleet", ["n1"], whitelist=WHITELIST | slowly) as fleet:
        jobs = [start(fleet, name, "n1", capture_output=True) for name in ("large",)]
        job_is(fleet, jobs[0], "complete")
        jobs.append(start(fleet, "small", "n1", capture_output=True))
        job_is(fleet, jobs[1], "complete")
        slow = start(fleet, "slow", "n1")
        until(lambda: lines(marks), "the command runs")
        file = backed_up(fleet)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not list(fleet.server_directory.glob(".backup*"))
        after = start(fleet, "small", "n1")
        fleet.end_server()
        put_back(fleet, file)
        fleet.start_server()
        assert {job["id"] for job in fleet.api.jobs()} == {*jobs, slow}
        assert after not in {job["id"] for job in fleet.api.jobs()}
        assert fleet.api.job_output(jobs[0], "n1", "stdout") == LARGE
        assert fleet.api.job_output(jobs[1], "n1", "stdout") == b"small\n"
        # Its keys and secrets are the same: the node is there again, and what ran ends well.
        fleet.wait_available(["n1"])
        go.touch()
        job_is(fleet, slow, "complete")
        assert fleet.api.job(slow)["nodes"] == {"succeeded": ["n1"]}
        assert len(lines(marks)) == 2
        fleet.wait_available(["n1"])
        job_is(fleet, start(fleet, "small", "n1"), "complete")
        for path in fleet.server_directory.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_it_moves_to_postgresql_and_back(tmp_path: Path) -> None:
    with throw_away_database() as url, Fleet(tmp_path, ["n1"], whitelist=WHITELIST) as fleet:
        first = start(fleet, "large", "n1", capture_output=True)
        job_is(fleet, first, "complete")
        before = fleet.api.jobs(), fleet.api.get("audit")
        for file, database in (("one.tar", url), ("two.tar", "")):
            made = backed_up(fleet, file)
            fleet.end_server()
            put_back(fleet, made, database)
            assert (fleet.server_directory / "pushcli.db").exists() == (not database)
            assert not any((fleet.server_directory / "blobs").glob("??"))
            fleet.start_server()
            assert (fleet.api.jobs(), fleet.api.get("audit")) == before, file
            assert fleet.api.job_output(first, "n1", "stdout") == LARGE
            fleet.wait_available(["n1"])
            # What counts up by itself goes on after what was there.
            second = start(fleet, "small", "n1")
            job_is(fleet, second, "complete")
            before = fleet.api.jobs(), fleet.api.get("audit")
        refused = fleet.cli(
            "server", "restore", str(made), "--dir", str(tmp_path / "other"),
            "--set", f"database_url={url}",
        )  # fmt: skip
        assert refused.returncode == ExitStatus.ERROR
        assert "holds a server's data" in refused.stderr
        assert not (tmp_path / "other").exists()


def test_the_file_of_the_database_may_be_another(tmp_path: Path) -> None:
    elsewhere, other = tmp_path / "fast disk" / "push.db", tmp_path / "other"
    elsewhere.parent.mkdir()
    with Fleet(tmp_path / "fleet", [], settings={"database_url": ""}) as fleet:
        before = fleet.api.get("audit")
        made = backed_up(fleet)
        fleet.end_server()
        put_back(fleet, made, f"sqlite:///{elsewhere}")
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
        assert not (fleet.server_directory / "pushcli.db").exists()
        fleet.start_server()
        assert fleet.api.get("audit") == before
        refused = fleet.cli(
            "server", "restore", str(made), "--dir", str(other),
            "--set", f"database_url=sqlite:///{elsewhere}",
        )  # fmt: skip
        assert refused.returncode == ExitStatus.CONFIG
        assert f"{elsewhere} exists" in refused.stderr
        assert not other.exists()


@pytest.mark.parametrize("side", ["", "-wal", "-journal", "/no/directory"])
def test_what_is_in_the_way_of_the_file_is_told(file: Path, tmp_path: Path, side: str) -> None:
    """SQLite would go on with the log of a file that is no more."""
    elsewhere, other = tmp_path / "push.db", tmp_path / "other"
    way = Path(f"{elsewhere}{side}")
    if side != "/no/directory":
        way.write_bytes(b"what is left of another")
    set_to = way if side == "/no/directory" else elsewhere
    refused = Fleet(tmp_path / "fleet", []).cli(
        "server", "restore", str(file), "--dir", str(other), "--set", f"database_url=sqlite:///{set_to}"
    )  # fmt: skip
    assert refused.returncode == ExitStatus.CONFIG, refused
    assert len(refused.stderr.splitlines()) == 1
    assert str(way) in refused.stderr
    assert not other.exists()
    assert not elsewhere.exists() or elsewhere.read_bytes() == b"what is left of another"


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _garbled(file: Path) -> None:
    data = bytearray(file.read_bytes())
    at = data.rindex(LARGE[:1000])
    data[at] ^= 1
    file.write_bytes(data)


def _without(name: str) -> Callable[[Path], None]:
    def leave_out(file: Path) -> None:
        whole = file.with_suffix(".whole")
        file.rename(whole)
        with tarfile.open(whole) as old, tarfile.open(file, "w") as new:
            for member in old:
                if not member.name.startswith(name):
                    new.addfile(member, old.extractfile(member))

    return leave_out


def _with_a_way_out(file: Path) -> None:
    with tarfile.open(file, "a") as tar:
        for name in ("directory/../../escaped", "/escaped", "directory/.ssh/escaped"):
            tar.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("directory/escaped")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a server that stands still."""
    directory = tmp_path_factory.mktemp("fleet")
    with Fleet(directory, ["n1"], whitelist=WHITELIST) as fleet:
        job_is(fleet, start(fleet, "large", "n1", capture_output=True), "complete")
        return backed_up(fleet)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_cut, "not whole"),
        (_garbled, "is damaged"),
        (_without("backup.json"), "not a pushcli backup"),
        (_without("pushcli.db"), "pushcli.db is missing"),
        (_without("directory/server.toml"), "server.toml is missing"),
        pytest.param(
            _without("blobs"),
            "is missing",
            marks=pytest.mark.skipif(IS_CHOSEN, reason="output is in the database"),
        ),
        (lambda file: file.write_bytes(b"tar"), "not a pushcli backup"),
        (lambda file: file.write_bytes(b""), "not a pushcli backup"),
    ],
)
def test_a_damaged_backup_makes_no_server(
    file: Path, tmp_path: Path, change: Callable[[Path], object], reason: str
) -> None:
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(file.read_bytes())
    change(damaged)
    done = Sandbox(tmp_path, []).cli(
        "server", "restore", str(damaged), "--dir", str(tmp_path / "server")
    )
    assert done.returncode == ExitStatus.ERROR, done
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path for path in tmp_path.iterdir() if "server" in path.name] == []


def test_what_leads_out_of_the_directory_is_left_out(file: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.tar"
    hostile.write_bytes(file.read_bytes())
    _with_a_way_out(hostile)
    server = tmp_path / "server"
    done = Sandbox(tmp_path, []).cli(
        "server", "restore", str(hostile), "--dir", str(server), "--set", "database_url="
    )
    assert done.returncode == 0, done
    assert [*tmp_path.rglob("*escaped*")] == []


def test_nothing_is_overwritten(file: Path, tmp_path: Path) -> None:
    sandbox, used = Sandbox(tmp_path, []), tmp_path / "used"
    used.mkdir()
    (used / "file").touch()
    refused = sandbox.cli("server", "restore", str(file), "--dir", str(used))
    assert (refused.returncode, "is not empty" in refused.stderr) == (ExitStatus.CONFIG, True)
    again = sandbox.cli("server", "backup", str(file), "--dir", str(tmp_path / "none"))
    assert (again.returncode, f"{file} exists" in again.stderr) == (ExitStatus.CONFIG, True)
    nothing = sandbox.cli("server", "backup", str(tmp_path / "b"), "--dir", str(tmp_path / "none"))
    assert (nothing.returncode, "no server at" in nothing.stderr) == (
        ExitStatus.CONFIG, True,
    )  # fmt: skip
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "b.part").exists()
