"""Databases, and earlier versions installed beside the present one."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.postgresql import throw_away_database

RELEASES = {"v0.1.0": "acc08a203a0fbb8612d118da964b402b777e8328"}
"""Their commits, oldest first, for clones without tags; each release adds its own."""
Install = Callable[[str], Path]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of an empty database, which is dropped afterwards."""
    with throw_away_database() as url:
        yield url


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Installs a release, without what it depends on, and says where; each once."""

    @cache
    def place_of(release: str) -> Path:
        commit = _commit_of(release)
        if commit is None:
            pytest.skip(f"{release} is not in this clone: `git fetch --tags` gets it")
        return _installed(commit, tmp_path_factory.mktemp(release))

    return place_of


@pytest.fixture(scope="session")
def previous(install: Install) -> Path:
    """The version whose files are kept (`kept.py`)."""
    return install("v0.1.0")


@pytest.fixture(scope="session")
def last_release(install: Install) -> Path:
    """The version that operators have now, while the present one is made."""
    # Of a release itself it is the one before.
    tag = _git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^")
    return install(tag or list(RELEASES)[-1])


def _commit_of(release: str) -> str | None:
    """None: it is not here. A clone may have the history and no tags."""
    for name in (f"refs/tags/{release}", RELEASES.get(release)):
        if name and _git("rev-parse", "--verify", f"{name}^{{tree}}"):
            return name
    return None


def _installed(commit: str, place: Path) -> Path:
    archive = place / "source.tar"
    _run("git", "-C", str(ROOT), "archive", f"--output={archive}", commit)
    with tarfile.open(archive) as source:
        source.extractall(place / "source", filter="data")
    wheels, program = place / "wheels", place / "program"
    offline = ("--quiet", "--no-deps", "--no-index")
    _pip("wheel", *offline, "--no-build-isolation", "-w", str(wheels), str(place / "source"))
    _pip("install", *offline, "--target", str(program), *map(str, wheels.iterdir()))
    # What runs is this one, though the present version is installed in the environment.
    found = "import pushcli, sys; sys.exit(not pushcli.__file__.startswith(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(program), "PYTHONSAFEPATH": "1"}
    _run(sys.executable, "-c", found, str(program), env=environment)
    return program


def _git(*arguments: str) -> str:
    """What it prints; nothing where this is no clone, or it fails."""
    if not (ROOT / ".git").exists():
        return ""
    command = ("git", "-C", str(ROOT), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _pip(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", *arguments)


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
