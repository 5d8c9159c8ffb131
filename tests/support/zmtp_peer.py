"""ZMTP as peers speak it, byte by byte: what libzmq sends, and what nobody should."""

import contextlib
import socket

from tests.support.waiting import patient

GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0" + b"NULL".ljust(20, b"\0") + bytes(32)
"""Of libzmq 4.0 to 4.3.2; later ones have a 1 in place of the last 0 before NULL."""
READY_SUB = b"\4\x19\5READY\x0bSocket-Type\0\0\0\3SUB"
SUBSCRIBE_ALL = b"\0\1\1"
SUBSCRIBER = GREETING + READY_SUB + SUBSCRIBE_ALL
OURS = 64 + 27
"""Bytes of the publisher's own handshake."""


def short(flags: int, body: bytes) -> bytes:
    """A frame with one byte of size."""
    return bytes([flags, len(body)]) + body


def long(flags: int, body: bytes) -> bytes:
    """A frame with eight bytes of size."""
    return bytes([flags | 2]) + len(body).to_bytes(8, "big") + body


def ready(**properties: bytes) -> bytes:
    """A READY; underscores of names stand for hyphens."""
    body = b"\5READY"
    for name, value in properties.items():
        written = name.replace("_", "-").encode()
        body += bytes([len(written)]) + written + len(value).to_bytes(4, "big") + value
    return long(4, body) if len(body) > 255 else short(4, body)


class Subscriber:
    """A SUB socket that reads when it is told to, and no sooner.

    Args:
        receive_buffer: bytes that its kernel keeps for it.
    """

    def __init__(self, port: int, first: bytes = SUBSCRIBER, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patient(5))
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(first)

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer if the other end hangs up."""
        got = b""
        with contextlib.suppress(ConnectionError):
            while len(got) < size and (data := self.socket.recv(size - len(got))):
                got += data
        return got

    def frame(self) -> tuple[int, bytes]:
        """The next frame: flags without the one of its size, and its body."""
        flags = self.read(1)[0]
        size = int.from_bytes(self.read(8 if flags & 2 else 1), "big")
        return flags & ~2, self.read(size)

    def message(self) -> list[bytes]:
        """The next message."""
        frames = []
        while True:
            flags, body = self.frame()
            frames.append(body)
            if not flags & 1:
                return frames

    def is_hung_up(self) -> bool:
        """Whether the other end hangs up, whatever it sends before."""
        try:
            while self.socket.recv(65_536):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True
