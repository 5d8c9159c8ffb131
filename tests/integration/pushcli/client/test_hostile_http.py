"""Whatever a server does, it neither holds up nor fills who asks it: operator or agent."""

import contextlib
import gzip
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import errors, keys
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.client.limits import Limits
from pushcli_agent.link.config_request import ConfigRequest
from pushcli_agent.link.fetch import fetch
from tests.support.waiting import patient

LIMITS = Limits(connect=0.5, silence=0.4, total=0.6, size=65_536)
OK = b"HTTP/1.1 200 OK\r\n"
Ask = Callable[[str], errors.PushcliError]
"""Asks the server at a URL, and gives the error that comes of it."""
Act = Callable[[socket.socket], None]
"""What the server does once a request has come."""


def as_operator(url: str, key_file: Path) -> None:
    profile = Profile(
        name="default", chef_server_url=url, client_name="ann", client_key=str(key_file)
    )
    with contextlib.closing(ApiClient(profile, limits=LIMITS)) as client:
        client.jobs()


def as_agent(url: str, key_file: Path) -> None:
    wanted = ConfigRequest(
        server_urls=(url,), node_name="web01", client_key=str(key_file), ca_file=None,
        fingerprint=None, signing_version="1.3", curve_public_key="x" * 40, adopts=(),
    )  # fmt: skip
    fetch(wanted, LIMITS)


@pytest.fixture(params=[as_operator, as_agent])
def ask(request: pytest.FixtureRequest, tmp_path: Path, key: RSAPrivateKey) -> Ask:
    """Each user of the client."""
    key_file = tmp_path / "key.pem"
    keys.write_private_key(key_file, key)

    def ask(url: str) -> errors.PushcliError:
        with pytest.raises(errors.PushcliError) as caught:
            request.param(url, key_file)
        text = str(caught.value)
        assert text.isprintable()
        assert len(text) < 1_000
        return caught.value

    return ask


@contextlib.contextmanager
def acting(act: Act, *, stays: bool = False) -> Iterator[str]:
    """A server that takes one request and then does as it likes; its URL.

    Args:
        stays: whoever connects after that is not turned away, and hears nothing.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            if not stays:
                listening.close()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                while b"\r\n\r\n" not in connection.recv(65_536):
                    pass
                act(connection)

        url = f"http://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"
        thread = threading.Thread(target=serve)
        thread.start()
        yield url
        thread.join()


def sending(*parts: bytes) -> Act:
    """All at once, then the end."""
    return lambda connection: connection.sendall(b"".join(parts))


def dripping(head: bytes, drop: bytes = b"x") -> Act:
    """A head, and then a few bytes again and again, each well before anybody loses patience."""

    def act(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return act


def pouring(head: bytes, block: bytes) -> Act:
    """A head, and then the same block as fast as it is taken."""

    def act(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in itertools.count():
            connection.sendall(block)

    return act


def silent(connection: socket.socket) -> None:
    """Until the other end has had enough."""
    while connection.recv(65_536):
        pass


HOLDING: dict[str, tuple[Act, float]] = {
    "says nothing": (silent, LIMITS.silence),
    "drips a status line": (dripping(b"HTTP/1.1 200 "), LIMITS.total),
    "drips headers": (dripping(OK, b"X: y\r\n"), LIMITS.total),
    "drips a body": (dripping(OK + b"\r\n"), LIMITS.total),
    "drips chunks": (dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
                     LIMITS.total),
    "drips a refusal": (dripping(b"HTTP/1.1 500 no\r\n\r\n"), LIMITS.total),
    "always says to go on": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), LIMITS.total),
}  # fmt: skip


@pytest.mark.parametrize("way", HOLDING)
def test_no_server_holds_a_client_up(ask: Ask, way: str) -> None:
    act, bound = HOLDING[way]
    with acting(act) as url:
        began = time.monotonic()
        error = ask(url)
        took = time.monotonic() - began
    assert isinstance(error, errors.ConnectionLost)
    assert f"no answer within {bound:g} s" in error.message
    assert bound <= took < bound + 5


BLOCK = b"x" * 65_536
BOMB = gzip.compress(bytes(30_000_000))
PACKED = OK + b"Content-Encoding: gzip\r\n"
FILLING: dict[str, Act] = {
    "an endless body": pouring(OK + b"\r\n", BLOCK),
    "an endless refusal": pouring(b"HTTP/1.1 400 no\r\n\r\n", BLOCK),
    "endless chunks": pouring(OK + b"Transfer-Encoding: chunked\r\n\r\n",
                              b"10000\r\n" + BLOCK + b"\r\n"),
    "one enormous chunk": pouring(
        OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\n", BLOCK
    ),
    "an enormous length": pouring(OK + b"Content-Length: 9999999999999\r\n\r\n", BLOCK),
    "a bomb": sending(PACKED + b"Content-Length: %d\r\n\r\n" % len(BOMB), BOMB),
}  # fmt: skip


@pytest.mark.parametrize("way", FILLING)
def test_no_server_fills_a_client(ask: Ask, way: str) -> None:
    tracemalloc.start()
    try:
        with acting(FILLING[way]) as url:
            error = ask(url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, errors.ServerError)
    assert "larger than 65536 bytes" in error.message
    assert peak < 4_000_000


def test_an_answer_may_be_packed(ask: Ask) -> None:
    body = gzip.compress(b'{"error": ["read"]}')
    head = b"HTTP/1.1 400 no\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    with acting(sending(head % len(body), body)) as url:
        assert "read" in ask(url).message


BROKEN: dict[str, tuple[Act, str]] = {
    "hangs up": (sending(), "remote end closed connection"),
    "speaks no HTTP": (sending(b"220 smtp ready\r\n"), "220 smtp ready"),
    "steers the terminal": (sending(b"\x1b[2J\r\n"), "\\x1b[2j"),
    "endless headers": (pouring(OK, b"X: y\r\n"), "more than 100 headers"),
    "an endless header": (pouring(OK, BLOCK), "65536 bytes"),
    "half a body": (sending(OK + b"Content-Length: 9\r\n\r\n{}"), "incompleteread"),
    "half a chunk": (sending(OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}"), "incompleteread"),
    "half a packed body": (sending(PACKED + b"\r\n", gzip.compress(BLOCK)[:40]), "incompleteread"),
    "not packed": (sending(PACKED + b"\r\n{}"), "decompress"),
    "a chunk of no size": (sending(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
                           "incompleteread"),
}  # fmt: skip


@pytest.mark.parametrize("way", BROKEN)
def test_half_an_answer_is_none(ask: Ask, way: str) -> None:
    act, words = BROKEN[way]
    with acting(act) as url:
        error = ask(url)
    assert isinstance(error, errors.ConnectionLost)
    assert f"cannot reach {url}: the connection broke: " in error.message
    assert words in error.message


def test_looking_whether_tls_would_have_worked_holds_nobody_up(ask: Ask) -> None:
    with acting(sending(), stays=True) as url:
        began = time.monotonic()
        assert "the connection broke" in ask(url).message
        assert time.monotonic() - began < patient(3)


def test_a_redirect_is_not_followed(ask: Ask) -> None:
    answer = b"HTTP/1.1 302 there\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with acting(sending(answer)) as url:
        error = ask(url)
    assert isinstance(error, errors.ServerError)
    assert str(error) == "the server answered with a redirect (302): give its final URL"


def test_a_connection_that_was_closed_meanwhile_is_opened_again(
    tmp_path: Path, key: RSAPrivateKey
) -> None:
    key_file = tmp_path / "key.pem"
    keys.write_private_key(key_file, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(OK + b"Content-Length: 2\r\n\r\n[]")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"
        profile = Profile(
            name="default", chef_server_url=url, client_name="ann", client_key=str(key_file)
        )
        with contextlib.closing(ApiClient(profile)) as client:
            assert client.jobs() == []
            time.sleep(0.1)
            assert client.jobs() == []
        thread.join()
