import os
import stat
from pathlib import Path

import pytest

from pushcli.completion import known
from pushcli.completion.known import Known


def test_each_server_and_each_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    url = "https://push.example.com:10003/organizations/acme"
    places = {
        known.place(url, "ann", env), known.place(url, "bob", env),
        known.place(url.replace("acme", "other"), "ann", env),
    }  # fmt: skip
    assert len(places) == 3
    assert known.place(f"{url}/", "ann", env) in places
    assert known.place(url, "ann", {"HOME": str(tmp_path)}).is_relative_to(tmp_path / ".cache")


def test_it_is_read_back_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "pushcli" / "x.json"
    there = Known(nodes=["web01"], jobs=[known.KnownJob("0" * 32, "uptime", 1.0)])
    known.write(path, there)
    assert known.read(path) == there
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"nodes": 1}', b"\xff", b"[" * 100_000, b'{"version": 99}',
     b" " * (known.MAX_BYTES + 1)],
)  # fmt: skip
def test_what_is_damaged_or_too_large_is_not_known(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.touch(0o600)
    path.write_bytes(content)
    assert known.read(path) is None


def test_what_others_could_have_written_or_read_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    known.write(path, Known())
    link = tmp_path / "link.json"
    link.symlink_to(path)
    assert known.read(link) is None
    path.chmod(0o622)
    assert known.read(path) is None
    os.mkfifo(tmp_path / "pipe.json", 0o600)
    assert known.read(tmp_path / "pipe.json") is None


def test_whitelists_give_way_to_names_where_all_would_be_too_much(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    known.write(path, Known(nodes=["web01"], entries=[("x" * known.MAX_BYTES, "")]))
    assert known.read(path) == Known(nodes=["web01"])


def test_old_files_go(tmp_path: Path) -> None:
    for number in range(known.MAX_FILES + 3):
        known.write(tmp_path / f"{number}.json", Known())
        os.utime(tmp_path / f"{number}.json", (number, number))
    known.write(tmp_path / "last.json", Known())
    names = {file.stem for file in tmp_path.glob("*.json")}
    assert len(names) == known.MAX_FILES
    assert {"last", str(known.MAX_FILES + 2)} <= names


def test_it_is_refreshed_once_in_a_while_by_one_process(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    lock = path.with_suffix(".lock")
    assert known.claim(path, None)
    assert not known.claim(path, None)
    earlier = lock.stat().st_mtime - known.PAUSE - 1
    os.utime(lock, (earlier, earlier))
    # What took the server two seconds is not asked for again as soon.
    assert not known.claim(path, Known(took=2.0))
    assert known.claim(path, Known(took=0.1))
    with known.only_one(path) as first, known.only_one(path) as second:
        assert (first, second) == (True, False)
    with known.only_one(path) as third:
        assert third


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not known.claim(tmp_path / "file" / "pushcli" / "x.json", None)
    assert known.read(tmp_path / "file" / "x.json") is None
