"""An archive to install an agent offline: what is in it, and what its installer does."""

import hashlib
import os
import platform
import re
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle import archive, wheels
from bundle.__main__ import NEWEST_GLIBC
from tests.support import wheelhouse
from tests.support.waiting import patient

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]
TOP = Path(__file__).parents[2]
VERSION = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"]
MACHINE = platform.machine()
MOMENT = 1_700_000_000
INTERPRETER = Path(sys.base_prefix) / "bin" / f"python{wheelhouse.PYTHON}"
PYTHON = (f"--python={INTERPRETER}",)
HOSTILE = {
    "PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_TARGET": "/proc/none", "PIP_NO_INDEX": "1",
    "PIP_REQUIRE_VIRTUALENV": "1", "PYTHONPATH": "/proc/none",
}  # fmt: skip
"""What a machine may have set, and what would be found out if an index were asked."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive."""
    directory = tmp_path_factory.mktemp("wheels")
    wheelhouse.fill(directory)
    out = tmp_path_factory.mktemp("out")
    pythons = [wheelhouse.PYTHON]
    return archive.make(directory, out, pythons=pythons, machine=MACHINE, moment=MOMENT)


@pytest.fixture(scope="module")
def unpacked(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(made, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture(scope="module")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One installation, which tests leave alone."""
    target = tmp_path_factory.mktemp("a node") / "pushcli"
    done = install(unpacked, target)
    assert done.returncode == 0, done.stderr
    assert f"Done: pushcli {VERSION}" in done.stdout
    assert f"{target}/bin/pushcli agent enroll --server" in done.stdout
    return target


def unpack(made: Path, directory: Path) -> Path:
    with tarfile.open(made) as tar:
        tar.extractall(directory, filter="data")
    [top] = directory.iterdir()
    return top


def command(unpacked: Path, target: Path | str, *more: str) -> list[str]:
    return ["sh", str(unpacked / "install.sh"), *(more or PYTHON), str(target)]


def install(
    unpacked: Path, target: Path | str, *more: str, path: Path | None = None, cwd: Path = TOP
) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **HOSTILE}
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    return subprocess.run(
        command(unpacked, target, *more), capture_output=True, text=True, check=False, cwd=cwd,
        env=environment, timeout=patient(60),
    )  # fmt: skip


def program(directory: Path, name: str, text: str) -> Path:
    """A program that stands before the machine's in PATH."""
    file = directory / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return directory


def test_what_was_installed_runs(installed: Path) -> None:
    pushcli = str(installed / "bin" / "pushcli")
    said = subprocess.run([pushcli, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"pushcli {VERSION}\n"
    for part in ("agent", "server"):
        subprocess.run([pushcli, part, "start", "--help"], capture_output=True, check=True)
    assert not list(installed.rglob("__editable__*"))
    left = {entry.name for entry in installed.iterdir()}
    assert not left & {".installing", "log"}


def test_once_more_changes_nothing(unpacked: Path, installed: Path) -> None:
    before = (installed / "pyvenv.cfg").stat()
    done = install(unpacked, installed)
    assert (done.returncode, done.stdout) == (
        0, f"pushcli {VERSION} is installed in {installed} already.\n",
    )  # fmt: skip
    assert (installed / "pyvenv.cfg").stat() == before


def test_the_same_wheels_give_the_same_archive(made: Path, unpacked: Path, tmp_path: Path) -> None:
    again = archive.make(
        unpacked / "wheels", tmp_path, pythons=[wheelhouse.PYTHON], machine=MACHINE, moment=MOMENT
    )
    assert again.read_bytes() == made.read_bytes()
    with tarfile.open(made) as tar:
        assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in tar} == {
            (0, 0, "", MOMENT)
        }


def test_nothing_of_this_machine_is_in_it(unpacked: Path) -> None:
    [ours] = (unpacked / "wheels").glob("pushcli-*.whl")
    texts = [file.read_bytes() for file in unpacked.iterdir() if file.is_file()]
    texts += [content for _, content in _files(ours)]
    for text in texts:
        assert str(TOP).encode() not in text
        assert str(Path.home()).encode() + b"/" not in text
        assert b"--index" not in text
        assert b"--find-links" not in text or b"--no-index" in text
    pins = (unpacked / "requirements.txt").read_text()
    assert "://" not in pins
    assert pins.count("==") == len(list((unpacked / "wheels").iterdir())) - 1


def _files(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as content:
        for name in content.namelist():
            yield name, content.read(name)


def test_the_stated_glibc_is_the_oldest_that_does(unpacked: Path) -> None:
    facts = dict(re.findall(r"(?m)^(\w+)='(.*)'$", (unpacked / "bundle.env").read_text()))
    stated = tuple(map(int, facts["GLIBC"].split(".")))
    all_of_them = list((unpacked / "wheels").iterdir())
    promised = [wheels.of_name(wheel.name, MACHINE) for wheel in all_of_them]
    assert stated == max(promised)
    assert max(map(wheels.of_symbols, all_of_them)) <= stated
    # Of wheels that `make bundle` fetches none needs a newer one than this.
    assert f"glibc 2.{NEWEST_GLIBC} or newer" in (TOP / "docs" / "offline.md").read_text()


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("install.sh: ")
    return done.stderr


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("uname", 'case $1 in -m) echo sparc ;; *) echo Linux ;; esac',
         f"this archive is for {MACHINE}, not for sparc"),
        ("uname", "echo Darwin", "this archive is for Linux, not for Darwin"),
        ("getconf", "echo glibc 2.9", "glibc 2.9 is too old"),
        ("getconf", "echo glibc 1.99", "glibc 1.99 is too old"),
        ("getconf", "exit 1", "no glibc here"),
        ("df", 'echo x; echo "tmpfs 1000 10 9 1% /"', "not enough room"),
    ],
)  # fmt: skip
def test_a_machine_that_does_not_fit(
    unpacked: Path, tmp_path: Path, name: str, text: str, words: str
) -> None:
    target = tmp_path / "t"
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    assert words in refusal(install(unpacked, target, path=program(bin_, name, text)))
    assert not target.exists()


def test_a_newer_glibc_does(unpacked: Path, installed: Path, tmp_path: Path) -> None:
    facts = dict(re.findall(r"(?m)^(\w+)='(.*)'$", (unpacked / "bundle.env").read_text()))
    for version in (facts["GLIBC"], "2.100", "3.0"):
        path = program(tmp_path, "getconf", f"echo glibc {version}")
        assert install(unpacked, installed, path=path).returncode == 0


@pytest.mark.parametrize("text", ["echo cpython 3.10", "echo pypy 3.11", "exit 1"])
def test_a_python_that_does_not_fit(unpacked: Path, tmp_path: Path, text: str) -> None:
    python = program(tmp_path, "old", text) / "old"
    said = refusal(install(unpacked, tmp_path / "t", "--python", str(python)))
    assert f"{python} is not one of CPython {wheelhouse.PYTHON}" in said
    none = str(tmp_path / "none")
    assert f"there is no {none}" in refusal(install(unpacked, tmp_path / "t", "--python", none))
    # None of those that the machine has.
    for version in ("3", wheelhouse.PYTHON):
        program(tmp_path, f"python{version}", text)
    said = refusal(install(unpacked, tmp_path / "t", "--python", "", path=tmp_path))
    assert f"no CPython {wheelhouse.PYTHON} found" in said
    assert "keeps the Ruby agent" in said


def test_a_directory_that_is_occupied(unpacked: Path, installed: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("keep")
    assert "is occupied" in refusal(install(unpacked, tmp_path))
    assert mine.read_text() == "keep"
    for whole in ("/", "//"):
        assert "/ is occupied" in refusal(install(unpacked, whole))
    assert "is not a directory" in refusal(install(unpacked, mine))
    assert "cannot make" in refusal(install(unpacked, mine / "below"))
    assert "a colon" in refusal(install(unpacked, tmp_path / "a:b"))
    assert [mine] == list(tmp_path.iterdir())
    other = tmp_path / "other"
    other.mkdir()
    (other / ".pushcli-version").write_text("0.0.1\n")
    assert f"has pushcli 0.0.1: give another directory for {VERSION}" in refusal(
        install(unpacked, other)
    )
    (other / ".pushcli-version").write_text(f"{VERSION}\n")
    assert f"{other} is damaged: remove it" in refusal(install(unpacked, other))


def test_an_empty_directory_that_was_there_stays(unpacked: Path, tmp_path: Path) -> None:
    target, bin_ = tmp_path / "t", tmp_path / "bin"
    target.mkdir()
    bin_.mkdir()
    path = program(bin_, "df", 'echo x; echo "tmpfs 1000 10 9 1% /"')
    assert "not enough room" in refusal(install(unpacked, target, path=path))
    assert target.is_dir()
    assert list(target.iterdir()) == []


def test_a_relative_python_a_link_and_the_number_of_an_interrupted_process(
    unpacked: Path, tmp_path: Path
) -> None:
    """One installation meets all three, for each takes seconds."""
    # It is found where the caller stands.
    (tmp_path / "own python").symlink_to(INTERPRETER.parent)
    given = f"own python/{INTERPRETER.name}"
    # After the machine lost its power, say: a process that has the number is no installation.
    busy = tmp_path / "there" / ".installing"
    busy.mkdir(parents=True)
    (busy / "pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "link").symlink_to("there")
    done = install(unpacked, "link/", "--python", given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "bin" / "pushcli").exists()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("nowhere")
    assert "cannot make" in refusal(install(unpacked, tmp_path / "link"))


def test_what_is_not_understood(unpacked: Path) -> None:
    for arguments in ([], ["a", "b"], ["--what", "a"], ["--python"], [""]):
        done = subprocess.run(
            ["sh", str(unpacked / "install.sh"), *arguments], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr.partition(":")[0]) == (2, "usage"), arguments


def test_a_damaged_archive(made: Path, tmp_path: Path) -> None:
    damaged = unpack(made, tmp_path)
    wheel = next((damaged / "wheels").glob("click-*.whl"))
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    said = refusal(install(damaged, tmp_path / "t"))
    assert f"the archive is damaged (wheels/{wheel.name} )" in said
    (damaged / "bundle.env").unlink()
    assert "unpack the whole archive" in refusal(install(damaged, tmp_path / "t"))
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_is_interrupted_leaves_nothing_that_is_broken(
    unpacked: Path, tmp_path: Path, number: int
) -> None:
    target = tmp_path / "t"
    process = subprocess.Popen(
        command(unpacked, target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + patient(30)
    while not (target / "pyvenv.cfg").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "is under way" in refusal(install(unpacked, target))
    os.killpg(process.pid, number)
    process.wait(patient(30))
    assert not (target / "bin" / "pushcli").exists() or number == signal.SIGKILL
    assert target.exists() is (number == signal.SIGKILL)
    if number == signal.SIGKILL:
        (target / "bin" / "stray").write_text("half")
        done = install(unpacked, "t", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not (target / "bin" / "stray").exists()
        subprocess.run([target / "bin" / "pushcli", "--version"], check=True, capture_output=True)


def test_the_newest_python_is_taken_and_must_be_whole(made: Path, tmp_path: Path) -> None:
    top = unpack(made, tmp_path / "unpacked")
    facts, sums = top / "bundle.env", top / "SHA256SUMS"
    several = "PYTHONS='3.9 3.30 3.31 3.4'"
    facts.write_text(re.sub(r"(?m)^PYTHONS=.*$", several, facts.read_text()))
    digest = hashlib.sha256(facts.read_bytes()).hexdigest()
    sums.write_text(re.sub(r"(?m)^\w+  bundle\.env$", f"{digest}  bundle.env", sums.read_text()))
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for version in ("3.9", "3.30", "3.31"):
        text = f'case "$3" in *venv*) exit 1 ;; esac; echo cpython {version}'
        program(bin_, f"python{version}", text)
    said = refusal(install(top, tmp_path / "t", "--python=", path=bin_))
    assert "python3.31 lacks its modules venv, ssl or zlib" in said
    assert not (tmp_path / "t").exists()
