"""A way to a TCP server that can be closed, opened, and broken at a chosen moment.

It stands for a network, and a database behind it, that are there and then are not.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Watch = Callable[[bytes], bool]


class TcpWay:
    """Passes bytes from a port of its own to a server.

    Args:
        break_after: asked about all that a client sends; once it says yes these bytes are
            passed on, and the connection breaks before anything comes back.

    What comes from the ends that `swallows` names (`client`, `server`) is read and lost, as on a
    way that died without a word. The server sees new connections come from `source`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listening: socket.socket | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.break_after: Watch | None = None
        self.broken = threading.Event()
        self.swallows: frozenset[str] = frozenset()
        self.source = ""
        self.port = 0

    def open(self) -> None:
        """Let connections through."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(64)
        self.port = listening.getsockname()[1]
        self._listening = listening
        self._spawn(self._accept, listening)

    def close(self) -> None:
        """Break all connections and refuse new ones."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _break(*pair)

    def stop(self) -> None:
        """The end."""
        self.close()
        for thread in self._threads:
            thread.join()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                try:
                    server = socket.create_connection(self._target, None, (self.source, 0))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._pairs.append((client, server))
                self._spawn(self._pump, client, server, True)
                self._spawn(self._pump, server, client, False)

    def _pump(self, source: socket.socket, sink: socket.socket, of_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if ("client" if of_client else "server") in self.swallows:
                    continue
                watch = self.break_after if of_client else None
                if watch is not None and watch(data):
                    self.break_after = None
                    _reset(source)
                    sink.sendall(data)
                    # The server does it, and answers to nobody.
                    with suppress(OSError):
                        sink.settimeout(2)
                        sink.recv(1)
                    self.broken.set()
                    break
                sink.sendall(data)
        _break(source, sink)


def _reset(client: socket.socket) -> None:
    """Have the connection end at once, with nothing more read from it."""
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.shutdown(socket.SHUT_RDWR)
        client.close()


def _break(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def tcp_way(host: str, port: int) -> Iterator[TcpWay]:
    """A way that is open, on a free port."""
    way = TcpWay(host, port)
    way.open()
    try:
        yield way
    finally:
        way.stop()
