"""Accepting connections so that want of descriptors, or too many at once, ends nothing.

Whoever cannot be taken waits in the kernel's backlog; the log says so, and why, at most once a
minute. asyncio's own way to accept logs a traceback for each connection that finds no descriptor,
many thousands in a second, and knows no limit.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)
_AT_ONCE = 100
"""Connections that one turn of the event loop accepts."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_QUIET = 60.0
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NOTHING = (BlockingIOError, InterruptedError, ConnectionAbortedError)

Accept = Callable[[], tuple[socket.socket, tuple[str, int]]]


class Acceptor:
    """Accepts on a listening socket of the running event loop.

    Args:
        listener: it listens already.
        name: what the log calls it.
        admit: takes an accepted connection, which does not block, and the peer's address.
        has_room: whether another one may be taken; if not, call `resume` when one may.
        full_pause: seconds after which to look for room again, without a call of `resume`.
        spare: called when there is no descriptor left; may end a connection.
        accept: in place of the listener's.
        has_time: whether this turn of the event loop may take another one; the rest waits for
            the next turn.
    """

    def __init__(
        self,
        listener: socket.socket,
        name: str,
        admit: Callable[[socket.socket, str], None],
        has_room: Callable[[], bool],
        accept: Accept | None = None,
        has_time: Callable[[], bool] = lambda: True,
        full_pause: float | None = None,
        spare: Callable[[], object] = lambda: None,
    ) -> None:
        self._listener = listener
        self._name = name
        self._admit = admit
        self._has_room = has_room
        self._has_time = has_time
        self._full_pause = full_pause
        self._spare = spare
        self._accept: Accept = accept or listener.accept
        self._loop = asyncio.get_running_loop()
        self._pause = _FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._reading = self._closed = False
        self._told_at: dict[str, float] = {}
        listener.setblocking(False)

    def resume(self) -> None:
        """Accept from now on, as long as there is room."""
        if not self._reading and not self._closed and self._timer is None:
            self._reading = True
            self._loop.add_reader(self._listener.fileno(), self._read)

    def close(self) -> None:
        """Accept nothing any more, and stop listening."""
        self._stop()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._listener.close()

    def _stop(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._listener.fileno())

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._has_time():
                return
            if not self._has_room():
                self._stop()
                self._report("as many connections as it may have")
                if self._full_pause is not None:
                    self._retry_after(self._full_pause)
                return
            try:
                connection, address = self._accept()
            except _NOTHING:
                return
            except OSError as error:
                # Of one connection that went wrong; the next may be good.
                if error.errno in _EXHAUSTED:
                    self._back_off(error)
                    return
                continue
            self._pause = _FIRST_PAUSE
            connection.setblocking(False)
            self._admit(connection, address[0])

    def _back_off(self, error: OSError) -> None:
        self._stop()
        self._report(error.strerror or "out of descriptors")
        self._spare()
        self._retry_after(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _retry_after(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._retry)

    def _retry(self) -> None:
        self._timer = None
        self.resume()

    def _report(self, reason: str) -> None:
        # One of few: an error of the system, or the limit. One does not hide another.
        now = time.monotonic()
        if now - self._told_at.get(reason, float("-inf")) >= _QUIET:
            self._told_at[reason] = now
            _log.warning("%s: %s; new connections wait", self._name, reason)
