"""Handshakes that the server's end refuses: tried at once for some times, then with patience."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import zmq

from pushcli.protocol import extensions
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.events import Connected
from pushcli_agent.link import channel as channel_module
from pushcli_agent.link.channel import AT_ONCE, Channel
from tests.support.waiting import until

_Connections = list[socket.socket]


@contextmanager
def refusing(refuse: Callable[[int], bool], port: int) -> Iterator[tuple[int, _Connections]]:
    """A port whose connections are hung up on in their handshake, or lead to another port.

    Args:
        refuse: whether to, by how many there were before.
        port: on the loopback address, the other one.
    """
    seen: _Connections = []
    with ExitStack() as closing, socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                closing.callback(connection.close)
                seen.append(connection)
                connection.recv(10)
                if refuse(len(seen) - 1):
                    connection.shutdown(socket.SHUT_RDWR)
                    continue
                # The signature was read: what follows it is for the other end.
                other = closing.enter_context(socket.create_connection(("127.0.0.1", port)))
                other.sendall(b"\xff\0\0\0\0\0\0\0\1\x7f")
                for source, target in ((connection, other), (other, connection)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(4096):
            target.sendall(data)
    except OSError:
        return


@pytest.fixture
def router() -> Iterator[tuple[int, str]]:
    """The port and the key (Z85) of a server's end."""
    public, secret = zmq.curve_keypair()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.curve_server, server.curve_secretkey, server.linger = True, secret, 0
        yield server.bind_to_random_port("tcp://127.0.0.1"), public.decode()


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    """One for which ZeroMQ itself would try again after a minute."""
    monkeypatch.setattr(channel_module, "_RECONNECT", 60_000)
    made = Channel()
    yield made
    made.close()


def config(port: int, key: str) -> ServerConfig:
    return ServerConfig(
        host="127.0.0.1",
        command_addr=f"tcp://127.0.0.1:{port}",
        heartbeat_addr="",
        interval=1.0,
        offline_threshold=3,
        online_threshold=2,
        curve_public_key=key,
        session_key=b"secret",
        modulus=b"\x01",
        exponent=3,
        lifetime=3600.0,
        max_message_skew=300.0,
        max_body_size=65536,
        incarnation_id="server-1",
        extensions=extensions.ALL,
        quiet_interval=10.0,
    )


def is_connected(channel: Channel) -> bool:
    return any(isinstance(event, Connected) for event in channel.receive())


def test_a_refused_handshake_is_tried_again_at_once(
    router: tuple[int, str], channel: Channel
) -> None:
    port, key = router
    with refusing(lambda before: before < AT_ONCE, port) as (front, seen):
        channel.open(config(front, key))
        until(lambda: is_connected(channel), "the handshake is done")
        assert len(seen) == AT_ONCE + 1


def test_and_not_for_ever(router: tuple[int, str], channel: Channel) -> None:
    port, key = router
    with refusing(lambda before: True, port) as (front, seen):
        channel.open(config(front, key))

        def tried(times: int) -> bool:
            assert not is_connected(channel)
            return len(seen) >= times

        until(lambda: tried(AT_ONCE + 1), "all that is tried at once was tried")
        # One more would come at once, too.
        over = time.monotonic() + 1.0
        while time.monotonic() < over:
            assert not tried(AT_ONCE + 2)
            time.sleep(0.01)


def test_after_a_connection_it_may_be_refused_as_often_again(
    router: tuple[int, str], channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "_RECONNECT", 1_000)
    port, key = router
    good = {AT_ONCE, 2 * AT_ONCE + 1}
    times: list[float] = []

    def refuse(before: int) -> bool:
        times.append(time.monotonic())
        return before not in good

    with refusing(refuse, port) as (front, seen):
        channel.open(config(front, key))
        until(lambda: is_connected(channel), "the handshake is done")
        seen[-1].shutdown(socket.SHUT_RDWR)
        until(lambda: is_connected(channel), "and so is another one")
    # ZeroMQ itself waits a second or more each time.
    assert times[-1] - times[AT_ONCE + 1] < AT_ONCE
