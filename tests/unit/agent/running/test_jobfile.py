"""Files that come with jobs, in a place that others may try to spoil."""

import os
import resource
import stat
import time
from pathlib import Path

import pytest

from pushcli_agent.running import jobfile
from pushcli_agent.running.jobfile import JobFileError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
DAY = 86_400.0


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("raw:", b""),
        ("raw:a:b\n", b"a:b\n"),
        ("raw:ä", "ä".encode()),
        ("base64:AP8=", b"\x00\xff"),
        ("base64:" + "QUJD" * 15 + "\n" + "QUJD\n", b"ABC" * 16),
        ("base64:", b""),
    ],
)
def test_content_is_raw_or_base64(text: str, content: bytes) -> None:
    assert jobfile.decode(text) == content


@pytest.mark.parametrize("text", ["", "raw", "base64", "RAW:x", " raw:x", "http://x", "x:raw:"])
def test_another_prefix_is_refused(text: str) -> None:
    with pytest.raises(JobFileError, match="it must start with raw: or base64:"):
        jobfile.decode(text)


@pytest.mark.parametrize("data", ["A", "AAA", "AA=A", "AB*=", "ä", "AP8=x", "\ud800"])
def test_what_is_not_base64_is_refused(data: str) -> None:
    with pytest.raises(JobFileError, match="it is not base64"):
        jobfile.decode("base64:" + data)


def test_a_file_is_its_users_alone_under_a_name_that_cannot_be_guessed(tmp_path: Path) -> None:
    directory = tmp_path / "files"
    old = os.umask(0o777)
    try:
        paths = {jobfile.write(directory, b"content", None) for _ in range(3)}
    finally:
        os.umask(old)
    assert len(paths) == 3
    assert stat.S_IMODE(directory.stat().st_mode) == 0o711
    for path in paths:
        assert path.parent == directory
        assert path.name.startswith("pushy_file")
        assert len(path.name) == len("pushy_file") + 16
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"content", 0o600)


@as_root
def test_a_file_belongs_to_the_jobs_user(tmp_path: Path) -> None:
    status = jobfile.write(tmp_path / "files", b"", (12_345, 54_321)).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12_345, 54_321, 0o600)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "pushy_file1").write_text("")
    os.utime(target / "pushy_file1", (0, 0))
    link = tmp_path / "files"
    link.symlink_to(target)
    with pytest.raises(JobFileError, match="cannot write it"):
        jobfile.write(link, b"secret", None)
    assert jobfile.expire(link, DAY) == 0
    assert [path.name for path in target.iterdir()] == ["pushy_file1"]


def test_a_link_that_leads_nowhere_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "files").symlink_to(tmp_path / "target")
    with pytest.raises(JobFileError):
        jobfile.write(tmp_path / "files", b"secret", None)
    assert not (tmp_path / "target").exists()


@as_root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "files"
    directory.mkdir(0o711)
    (directory / "pushy_file1").write_text("")
    os.utime(directory / "pushy_file1", (0, 0))
    os.chown(directory, 12_345, -1)
    with pytest.raises(JobFileError, match="belongs to another user"):
        jobfile.write(directory, b"secret", None)
    assert jobfile.expire(directory, DAY) == 0
    assert len(list(directory.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o730, 0o713])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(JobFileError, match="writable by others"):
        jobfile.write(directory, b"secret", None)
    assert list(directory.iterdir()) == []


@as_root
def test_a_directory_that_the_jobs_user_cannot_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir(0o700)
    with pytest.raises(JobFileError, match="not accessible to the job's user"):
        jobfile.write(tmp_path / "files", b"", (12_345, 12_345))
    assert jobfile.write(tmp_path / "files", b"", None).exists()


@pytest.mark.parametrize("place", ["file", "no/files"])
def test_a_place_that_is_no_directory_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobFileError, match="cannot write it"):
        jobfile.write(tmp_path / place, b"", None)
    assert jobfile.expire(tmp_path / place, DAY) == 0


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(JobFileError, match="File too large"):
            jobfile.write(tmp_path / "files", bytes(101), None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "files").iterdir()) == []


def test_only_expired_job_files_are_removed(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("pushy_file1", "pushy_file2", "notes"))
    kept, link, folder = (tmp_path / name for name in ("kept", "pushy_file3", "pushy_file4"))
    for path in (old, new, other, kept):
        path.write_text("")
    link.symlink_to(kept)
    folder.mkdir()
    past = time.time() - DAY - 60
    for path in (old, other, kept, link, folder):
        os.utime(path, (past, past), follow_symlinks=False)
    assert jobfile.expire(tmp_path, DAY) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "pushy_file2",
        "notes",
        "kept",
        folder.name,
    }


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert jobfile.expire(tmp_path / "files", DAY) == 0
    assert not (tmp_path / "files").exists()
