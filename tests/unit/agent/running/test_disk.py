"""Which disk has no room, in words."""

import errno
import os
from pathlib import Path

import pytest

from pushcli_agent.running import disk
from tests.support.full_disk import fill, small_disk


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on the disk of /proc/self (mounted at /proc)"),
        (errno.EDQUOT, "no space left on the disk of /proc/self (mounted at /proc)"),
        (errno.EROFS, "the disk of /proc/self cannot be written: Read-only file system"),
        (errno.EIO, "the disk of /proc/self cannot be written: Input/output error"),
        (errno.EMFILE, None),
        (errno.ENOENT, None),
    ],
)
def test_errors_of_a_disk_name_it(number: int, words: str | None) -> None:
    assert disk.why(OSError(number, os.strerror(number)), Path("/proc/self")) == words


def test_a_disk_is_full_where_not_even_a_result_has_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as place:
        assert disk.full(place) is None
        ballast = fill(place)
        assert disk.full(place) == f"no space left on the disk of {place} (mounted at {place})"
        ballast.unlink()
        assert disk.full(place) is None


def test_a_file_system_that_does_not_count_is_not_full() -> None:
    assert disk.full(Path("/proc")) is None


def test_what_cannot_be_looked_at_is_found_out_later(tmp_path: Path) -> None:
    assert disk.full(tmp_path / "missing") is None
