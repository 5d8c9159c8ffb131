"""What is looked at while the fleet works: processes from outside, and what the server stores."""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from pushcli_server.settings import DATABASE
from tests.soak.trend import Sample

MIB = 2**20
_OF_AUDIT = ("audit", "ix_audit")


def descriptors(pid: int) -> int:
    """How many files, sockets and so on a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> int:
    """How many threads a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


class Stored:
    """What a server keeps, in MiB. The audit trail is not to be deleted, so it is told apart."""

    def __init__(self, server_directory: Path) -> None:
        self._file = server_directory / DATABASE
        self._blobs = server_directory / "blobs"

    def audit(self) -> float:
        """Its part of the database."""
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as connection:
            sizes = connection.execute(
                "SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE"
            ).fetchall()
        return sum(int(size) for name, size in sizes if name.startswith(_OF_AUDIT)) / MIB

    def database(self) -> float:
        """The file without the audit trail, with the space that is free in it."""
        audit = self.audit()
        return self._file.stat().st_size / MIB - audit

    def log(self) -> float:
        """What was written and is not in the file yet."""
        file = self._file.with_name(f"{DATABASE}-wal")
        return file.stat().st_size / MIB if file.exists() else 0.0

    def output(self) -> float:
        """Large output, in files."""
        return sum(_size(path) for path in self._blobs.rglob("*")) / MIB


class Sampler(threading.Thread):
    """Looks again and again, until it is ended.

    Args:
        looks: by name, what to look at.
        begin: when all times begin (monotonic).
        interval: seconds between two looks.
    """

    def __init__(
        self, looks: Mapping[str, Callable[[], float]], begin: float, interval: float
    ) -> None:
        super().__init__(name="samples", daemon=True)
        self.samples: dict[str, list[Sample]] = {name: [] for name in looks}
        self.failure = ""
        self._looks, self._begin, self._interval = looks, begin, interval
        self._ended = threading.Event()

    def run(self) -> None:
        """Look; a look that fails is the end."""
        try:
            while not self._ended.wait(self._interval):
                for name, look in self._looks.items():
                    value = look()
                    self.samples[name].append(Sample(time.monotonic() - self._begin, value))
        except (OSError, ValueError, sqlite3.Error) as error:
            self.failure = f"cannot measure any more: {error}"

    def end(self) -> None:
        """No more looks."""
        self._ended.set()
        self.join()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0
