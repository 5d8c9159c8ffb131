"""The strict disk of the chaos: what was synced is there after a loss of power, and no more."""

import os
from pathlib import Path

import pytest

from tests.support.power.synced import remember, restore


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    place = tmp_path / "disk"
    place.mkdir()
    return place


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    place = tmp_path / "spool"
    place.mkdir()
    return place


def sync(disk: Path, *paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        remember(disk, descriptor)
        os.close(descriptor)


def tree(spool: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(spool)): path.read_text() if path.is_file() else None
        for path in sorted(spool.rglob("*"))
    }


def test_what_was_never_synced_is_gone(disk: Path, spool: Path) -> None:
    (spool / "job").mkdir()
    (spool / "job" / "lock").write_text("1 running")
    restore(disk, spool)
    assert tree(spool) == {}


def test_a_name_alone_is_an_empty_file(disk: Path, spool: Path) -> None:
    (spool / "job").mkdir()
    (spool / "job" / "lock").write_text("1 running")
    sync(disk, spool, spool / "job")
    restore(disk, spool)
    assert tree(spool) == {"job": None, "job/lock": ""}


def test_content_without_its_name_is_gone(disk: Path, spool: Path) -> None:
    (spool / "job").mkdir()
    (spool / "job" / "result").write_text("0")
    sync(disk, spool, spool / "job" / "result")
    restore(disk, spool)
    assert tree(spool) == {"job": None}


def test_a_file_follows_its_new_name_and_keeps_what_it_had_when_it_was_synced(
    disk: Path, spool: Path
) -> None:
    file = spool / "result.tmp"
    file.write_text("whole")
    file.chmod(0o600)
    sync(disk, file)
    file.rename(spool / "result.json")
    sync(disk, spool)
    (spool / "result.json").write_text("later")
    restore(disk, spool)
    assert tree(spool) == {"result.json": "whole"}
    assert (spool / "result.json").stat().st_mode & 0o777 == 0o600


def test_what_was_removed_since_is_back(disk: Path, spool: Path) -> None:
    file = spool / "result.json"
    file.write_text("0")
    sync(disk, file, spool)
    file.unlink()
    (spool / "other").write_text("1")
    restore(disk, spool)
    assert tree(spool) == {"result.json": "0"}


def test_what_came_back_is_there_after_the_next_loss_too(disk: Path, spool: Path) -> None:
    (spool / "job").mkdir()
    (spool / "job" / "result.json").write_text("0")
    sync(disk, spool / "job" / "result.json", spool / "job", spool)
    restore(disk, spool)
    restore(disk, spool)
    assert tree(spool) == {"job": None, "job/result.json": "0"}
