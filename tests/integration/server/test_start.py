"""`pushcli server start`: ready, stopped, and every way in which it cannot start."""

import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import free_ports
from tests.integration.server.commands import environment, one_line, pushcli
from tests.support.service_manager import service_manager
from tests.support.waiting import patient, until

pytestmark = pytest.mark.slow

PORTS = ("api_port", "command_port", "server_heartbeat_port")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server that is copied for each test."""
    place = tmp_path_factory.mktemp("template") / "server"
    done = pushcli(
        place.parent,
        ["server", "init", "--dir", place, "--org", "acme", "--admin", "ann",
         "--set=zeromq_listen_address=tcp://127.0.0.1"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    """A server's directory, on ports of its own."""
    copy = tmp_path / "server"
    shutil.copytree(template, copy)
    ports = zip(PORTS, free_ports(3), strict=True)
    append(copy, *(f"{name} = {port}" for name, port in ports))
    return copy


def append(place: Path, *lines: str) -> None:
    with (place / "server.toml").open("a") as file:
        file.write("\n".join(["", *lines, ""]))


def port_of(place: Path, name: str) -> int:
    text = (place / "server.toml").read_text()
    return int(text.rpartition(f"\n{name} = ")[2].partition("\n")[0])


def refused(place: Path, status: ExitStatus) -> str:
    """What a start that fails says."""
    done = pushcli(place.parent, ["server", "start", "--dir", place])
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    return one_line(done.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_when_ready_and_a_clean_end(place: Path, number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pushcli", "server", "start", "--dir", str(place)],
        env=environment(place.parent), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        api, commands, heartbeats = (port_of(place, name) for name in PORTS)
        assert re.fullmatch(
            f"pushcli server: ready, REST on http://127.0.0.1:{api}, "
            f"commands on port {commands}, heartbeats on port {heartbeats}; "
            r"[0-9,]+ descriptors are enough for [0-9,]+ nodes, "
            r"or [0-9,]+ with agents of Chef Push Jobs\n",
            process.stderr.readline(),
        )
        # A client that keeps its connection open does not hold the end up.
        with socket.create_connection(("127.0.0.1", api), timeout=patient(5)):
            process.send_signal(number)
            assert process.wait(patient(10)) == 0
        assert (process.stdout and process.stdout.read(), process.stderr.read()) == ("", "")


def test_it_takes_the_descriptors_that_it_may_have_and_says_once_what_is_beyond_them(
    place: Path,
) -> None:
    limited = ["sh", "-c", 'ulimit -Sn 100; ulimit -Hn 256; exec "$0" "$@"']
    append(place, 'log_file = "log"')
    with (
        subprocess.Popen(
            [*limited, sys.executable, "-m", "pushcli", "server", "start", "--dir", str(place)],
            env=environment(place.parent), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        ) as process,
        ExitStack() as stack,
    ):  # fmt: skip
        assert process.stderr is not None
        ready = process.stderr.readline()
        room = "121 nodes, or 60 with agents of Chef Push Jobs"
        assert ready.endswith(f"; 256 descriptors are enough for {room}\n")
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (256, 256)
        for _ in range(100):
            address = ("127.0.0.1", port_of(place, "command_port"))
            stack.enter_context(socket.create_connection(address, timeout=patient(5)))
        log = place / "log"
        until(lambda: log.exists() and "too many" in log.read_text(), "it says so")
        process.send_signal(signal.SIGTERM)
        assert process.wait(patient(10)) == 0
        assert log.read_text().count("connections are too many so far, the last from") == 1


def test_the_service_manager_is_told_and_the_watchdog_fed(place: Path) -> None:
    with (
        service_manager(place.parent, watchdog=0.6) as manager,
        subprocess.Popen(
            [sys.executable, "-m", "pushcli", "server", "start", "--dir", str(place)],
            env=environment(place.parent, **manager.environment), stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        ready, status = manager.hear()
        assert ready == "READY=1"
        assert status.startswith("STATUS=ready, REST on http://127.0.0.1:")
        assert {manager.hear()[0] for _ in range(3)} == {"WATCHDOG=1"}
        process.send_signal(signal.SIGTERM)
        assert {*manager.hear_until("STOPPING=1")} <= {"WATCHDOG=1", "STOPPING=1"}
        assert process.wait(patient(10)) == 0


@pytest.mark.parametrize("name", PORTS)
def test_a_port_that_is_taken(place: Path, name: str) -> None:
    port = port_of(place, name)
    with socket.create_server(("127.0.0.1", port)):
        told = refused(place, ExitStatus.ERROR)
    assert str(port) in told
    assert "Address already in use" in told
    assert f"change {name} in server.toml" in told


def test_the_command_port_of_another_server_is_not_shared(place: Path, template: Path) -> None:
    """Although a server itself listens there several times while its keys are replaced."""
    other = place.parent / "other"
    shutil.copytree(template, other)
    api, heartbeats = free_ports(2)
    port = port_of(place, "command_port")
    append(
        other,
        f"api_port = {api}",
        f"server_heartbeat_port = {heartbeats}",
        f"command_port = {port}",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "pushcli", "server", "start", "--dir", str(place)],
        env=environment(place.parent), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stderr is not None
        assert "ready" in running.stderr.readline()
        told = refused(other, ExitStatus.ERROR)
        assert f"port {port}: Address already in use" in told
        assert "change command_port in server.toml" in told
        running.send_signal(signal.SIGTERM)


def test_no_such_directory(tmp_path: Path) -> None:
    told = refused(tmp_path / "none", ExitStatus.CONFIG)
    assert f"no server at {tmp_path / 'none'}: run `pushcli server init" in told


def unknown_key(place: Path) -> None:
    append(place, "api_prot = 1")


def no_toml(place: Path) -> None:
    append(place, "api_port =")


def no_database(place: Path) -> None:
    for file in place.glob("pushcli.db*"):
        file.unlink()


def no_database_at_all(place: Path) -> None:
    no_database(place)
    (place / "pushcli.db").write_bytes(b"no database at all" * 1000)


def newer_database(place: Path) -> None:
    with sqlite3.connect(place / "pushcli.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def older_database(place: Path) -> None:
    with sqlite3.connect(place / "pushcli.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()


def no_postgresql(place: Path) -> None:
    append(place, 'database_url = "postgresql://user:hunter2@127.0.0.1:1/none"')


def readable_secret(place: Path) -> None:
    (place / "secrets" / "session.key").chmod(0o644)


def short_secret(place: Path) -> None:
    (place / "secrets" / "session.key").write_bytes(b"short")


def no_curve_key(place: Path) -> None:
    (place / "secrets" / "curve.key").write_bytes(b"~" * 40)


def no_rsa_key(place: Path) -> None:
    (place / "secrets" / "rsa.pem").unlink()


def no_certificate(place: Path) -> None:
    append(place, 'tls_cert = "none.pem"', 'tls_key = "none.key"')


def bad_certificate(place: Path) -> None:
    (place / "bad.pem").write_text("bad")
    append(place, 'tls_cert = "bad.pem"', 'tls_key = "secrets/rsa.pem"')


@pytest.mark.parametrize(
    ("spoil", "status", "told"),
    [
        (unknown_key, ExitStatus.CONFIG, "did you mean 'api_port'?"),
        (no_toml, ExitStatus.CONFIG, "is not valid TOML"),
        (no_database, ExitStatus.ERROR, "no database at"),
        (no_database_at_all, ExitStatus.ERROR, "file is not a database"),
        (newer_database, ExitStatus.ERROR, "is of a newer version"),
        (older_database, ExitStatus.ERROR, "is of an older version"),
        (no_postgresql, ExitStatus.ERROR, "cannot use the database"),
        (readable_secret, ExitStatus.CONFIG, "chmod 600"),
        (short_secret, ExitStatus.CONFIG, "session.key is damaged"),
        (no_curve_key, ExitStatus.CONFIG, "curve.key is damaged"),
        (no_rsa_key, ExitStatus.CONFIG, "rsa.pem: No such file"),
        (no_certificate, ExitStatus.CONFIG, "none.pem: check tls_cert"),
        (bad_certificate, ExitStatus.CONFIG, "do not hold a certificate and its key"),
    ],
)
def test_what_keeps_a_server_from_starting_is_one_line(
    place: Path, spoil: Callable[[Path], None], status: ExitStatus, told: str
) -> None:
    spoil(place)
    said = refused(place, status)
    assert told in said
    assert "hunter2" not in said
