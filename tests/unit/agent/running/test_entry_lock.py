"""Files that are locked for an entry, wherever they lie."""

import os
from pathlib import Path

import pytest

from pushcli.whitelist.entry import Entry
from pushcli_agent.running import entry_lock
from pushcli_agent.running.entry_lock import LockRefused
from tests.support.full_disk import small_disk


def entry(lock: bool | str | Path, name: str = "x") -> Entry:
    return Entry(name=name, command="true", lock=lock if isinstance(lock, bool) else str(lock))


def refusal(tmp_path: Path, lock: Path) -> str:
    with pytest.raises(LockRefused) as checked:
        entry_lock.check(entry(lock), tmp_path / "locks")
    with pytest.raises(LockRefused) as refused:
        entry_lock.acquire(entry(lock), tmp_path / "locks")
    assert str(checked.value) == str(refused.value)
    return str(refused.value)


def test_every_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    names = ["a b", "a/b", "a_b", "../../x", "é", "/(.*)/", "x" * 1000]
    paths = {entry_lock.path_of(entry(True, name), tmp_path) for name in names}
    assert len(paths) == len(names)
    assert {path.parent for path in paths} == {tmp_path}
    for name in names:
        os.close(entry_lock.acquire(entry(True, name), tmp_path))


def test_a_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    descriptor = entry_lock.acquire(entry(path), tmp_path / "locks")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "locks").exists()
    assert refusal(tmp_path, path) == "lock: held by another process"
    os.close(descriptor)
    os.close(entry_lock.acquire(entry(path), tmp_path / "locks"))


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text("12345\n")
    path.chmod(0o444)
    os.close(entry_lock.acquire(entry(path), tmp_path))
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("12345\n", 0o444)


def test_links_are_followed_where_nobody_else_may_write(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(0o755)
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "real" / "link").symlink_to(tmp_path / "way" / ".." / "real" / "target")
    descriptor = entry_lock.acquire(entry(tmp_path / "way" / "link"), tmp_path)
    assert (tmp_path / "real" / "target").is_file()
    assert refusal(tmp_path, tmp_path / "real" / "target") == "lock: held by another process"
    os.close(descriptor)


@pytest.mark.parametrize("exists", [True, False])
def test_no_link_is_followed_where_others_may_write(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    target = tmp_path / "victim"
    if exists:
        target.touch()
    (tmp_path / "open" / "link").symlink_to(target)
    (tmp_path / "open" / "way").symlink_to(tmp_path)
    expected = "is a symbolic link where others may write"
    assert expected in refusal(tmp_path, tmp_path / "open" / "link")
    assert expected in refusal(tmp_path, tmp_path / "open" / "way" / "victim")
    assert target.exists() is exists
    # A file of its own may well lie there.
    os.close(entry_lock.acquire(entry(tmp_path / "open" / "own"), tmp_path))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "Too many levels of symbolic links" in refusal(tmp_path, tmp_path / "a")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path, tmp_path / "pipe") == "lock: pipe is not a regular file"
    assert refusal(tmp_path, tmp_path) == f"lock: {tmp_path.name} is not a regular file"


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no" / "x"
    with pytest.raises(LockRefused, match=f"lock: {path}: No such file or directory"):
        entry_lock.acquire(entry(path), tmp_path)


def test_a_file_that_its_holder_removes_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "x"
    holder = entry_lock.acquire(entry(path), tmp_path)
    path.unlink()
    other = entry_lock.acquire(entry(path), tmp_path)
    assert os.fstat(other).st_ino == path.stat().st_ino
    os.close(holder)
    os.close(other)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m,nr_inodes=2") as disk:
        (disk / "held").touch()
        with pytest.raises(LockRefused) as refused:
            entry_lock.acquire(entry(disk / "a.lock"), tmp_path / "locks")
    assert str(refused.value) == f"lock: no space left on the disk of {disk} (mounted at {disk})"
