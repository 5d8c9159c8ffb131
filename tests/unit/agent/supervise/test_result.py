"""A result survives a power cut: whatever a name shows was written to the disk before."""

import os
from pathlib import Path

import pytest

from pushcli_agent.supervise.result import write_result


def test_the_result_is_on_the_disk_before_its_name_is_and_the_name_before_anybody_hears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No kill shows it, a power cut would; so what is asked of the system is looked at.
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(f"sync {path.name}: {path.read_text()}" if path.is_file() else "sync names")
        fsync(descriptor)

    def note_rename(old: str, new: str) -> None:
        done.append(f"name {Path(new).name}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    write_result(str(tmp_path), {"exit_code": 0})
    assert done == ['sync result.tmp: {"exit_code": 0}\n', "name result.json", "sync names"]
