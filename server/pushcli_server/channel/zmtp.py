"""ZMTP 3 as a publisher speaks it to subscribers, with the NULL mechanism: bytes in, bytes out.

RFC 23 (ZMTP 3.0) and RFC 37 (3.1). No socket and no clock: what a peer may send is bounded here,
how long it may take is up to whoever reads for it. What it subscribes to is not kept: everybody
gets everything.
"""

import enum
from collections.abc import Sequence

GREETING_SIZE = 64
MAX_FRAME = 1024
"""Bytes of a frame of a peer: subscriptions and PING are all that it may send."""
BURST = 65_536
"""Bytes that a peer may send at once, ..."""
RATE = 1024.0
"""... and for each second that goes by."""
FRAME_COST = 64
"""Bytes that a frame counts for beside its own: a small one is as much work as a large one."""

_MORE, _LONG, _COMMAND = 1, 2, 4
_SIGNATURE, _VERSION, _MECHANISM = 10, 10, slice(12, 32)
_NULL = b"NULL".ljust(20, b"\0")
_GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\1" + _NULL + bytes(32)
_MAX_CONTEXT = 16
_TTL = 2
_SUBSCRIBERS = (b"SUB", b"XSUB")


class Violation(enum.StrEnum):
    """Why a connection is closed; there are no other reasons of the protocol."""

    NOT_ZMTP = "it does not speak ZMTP"
    VERSION = "it speaks a ZMTP older than 3.0"
    MECHANISM = "it asks for another mechanism than NULL"
    SOCKET_TYPE = "its socket is not SUB"
    HANDSHAKE = "its handshake is malformed"
    FRAME = "a frame of it is malformed"
    TOO_LARGE = "a frame of it is too large"
    TOO_MUCH = "it sends too much"


class Connection:
    """The protocol's state of one connection of a publisher.

    Args:
        now: seconds of any clock that only goes forward.
    """

    __slots__ = ("_allowance", "_greeted", "_received_at", "_rest", "closed", "ready")

    def __init__(self, now: float) -> None:
        self.ready = False
        """Whether the handshake is done: what is published may be sent."""
        self.closed: Violation | None = None
        """Why nothing more is said or heard."""
        self._greeted = False
        self._rest = b""
        self._allowance = float(BURST)
        self._received_at = now

    @property
    def kept(self) -> int:
        """Bytes kept of what the peer sent: less than one frame."""
        return len(self._rest)

    def greeting(self) -> bytes:
        """What is sent first, whatever the peer sends."""
        return _GREETING

    def receive(self, data: bytes, now: float) -> bytes:
        """Bytes of the peer came.

        Returns:
            What is to be sent. `ready` and `closed` say what became of the connection.
        """
        out = bytearray()
        if self.closed is None and self._is_allowed(len(data), now):
            data, at = self._rest + data, 0
            while self.closed is None:
                used = self._frame(data, at, out) if self._greeted else self._greet(data, out)
                if not used:
                    break
                at += used
                self._spend(FRAME_COST)
            self._rest = b"" if self.closed else data[at:]
        return bytes(out)

    def _is_allowed(self, size: int, now: float) -> bool:
        self._allowance += (now - self._received_at) * RATE
        self._allowance = min(self._allowance, BURST)
        self._received_at = now
        self._spend(size)
        return self.closed is None

    def _spend(self, size: int) -> None:
        self._allowance -= size
        if self._allowance < 0 and self.closed is None:
            self.closed, self._rest = Violation.TOO_MUCH, b""

    def _greet(self, data: bytes, out: bytearray) -> int:
        """How many bytes the greeting takes; 0 while it is not whole."""
        # In the order of the bytes, and each as soon as it is there: whoever speaks something
        # else may wait for an answer before it sends 64.
        if data[:1] != b"\xff"[: len(data)] or data[9:10] != b"\x7f"[: len(data[9:10])]:
            self.closed = Violation.NOT_ZMTP
        elif len(data) > _VERSION and data[_VERSION] < 3:
            self.closed = Violation.VERSION
        elif len(data) >= _MECHANISM.stop and data[_MECHANISM] != _NULL:
            self.closed = Violation.MECHANISM
        if self.closed or len(data) < GREETING_SIZE:
            return 0
        self._greeted = True
        out += command(b"READY", _property(b"Socket-Type", b"PUB"))
        return GREETING_SIZE

    def _frame(self, data: bytes, at: int, out: bytearray) -> int:
        """How many bytes the frame takes that begins there; 0 while it is not whole."""
        if at >= len(data):
            return 0
        flags = data[at]
        if flags > 7 or (flags & _COMMAND and flags & _MORE):
            self.closed = Violation.FRAME
            return 0
        head = 9 if flags & _LONG else 2
        if at + head > len(data):
            return 0
        size = int.from_bytes(data[at + 1 : at + head], "big")
        if size > MAX_FRAME:
            self.closed = Violation.TOO_LARGE
            return 0
        end = at + head + size
        if not self.ready and not flags & _COMMAND:
            self.closed = Violation.HANDSHAKE
            return 0
        if end > len(data):
            return 0
        if flags & _COMMAND:
            self._command(data[at + head : end], out)
        return end - at

    def _command(self, body: bytes, out: bytearray) -> None:
        size = body[0] if body else 0
        name, rest = body[1 : 1 + size], body[1 + size :]
        if not name or len(name) < size:
            self.closed = Violation.FRAME if self.ready else Violation.HANDSHAKE
        elif not self.ready:
            self._handshake(name, rest)
        elif name == b"PING":
            if len(rest) < _TTL:
                self.closed = Violation.FRAME
            else:
                out += command(b"PONG", rest[_TTL : _TTL + _MAX_CONTEXT])
        # SUBSCRIBE and CANCEL are messages in 3.0 and commands in 3.1: neither is kept.

    def _handshake(self, name: bytes, rest: bytes) -> None:
        properties = _properties(rest) if name == b"READY" else None
        if properties is None:
            self.closed = Violation.HANDSHAKE
        elif properties.get(b"socket-type") not in _SUBSCRIBERS:
            self.closed = Violation.SOCKET_TYPE
        else:
            self.ready = True


def message(frames: Sequence[bytes]) -> bytes:
    """A message of these frames, as it is sent."""
    last = len(frames) - 1
    return b"".join(_frame(_MORE if i < last else 0, body) for i, body in enumerate(frames))


def command(name: bytes, rest: bytes = b"") -> bytes:
    """A command, as it is sent."""
    return _frame(_COMMAND, bytes([len(name)]) + name + rest)


def _frame(flags: int, body: bytes) -> bytes:
    if len(body) > 255:
        return bytes([flags | _LONG]) + len(body).to_bytes(8, "big") + body
    return bytes([flags, len(body)]) + body


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value


def _properties(data: bytes) -> dict[bytes, bytes] | None:
    """The properties of a READY by name, in lower case; None if they are malformed."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        value_at = at + 1 + data[at] + 4
        name = data[at + 1 : value_at - 4]
        end = value_at + int.from_bytes(data[value_at - 4 : value_at], "big")
        if not name or value_at > len(data) or end > len(data):
            return None
        found[name.lower()] = data[value_at:end]
        at = end
    return found
