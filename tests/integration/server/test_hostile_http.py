"""What strangers send over HTTP fills neither memory nor descriptors nor the log."""

import contextlib
import http.client
import resource
import select
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import ADMIN, Sandbox
from pushcli_server.descriptors import MAX_REST
from pushcli_server.rest.connections import MAX_UNPROVEN_BYTES, STAY
from tests.support.fleet import Fleet
from tests.support.memory import rss_mib
from tests.support.raw_http import Raw
from tests.support.waiting import patient, until

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
PATH = "/organizations/sandbox/pushy/jobs"
STATUS = b"GET /pushy/_status HTTP/1.1\r\nHost: x\r\n\r\n"
WRONG_KEY = keys.generate()
MAX_GROWTH = 60.0
"""MiB, of what used to be hundreds or thousands."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Fleet(tmp_path_factory.mktemp("fleet"), []) as fleet:
        Raw(fleet)()
        yield fleet


@contextmanager
def little_grows(fleet: Sandbox) -> Iterator[None]:
    """The server's memory; afterwards it still answers."""
    before = rss_mib(fleet.pid("server"))
    yield
    growth = rss_mib(fleet.pid("server")) - before
    assert growth < MAX_GROWTH
    assert Raw(fleet)().status == 200


def connect(fleet: Sandbox) -> socket.socket:
    return socket.create_connection(("127.0.0.1", fleet.ports[0]), timeout=patient(10))


def send_all_that_is_taken(connection: socket.socket, data: bytes, most: int) -> int:
    """Bytes that were taken, until the other end stops taking them or ends the connection."""
    sent = 0
    connection.settimeout(2)
    with contextlib.suppress(OSError):
        while sent < most:
            sent += connection.send(data)
    return sent


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
ENDLESS = {
    "headers": (b"GET / HTTP/1.1\r\n", b"a:\r\n" * 10_000),
    "a header": (b"GET / HTTP/1.1\r\nX: ", b"a" * 60_000),
    "a path": (b"GET /", b"a" * 60_000),
    "trailers": (HEAD + b"5\r\nhello\r\n0\r\n", b"a: b\r\n" * 10_000),
    "a trailer": (HEAD + b"0\r\nX: ", b"a" * 60_000),
    "an extension": (HEAD + b"5;", b"a" * 60_000),
    "trailers of an answered request": (
        HEAD.replace(PATH.encode(), b"/pushy/_status") + b"0\r\n", b"a: b\r\n" * 10_000
    ),
    "empty lines": (b"", b"\r\n" * 30_000),
}  # fmt: skip


@pytest.mark.parametrize("what", ENDLESS)
def test_nothing_that_a_stranger_sends_may_be_endless(fleet: Sandbox, what: str) -> None:
    beginning, more = ENDLESS[what]
    # Empty lines are not kept, but counted: with what all strangers send together.
    most = 2 * MAX_UNPROVEN_BYTES if what == "empty lines" else 10_000_000
    with little_grows(fleet), connect(fleet) as connection:
        connection.sendall(beginning)
        # The kernel takes some megabytes.
        assert send_all_that_is_taken(connection, more, most) < most


def test_many_small_headers_are_refused_and_not_kept(fleet: Sandbox) -> None:
    with little_grows(fleet), ExitStack() as stack:
        for _ in range(60):
            connection = stack.enter_context(connect(fleet))
            connection.settimeout(patient(5))
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 78_000)
            with contextlib.suppress(ConnectionError):
                assert b" 431 " in connection.recv(100)


def test_requests_whose_answers_nobody_reads_are_not_worked_on(fleet: Sandbox) -> None:
    with little_grows(fleet), ExitStack() as stack:
        for _ in range(60):
            connection = stack.enter_context(connect(fleet))
            send_all_that_is_taken(connection, STATUS * 5_000, len(STATUS) * 5_000)
        assert Raw(fleet)().status == 200


def test_one_request_may_wait_behind_another_and_no_more(fleet: Sandbox) -> None:
    with connect(fleet) as connection:
        connection.sendall(STATUS * 5)
        text = b""
        while more := connection.recv(65_536):
            text += more
    first, second, *others = text.split(b"HTTP/1.1 200")[1:]
    assert (b"connection: close" in first.lower(), others) == (False, [])
    assert b"connection: close" in second.lower()


def looks_signed(port: int) -> bytes:
    """The head of a request whose signature is one, but not by a key that counts."""
    headers = signing.sign(
        WRONG_KEY, method="POST", path=PATH, body=b"x" * 999_999, user=ADMIN,
        timestamp=format_iso8601(time.time()),
    )  # fmt: skip
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = f"POST {PATH} HTTP/1.1\r\nHost: x:{port}\r\nContent-Length: 999999\r\n"
    return "".join([head, *lines, "\r\n"]).encode()


def test_bodies_of_requests_that_only_look_signed_are_not_kept(fleet: Sandbox) -> None:
    with little_grows(fleet), ExitStack() as stack:
        connections = [stack.enter_context(connect(fleet)) for _ in range(300)]
        for connection in connections:
            connection.sendall(looks_signed(fleet.ports[0]))
            # All but the last byte of what was promised, as far as it is taken.
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.send(b"x" * 999_998)
        for connection in connections:
            connection.settimeout(patient(10))
            with contextlib.suppress(ConnectionError):
                assert b" 401 " in connection.recv(100)


def test_bodies_that_anybody_may_send_are_small(fleet: Sandbox) -> None:
    head = (
        b"POST /organizations/sandbox/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
    )
    with little_grows(fleet), ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(connect(fleet)).sendall(head + b"x" * 19_999)


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0", "anything"])
def test_nothing_is_upgraded_to(fleet: Sandbox, upgrade: str) -> None:
    text = (
        STATUS.removesuffix(b"\r\n") + f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n".encode()
    )
    with connect(fleet) as connection:
        connection.sendall(text + b"\x81\x05hello" * 1000)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := connection.recv(65_536):
                answer += more
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer.lower()


class Narrow(Fleet):
    """A server that may have few descriptors."""

    def command(self, *arguments: str) -> list[str]:
        """With the shell's limit, where it is the server's."""
        command = super().command(*arguments)
        if arguments[:2] != ("server", "start"):
            return command
        return ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', *command]


def status_within(fleet: Sandbox, seconds: float) -> int:
    """Of a request that may have to try again: others may hold all connections."""

    def ask() -> int | None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return Raw(fleet)().status
        return None

    return until(ask, "an answer", seconds)


def test_idle_connections_beyond_the_descriptors_make_room_in_silence(tmp_path: Path) -> None:
    with Narrow(tmp_path, []) as fleet, ExitStack() as stack:
        begun = fleet.log("server").stat().st_size
        idle = [stack.enter_context(connect(fleet)) for _ in range(100)]
        assert status_within(fleet, 15) == 200
        time.sleep(3)
        assert status_within(fleet, 15) == 200
        assert len(idle) == 100
        said = fleet.log("server").read_text()[begun:]
        assert "Traceback" not in said
        assert 1 <= len(said.splitlines()) <= 2, said
        assert fleet.end_server() == 0


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_each_of_more_connections_than_there_may_be_is_answered(
    tmp_path: Path, *, with_tls: bool
) -> None:
    def ask(number: int) -> tuple[int, str | None]:
        """As others do who come at once; half of them are slow to ask."""
        connection = (
            http.client.HTTPSConnection(at[0], at[1], timeout=patient(30), context=trusting)
            if with_tls
            else http.client.HTTPConnection(at[0], at[1], timeout=patient(30))
        )
        with contextlib.closing(connection):
            connection.connect()
            if number % 2:
                # Until the server says something, or for longer than a stranger may stay.
                select.select([connection.sock], [], [], 2 * STAY)
            connection.request("GET", "/pushy/_status", headers={"Connection": "close"})
            response = connection.getresponse()
            response.read()
            return response.status, response.headers.get("Retry-After")

    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with Narrow(tmp_path, [], with_tls=with_tls) as fleet, ThreadPoolExecutor(60) as threads:
        at = ("127.0.0.1", fleet.ports[0])
        said = set(threads.map(ask, range(60)))
    assert (200, None) in said
    assert said <= {(200, None), (503, "5")}


def test_descriptors_that_others_used_up_are_waited_for(fleet: Sandbox) -> None:
    pid = fleet.pid("server")
    begun = fleet.log("server").stat().st_size
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        # Less than it has: what it has stays open, and nothing comes to it.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        for _ in range(100):
            stack.enter_context(connect(fleet))
        time.sleep(3)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert status_within(fleet, 15) == 200
    said = fleet.log("server").read_text()[begun:]
    assert "Traceback" not in said
    assert said.count("REST: Too many open files; new connections wait") == 1
    # Others tell of it too, each once.
    assert len(said.splitlines()) <= 3, said


@pytest.mark.parametrize(
    "beginning", [b"", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_tls_handshakes_that_do_not_finish_make_room(tmp_path: Path, beginning: bytes) -> None:
    with Fleet(tmp_path, [], with_tls=True) as fleet, ExitStack() as stack:
        assert fleet.api.node_states() == []
        before = rss_mib(fleet.pid("server"))
        # More than there may be.
        for _ in range(MAX_REST + 200):
            connection = stack.enter_context(connect(fleet))
            with contextlib.suppress(ConnectionError):
                connection.sendall(beginning)
        assert until(lambda: fleet.api.node_states() == [] or None, "an answer")
        assert rss_mib(fleet.pid("server")) - before < 100
