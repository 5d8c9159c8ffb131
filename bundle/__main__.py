"""`make bundle`: pushcli's wheel and what it needs, at the lock's versions, into one archive."""

import argparse
import importlib.metadata
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from bundle.archive import make
from bundle.closure import closure, locked

TOP = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
NEWEST_GLIBC = 28
"""Wheels that need a newer C library than 2.28 (Debian 10, RHEL 8) are not taken."""
_OLDEST_GLIBC = 5


def main() -> int:
    """Make it; its name is printed."""
    parser = argparse.ArgumentParser(prog="python -m bundle", description=__doc__)
    parser.add_argument("--out", type=Path, default=TOP / "dist", help="directory of the archive")
    parser.add_argument("--python", action="append", help="a version of CPython, such as 3.12")
    options = parser.parse_args()
    pythons = tuple(options.python or PYTHONS)
    options.out.mkdir(parents=True, exist_ok=True)
    machine = platform.machine()
    with tempfile.TemporaryDirectory(prefix="pushcli-bundle-") as place:
        directory = Path(place)
        try:
            _gather(directory, pythons, machine)
            archive = make(
                directory, options.out, pythons=pythons, machine=machine, moment=_moment()
            )
        except ValueError as error:
            print(f"bundle: {error}", file=sys.stderr)
            return 1
        except subprocess.CalledProcessError as error:
            # pip has said why.
            return int(error.returncode)
    print(archive)
    return 0


def _gather(directory: Path, pythons: tuple[str, ...], machine: str) -> None:
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(TOP))
    needed = closure("pushcli", _requires, pythons) | {"pip"}
    pins = directory / "pins.txt"
    pins.write_text(locked((TOP / "requirements.lock").read_text(), needed))
    # The newest that is allowed first: it is the one that is tested most.
    platforms = [f"manylinux_2_{n}_{machine}" for n in range(NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    platforms += [f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1")]
    for python in pythons:
        _pip(
            "download", "--no-deps", "--require-hashes", "--only-binary", ":all:",
            "--implementation", "cp", "--python-version", python,
            *(f"--platform={each}" for each in platforms),
            "--dest", str(directory), "--requirement", str(pins),
        )  # fmt: skip


def _requires(name: str) -> list[str]:
    return importlib.metadata.requires(name) or []


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def _moment() -> int:
    """When the last change was made, so that one state of the sources has one archive."""
    shown = subprocess.run(
        ["git", "-C", str(TOP), "log", "-1", "--format=%ct"],  # noqa: S607 - whichever git is there
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return int(shown.stdout) if shown.returncode == 0 else 315_532_800


if __name__ == "__main__":
    sys.exit(main())
