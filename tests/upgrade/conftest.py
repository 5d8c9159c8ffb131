"""Databases, and the previous version installed beside the present one."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgresql import throw_away_database

TAG = "v0.1.0"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of an empty database, which is dropped afterwards."""
    with throw_away_database() as url:
        yield url


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the version of the tag is installed, without what it depends on."""
    tree = ("git", "-C", str(ROOT), "rev-parse", "--verify", f"refs/tags/{TAG}^{{tree}}")
    has_tag = (ROOT / ".git").exists() and not subprocess.run(
        tree, capture_output=True, check=False
    ).returncode
    if not has_tag:
        pytest.skip(f"this is no clone with the tag {TAG}: `git fetch --tags` gets it")
    place = tmp_path_factory.mktemp("previous")
    archive = place / "source.tar"
    _run("git", "-C", str(ROOT), "archive", f"--output={archive}", TAG)
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


def _pip(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", *arguments)


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
