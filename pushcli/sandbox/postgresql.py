"""A throw-away PostgreSQL of the machine's programs, on a socket that only its owner may use."""

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pushcli.errors import StartError
from pushcli.sandbox import profile

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
"""Where systems put the programs that stand in nobody's PATH."""
_PROGRAMS = ("initdb", "postgres")
_INSTALL = (
    "install it: apt install postgresql (Debian, Ubuntu), dnf install postgresql-server (Fedora)"
)
_USER = "sandbox"
_ACCOUNT = "postgres"
"""PostgreSQL refuses to run as root; its package makes this one."""
_PORT = 5432
_LONGEST = 107
"""Bytes that the path of a Unix socket may have."""
_PATIENCE = 60.0
_TICK = 0.05
_STOP = 5.0
_TELLING = re.compile(r"\b(error|fatal|panic)\b", re.IGNORECASE)


class Postgresql:
    """One that lives in a temporary directory of its own, and forgets all if the machine dies.

    Args:
        log: what it says goes there.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._place = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its database, for whoever runs as its owner, or as root; once it was started."""
        return f"postgresql://{_USER}@/postgres?host={quote(str(self._sockets))}&port={_PORT}"

    @property
    def _sockets(self) -> Path:
        return self._place / "database"

    @property
    def _data(self) -> Path:
        return self._sockets / "data"

    def start(self) -> None:
        """Make it and start it; returns when it takes connections.

        Raises:
            StartError: PostgreSQL or its driver is not installed, or it does not start.
        """
        place = programs()
        if importlib.util.find_spec("psycopg") is None:
            raise StartError(
                "several servers need the driver for PostgreSQL, which is not installed",
                "pip install 'pushcli[postgresql]'",
            )
        owner = _owner()
        self._place = Path(tempfile.mkdtemp(prefix=profile.PREFIX))
        profile.own(self._place)
        _require_usable(self._sockets)
        # Whoever reaches the socket is let in: the directory that it is in keeps others out.
        self._sockets.mkdir(mode=0o700)
        if owner is not None:
            self._place.chmod(0o711)
            os.chown(self._sockets, owner.pw_uid, owner.pw_gid)
        command = ["-D", str(self._data), "-U", _USER, "-E", "UTF8", "--locale=C", "--auth=trust"]
        _check([str(place / "initdb"), *command, "-N"], self._sockets, owner)
        self._run(place / "postgres", owner)

    def stop(self) -> None:
        """End it, whoever is connected, and take away all that it was."""
        process, self._process = self._process, None
        try:
            if process is not None:
                _end(process)
        finally:
            if self._place != Path():
                shutil.rmtree(self._place, ignore_errors=True)

    def _run(self, program: Path, owner: pwd.struct_passwd | None) -> None:
        settings = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            # Nothing of it outlives the sandbox.
            "fsync": "off",
        }
        values = [f"--{name}={value}" for name, value in settings.items()]
        with self._log.open("ab") as log, _starting(program):
            self._process = subprocess.Popen(
                [str(program), "-D", str(self._data), *values],
                **_as(owner),
                cwd=self._sockets,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ready():
            if self._process.poll() is not None:
                raise _failed(program, self._log.read_text(errors="replace"), owner)
            if time.monotonic() > deadline:
                raise StartError(f"postgres takes no connections after {_PATIENCE:g} s")
            time.sleep(_TICK)

    def _is_ready(self) -> bool:
        """As it writes itself, in the last line of this file."""
        try:
            return (self._data / "postmaster.pid").read_text().rstrip().endswith("\nready")
        except OSError:
            return False


def programs(places: Sequence[str] = PLACES) -> Path:
    """The directory with those of PATH, or else with the newest that are installed.

    Args:
        places: patterns of directories, where none is in PATH.

    Raises:
        StartError: there are none.
    """
    found = shutil.which("initdb")
    if found and _has_all(beside := Path(found).resolve().parent):
        return beside
    directories = [place for pattern in places for place in Path("/").glob(pattern[1:])]
    if usable := [place for place in directories if _has_all(place)]:
        return max(usable, key=_version)
    raise StartError("several servers need PostgreSQL, which is not installed", _INSTALL)


def _has_all(place: Path) -> bool:
    return all((place / one).exists() for one in _PROGRAMS)


def _version(place: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", place.parent.name)]


def _require_usable(sockets: Path) -> None:
    # A comma divides several directories from each other.
    if "," in str(sockets) or len(os.fsencode(sockets / f".s.PGSQL.{_PORT}")) > _LONGEST:
        raise StartError(
            f"PostgreSQL can have no socket in {sockets}", "set TMPDIR to a shorter plain path"
        )


def _owner() -> pwd.struct_passwd | None:
    """Whose processes it is to be if not ours."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError as error:
        raise StartError(
            f"PostgreSQL does not run as root, and there is no user {_ACCOUNT}",
            "start the sandbox as another user than root",
        ) from error


def _as(owner: pwd.struct_passwd | None) -> dict[str, Any]:
    """What a process of its owner is started with."""
    if owner is None:
        return {"env": _environment(os.environ)}
    ids = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    return {"env": _environment(os.environ), **ids}


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """Little of the caller's: its owner can read it. What it says is in English."""
    return {
        **{name: env[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in env},
        "LC_ALL": "C",
    }


def _check(command: Sequence[str], directory: Path, owner: pwd.struct_passwd | None) -> None:
    """Run a program to its end; where we are interrupted, to that of its children as well."""
    with (
        _starting(Path(command[0])),
        subprocess.Popen(
            command,
            **_as(owner),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        try:
            _, said = process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    if process.returncode:
        raise _failed(Path(command[0]), said, owner)


@contextlib.contextmanager
def _starting(program: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(f"cannot start {program}: {error.strerror}", _INSTALL) from error


def _failed(program: Path, said: str, owner: pwd.struct_passwd | None) -> StartError:
    lines = [line for line in said.splitlines() if line.strip()]
    # What follows the first of these is advice, or what was undone.
    told = next(
        (line for line in lines if _TELLING.search(line)), (lines or ["it says nothing"])[-1]
    )
    is_denied = owner is not None and "permission denied" in said.lower()
    remedy = f"set TMPDIR to a directory that the user {_ACCOUNT} can enter" if is_denied else ""
    return StartError(f"{program.name} failed: {told}", remedy)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
            return
