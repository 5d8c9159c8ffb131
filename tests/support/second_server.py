"""Another server for a database that a first one works with, as on a machine that stands ready."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pushcli.errors import StartError
from pushcli.exit_status import ExitStatus
from pushcli_server import settings
from tests.support.fleet import Fleet
from tests.support.waiting import until

IN_THE_WAY = "another server works with this database"


@contextmanager
def beside(first: Fleet, directory: Path, kind: type[Fleet] = Fleet) -> Iterator[Fleet]:
    """Another server with the secrets and the database of the first, on ports of its own."""
    second = kind(directory, [])
    shutil.copytree(first.server_directory, second.server_directory)
    made = settings.load(first.server_directory)
    own = settings.with_values(made, second.values(), "the test")
    database = settings.with_values(
        own, [f"database_url={made.database(first.server_directory)}"], "the test"
    )
    (second.server_directory / settings.FILE).write_text(settings.render(database))
    with _known(second, first):
        yield second


@contextmanager
def joined(first: Fleet, directory: Path, *values: str) -> Iterator[Fleet]:
    """The same, by `pushcli server join`; the first runs, and its database is PostgreSQL.

    Args:
        values: settings of the second, `NAME=VALUE`.
    """
    second = Fleet(directory, [])
    done = join(first, second.server_directory, *second.values(), *values)
    assert done.returncode == ExitStatus.OK, done.stderr
    with _known(second, first):
        yield second


def join(
    first: Fleet, directory: Path, *values: str, more: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """`pushcli server join`, signed by the superuser."""
    return first.cli(
        "server", "join", "--dir", str(directory), "-u", "pivotal",
        "-k", str(first.superuser_key), *(f"--set={value}" for value in values), *more,
    )  # fmt: skip


@contextmanager
def _known(second: Fleet, first: Fleet) -> Iterator[None]:
    """Its operator has the profile of the first one's."""
    second.credentials.parent.mkdir(parents=True, mode=0o700)
    shutil.copy2(first.credentials, second.credentials)
    second.credentials.write_text(first.credentials.read_text().replace(first.url, second.url))
    try:
        yield
    finally:
        second.stop()


def begins(server: Fleet) -> bool:
    """Whether it can be started now."""
    try:
        server.start_server()
    except StartError as error:
        if IN_THE_WAY not in str(error):
            raise
        return False
    return True


def own_end(server: Fleet) -> int:
    """The exit status of one that ends by itself."""
    pid, how = server.pid("server"), os.WEXITED | os.WNOHANG | os.WNOWAIT
    until(lambda: os.waitid(os.P_PID, pid, how), "it ends by itself")
    return server.end_server()


class StandingBy(Fleet):
    """A fleet whose server stands ready while another one works with its database."""

    def start_server(self) -> None:
        """`pushcli server start --stand-by`; returns when it works, or waits."""
        log = self.log("server")
        seen = log.stat().st_size if log.exists() else 0
        self._spawn(
            "server", ["server", "start", "--stand-by", "--dir", str(self.server_directory)]
        )
        until(lambda: b" ready" in log.read_bytes()[seen:], "it works or stands ready")
