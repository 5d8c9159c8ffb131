"""Files changed in place: whole, with owner and mode, and nobody's change is lost."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pushcli.errors import ConfigError
from pushcli.whitelist.workstation import local_file
from pushcli.whitelist.workstation.local_file import FileChanged, edit, read, replace
from pushcli.whitelist.workstation.toml_edit import entries, with_entry
from tests.support.waiting import patient

ADD_FIFTY = """
import sys
from pathlib import Path
from pushcli.whitelist.workstation.local_file import edit
from pushcli.whitelist.workstation.toml_edit import with_entry
for number in range(50):
    edit(Path(sys.argv[1]), lambda text: with_entry(text, f"{sys.argv[2]}{number}", "true"))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text('# mine\n[whitelist]\na = "b"\n')
    return path


def test_two_processes_that_add_at_once_lose_nothing(file: Path) -> None:
    command = [sys.executable, "-c", ADD_FIFTY, str(file)]
    with (
        subprocess.Popen([*command, "left"]) as left,
        subprocess.Popen([*command, "right"]) as right,
    ):
        assert [left.wait(patient(15)), right.wait(patient(15))] == [0, 0]
    names = {f"{side}{number}" for side in ("left", "right") for number in range(50)}
    assert entries(read(file)).keys() == names | {"a"}
    assert list(file.parent.iterdir()) == [file]


def test_an_editor_that_knows_no_lock_loses_nothing(file: Path) -> None:
    calls: list[str] = []

    def change(text: str) -> str:
        if not calls:
            file.write_text(text + 'theirs = "kept"\n')
        calls.append(text)
        return with_entry(text, "ours", "kept")

    edit(file, change)
    assert len(calls) == 2
    assert entries(read(file)) == {"a": "b", "ours": "kept", "theirs": "kept"}


def test_replace_refuses_a_file_that_is_another_by_now(file: Path) -> None:
    before = read(file)
    file.write_text(before + "# theirs\n")
    with pytest.raises(FileChanged, match="changed in the meantime"):
        replace(file, before, "ours")
    assert read(file) == before + "# theirs\n"


def test_mode_attributes_and_links_stay(file: Path) -> None:
    file.chmod(0o640)
    link = file.with_name("link.toml")
    link.symlink_to(file.name)
    edit(link, lambda text: text + "# more\n")
    assert link.is_symlink()
    assert read(file).endswith("# more\n")
    assert file.stat().st_mode & 0o7777 == 0o640


def test_the_time_is_that_of_the_change_so_that_the_agent_sees_it(file: Path) -> None:
    os.utime(file, (1, 1))
    edit(file, lambda text: text + "# more\n")
    assert abs(file.stat().st_mtime - time.time()) < 60


def test_no_change_writes_nothing(file: Path) -> None:
    inode = file.stat().st_ino
    assert edit(file, lambda text: text) == (read(file), read(file))
    assert file.stat().st_ino == inode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of others")
def test_the_owner_stays(file: Path) -> None:
    os.chown(file, 1234, 4321)
    edit(file, lambda text: text + "# more\n")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)


def test_an_edit_that_fails_leaves_the_file_and_nothing_beside_it(file: Path) -> None:
    before = read(file)

    def fail(text: str) -> str:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        edit(file, fail)
    assert read(file) == before
    assert list(file.parent.iterdir()) == [file]


def test_who_waits_too_long_gives_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_file, "PATIENCE", 0.1)
    held, done = threading.Event(), threading.Event()

    def hold(text: str) -> str:
        held.set()
        done.wait(patient(10))
        return text

    other = threading.Thread(target=edit, args=(file, hold))
    other.start()
    try:
        assert held.wait(patient(10))
        with pytest.raises(FileChanged, match="somebody else"):
            edit(file, lambda text: text + "#")
    finally:
        done.set()
        other.join()


@pytest.mark.parametrize("content", [None, b"\xff\n"])
def test_what_cannot_be_read_is_one_error(file: Path, content: bytes | None) -> None:
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"agent\.toml"):
        edit(file, lambda text: text)


def test_line_breaks_stay(file: Path) -> None:
    file.write_bytes(b"[whitelist]\r\n")
    edit(file, lambda text: with_entry(text, "a", "b"))
    assert file.read_bytes() == b'[whitelist]\r\na = "b"\r\n'
