"""Backups that are not what they seem, and what is left where one ended early."""

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from pushcli.errors import StoreError
from pushcli.exit_status import ExitStatus
from pushcli_server.backup import backup, restore
from pushcli_server.store import blobs, snapshot
from tests.support.postgresql import throw_away_database

pytestmark = pytest.mark.timeout(90)


class Place:
    """A directory with a home of its own, in which a server's files are made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "home").mkdir()

    def cli(self, *arguments: str, closed: str = "") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pushcli", *arguments]
        if closed:
            command = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command]
        return subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "HOME": str(self.directory / "home")},
        )  # fmt: skip

    def server(self, name: str = "server") -> Path:
        made = self.directory / name
        done = self.cli("server", "init", "--dir", str(made), "--org", "acme", "--admin", "ann")
        assert done.returncode == 0, done
        return made

    def backup(self, server: Path, file: str = "backup.tar") -> Path:
        done = self.cli("server", "backup", file, "--dir", str(server))
        assert done.returncode == 0, done
        return self.directory / file

    def restore(self, file: Path, name: str, *more: str) -> "subprocess.CompletedProcess[str]":
        return self.cli("server", "restore", str(file), "--dir", name, *more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Place(tmp_path_factory.mktemp("whole"))
    return place.backup(place.server())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def member(kind: bytes, size: int, name: str = "directory/more") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def _twice(file: Path) -> None:
    with tarfile.open(file, "a") as tar:
        tar.addfile(tarfile.TarInfo("pushcli.db"))


def _begins_with(kind: bytes, size: int) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        rest = file.read_bytes()
        with file.open("wb") as changed:
            changed.write(member(kind, size))
            changed.truncate(changed.tell() + max(size, 0))
            changed.seek(0, os.SEEK_END)
            changed.write(rest)

    return change


def _with_database(change: Callable[[Path], object]) -> Callable[[Path], None]:
    def put_in(file: Path) -> None:
        place = file.parent / "unpacked"
        with tarfile.open(file) as tar:
            members = tar.getnames()
            tar.extractall(place, filter="data")
        change(place / "pushcli.db")
        with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in members:
                tar.add(place / name, name)
        shutil.rmtree(place)

    return put_in


def _with_a_page_of_nothing(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        [root] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'")
        [size] = connection.execute("PRAGMA page_size")
    with database.open("r+b") as file:
        file.seek((root[0] - 1) * size[0])
        file.write(bytes(size[0]))


def _of_somebody_else(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE songs (title)")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_with_database(_with_a_page_of_nothing), "the backup's database is damaged"),
        (_with_database(_of_somebody_else), "the backup's database is damaged"),
        (_twice, "'pushcli.db' is in it twice"),
        # What goes before a member is read as a whole.
        (_begins_with(tarfile.XHDTYPE, 2**30), "a part that no backup has"),
        (_begins_with(tarfile.XGLTYPE, 2**30), "a part that no backup has"),
        (_begins_with(tarfile.GNUTYPE_LONGNAME, 2**30), "a part that no backup has"),
        (_begins_with(tarfile.GNUTYPE_SPARSE, 0), "a part that no backup has"),
        (_begins_with(tarfile.REGTYPE, -(2**40)), "a part that no backup has"),
    ],
)
def test_a_hostile_backup_makes_no_server(
    whole: Path, place: Place, change: Callable[[Path], object], reason: str
) -> None:
    file = place.directory / "hostile.tar"
    shutil.copyfile(whole, file)
    change(file)
    done = place.restore(file, "new/server")
    assert done.returncode == ExitStatus.ERROR, done
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert {path.name for path in place.directory.iterdir()} == {"home", "hostile.tar"}


def test_names_of_any_length_come_back(place: Place) -> None:
    server = place.server()
    name = "certificate-" + "x" * 200
    (server / name).write_text("pem")
    file = place.backup(server)
    assert place.restore(file, "again").returncode == 0
    assert (place.directory / "again" / name).read_text() == "pem"


def test_a_directory_that_is_there_stays_the_same(whole: Path, place: Place) -> None:
    """It may be a disk of its own, which cannot be renamed; and have its owner."""
    there = place.directory / "there"
    there.mkdir()
    inode = there.stat().st_ino
    # Of one that was killed.
    (there / ".restore-dead").mkdir()
    damaged = place.directory / "damaged.tar"
    damaged.write_bytes(whole.read_bytes()[:9000])
    assert place.restore(damaged, "there").returncode == ExitStatus.ERROR
    assert [*there.iterdir()] == []
    assert place.restore(whole, "there").returncode == 0
    assert there.stat().st_ino == inode
    assert (there / "server.toml").exists()
    assert [path.name for path in there.iterdir() if path.name.startswith(".")] == []


def test_settings_that_cannot_be_leave_nothing(whole: Path, place: Place) -> None:
    for value in ("api_port=0", "nonsense=1", "api_port"):
        done = place.restore(whole, "new/server", "--set", value)
        assert done.returncode == ExitStatus.CONFIG, done
        assert [path.name for path in place.directory.iterdir()] == ["home"]


def test_a_server_may_live_in_a_directory_of_any_name(place: Place) -> None:
    server = place.server("a#b%20c?d")
    file = place.backup(server)
    assert place.restore(file, "e#f%41?g").returncode == 0
    for name in ("a#b%20c?d", "e#f%41?g"):
        assert (place.directory / name / "pushcli.db").stat().st_size > 10_000
    assert {path.name for path in place.directory.iterdir()} == {
        "home", "backup.tar", "a#b%20c?d", "e#f%41?g",
    }  # fmt: skip


def test_a_backup_is_written_where_nobody_else_writes(place: Place) -> None:
    server = place.server()
    # Made by somebody who wants to read what comes into it, or of a backup beside us.
    waiting = place.directory / "backup.tar.part"
    waiting.write_text("mine")
    waiting.chmod(0o666)
    place.backup(server)
    assert waiting.read_text() == "mine"
    inside = place.cli("server", "backup", str(server / "in.tar"), "--dir", str(server))
    assert inside.returncode == ExitStatus.CONFIG
    assert "is in the server's directory" in inside.stderr
    assert not [*server.glob("in.tar*")]


def test_what_a_killed_backup_left_goes_with_the_next(place: Place) -> None:
    server = place.server()
    dead, live = server / ".backup-dead", server / ".backup-live"
    for left in (dead, live):
        left.mkdir()
        (left / "pushcli.db").touch()
    descriptor = os.open(live, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        place.backup(server)
    finally:
        os.close(descriptor)
    assert [path.name for path in server.glob(".backup-*")] == [live.name]


def test_output_that_comes_and_goes_while_the_database_is_copied_is_held(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one it refers to is known only afterwards."""
    server = place.server()
    gone, come, never = ("a" * 64, "b" * 64, "c" * 64)
    root = server / "blobs"

    def made(digest: str) -> Path:
        path = blobs.path_of(root, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(digest)
        return path

    tries: list[Path] = []

    def save(url: str, file: Path, *, wanted: tuple[str, ...] = (gone, come)) -> None:
        if tries and wanted[-1] == never:
            made(never)
        tries.append(file)
        snapshot_save(url, file)
        with closing(sqlite3.connect(file)) as database, database:
            rows = [(digest, 64) for digest in wanted]
            database.executemany("INSERT INTO blobs (digest, size) VALUES (?, ?)", rows)
            database.executemany(
                "INSERT INTO job_nodes (job_id, node, position, state, stdout_digest)"
                " VALUES ('', ?, 0, '', ?)",
                [(digest, digest) for digest in wanted],
            )
        blobs.path_of(root, gone).unlink(missing_ok=True)
        made(come)

    snapshot_save = snapshot.save
    monkeypatch.setattr(snapshot, "save", save)
    made(gone)
    assert backup.backup(server, tmp_path / "one.tar").outputs == 2
    assert len(tries) == 1
    # One that is missing is looked for again, not for ever.
    made(gone)
    monkeypatch.setattr(snapshot, "save", partial(save, wanted=(come, never)))
    tries.clear()
    assert backup.backup(server, tmp_path / "two.tar").outputs == 2
    assert len(tries) == 2
    monkeypatch.setattr(snapshot, "save", partial(save, wanted=("d" * 64,)))
    tries.clear()
    with pytest.raises(StoreError, match="1 outputs that the database refers to are missing"):
        backup.backup(server, tmp_path / "three.tar")
    assert len(tries) == 3
    assert not (tmp_path / "three.tar").exists()


def test_what_of_the_server_cannot_be_read_is_not_said_of_the_backup(place: Place) -> None:
    server = place.server()
    unreadable = server / "blobs" / "ab" / ("c" * 62)
    unreadable.mkdir(parents=True)
    for target in ("backup.tar", "-"):
        done = place.cli("server", "backup", target, "--dir", str(server))
        assert done.returncode == ExitStatus.ERROR, done
        assert f"cannot back up {server}: {unreadable}: Is a directory" in done.stderr
        assert "give another place" not in done.stderr
    assert not [*place.directory.glob("backup.tar*")]
    unreadable.rmdir()
    full = place.cli("server", "backup", "-", "--dir", str(server), closed=">/dev/full")
    assert "No space left on device" in full.stderr
    assert "cannot back up" not in full.stderr


def test_closed_pipes_are_named(place: Place, whole: Path) -> None:
    server = place.server()
    for closed, arguments in {
        ">&-": ("backup", "-", "--dir", str(server)),
        "<&-": ("restore", "-", "--dir", "new"),
    }.items():
        done = place.cli("server", *arguments, closed=closed)
        assert done.returncode == ExitStatus.USAGE, done
        assert "is closed" in done.stderr


def test_a_restore_that_fails_leaves_postgresql_empty(place: Place) -> None:
    server = place.server()
    with closing(sqlite3.connect(server / "pushcli.db")) as database, database:
        # No text of PostgreSQL's has it.
        database.execute("UPDATE audit SET target = 'a' || char(0) || 'b'")
    damaged = place.backup(server)
    with closing(sqlite3.connect(server / "pushcli.db")) as database, database:
        database.execute("UPDATE audit SET target = 'a'")
    good = place.backup(server, "good.tar")
    with throw_away_database() as url:
        arguments = ("new", "--set", f"database_url={url}")
        refused = place.restore(damaged, *arguments)
        assert refused.returncode == ExitStatus.ERROR, refused
        assert len(refused.stderr.splitlines()) == 1
        assert not (place.directory / "new").exists()
        assert place.restore(good, *arguments).returncode == 0


def test_a_restore_that_cannot_end_leaves_no_database_elsewhere(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else is in its place, but for the settings."""
    elsewhere, rename = tmp_path / "push.db", Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "server.toml":
            assert elsewhere.exists()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with whole.open("rb") as stream, pytest.raises(StoreError, match=os.strerror(errno.EIO)):
        restore.restore(stream, tmp_path / "other", [f"database_url=sqlite:///{elsewhere}"])
    assert not elsewhere.exists()
