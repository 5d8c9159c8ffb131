"""Output in files: below the directory, whatever a node is called and whatever lies there."""

import os
from pathlib import Path

import pytest

from pushcli.errors import ServerError, UsageError
from pushcli.jobs.output_files import save

WRITTEN = {"stdout": b"\xff\x00out", "stderr": b""}


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


@pytest.mark.parametrize("node", ["web01", "a:b", "...", "-rf", "x" * 255, "con.stdout"])
def test_each_channel_has_a_file_below_its_nodes_name(tmp_path: Path, node: str) -> None:
    save(tmp_path / "new" / "results", node, WRITTEN)
    assert files(tmp_path) == {
        f"new/results/{node}/stdout": b"\xff\x00out", f"new/results/{node}/stderr": b"",
    }  # fmt: skip
    written = tmp_path / "new" / "results" / node / "stdout"
    assert written.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "node", ["..", ".", "../evil", "/tmp/evil", "a/b", "", "a\0b", "x" * 256, "a\nb"]
)
def test_what_is_no_nodes_name_is_no_place(tmp_path: Path, node: str) -> None:
    directory = tmp_path / "results"
    directory.mkdir()
    with pytest.raises(ServerError, match="names a node"):
        save(directory, node, WRITTEN)
    assert files(tmp_path) == {}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside, directory = tmp_path / "outside", tmp_path / "results"
    outside.mkdir()
    (directory / "web02").mkdir(parents=True)
    (directory / "web01").symlink_to(outside)
    (outside / "kept").write_bytes(b"kept")
    (directory / "web02" / "stdout").symlink_to(outside / "kept")
    os.mkfifo(directory / "web02" / "stderr")
    with pytest.raises(UsageError, match="cannot write"):
        save(directory, "web01", WRITTEN)
    save(directory, "web02", WRITTEN)
    assert files(outside) == {"kept": b"kept"}
    assert not (directory / "web02" / "stdout").is_symlink()
    assert files(directory) == {"web02/stdout": b"\xff\x00out", "web02/stderr": b""}


def test_a_later_output_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, "web01", {"stdout": b"a long one"})
    save(tmp_path, "web01", {"stdout": b"short"})
    assert files(tmp_path) == {"web01/stdout": b"short"}


def test_a_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"cannot write .*choose another --outdir"):
        save(tmp_path / "file", "web01", WRITTEN)
