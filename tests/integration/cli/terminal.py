"""A pseudo-terminal, drawn by pyte, in which the program runs."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect  # type: ignore[import-untyped]
import pyte

from tests.integration.cli.program import Home
from tests.support.waiting import patient

WIDTH, HEIGHT = 100, 30


class Terminal:
    """What the operator sees, drawn from everything that the program wrote."""

    def __init__(
        self, child: "pexpect.spawn[bytes]", width: int = WIDTH, height: int = HEIGHT
    ) -> None:
        self.child = child
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""

    def expect(self, text: str) -> None:
        """Draw until this text has been written."""
        self.child.expect_exact(text.encode(), timeout=patient(10))
        self._draw(self.child.before + self.child.after)

    def end(self) -> int:
        """Draw until the program's end; returns its exit status."""
        self.child.expect(pexpect.EOF, timeout=patient(10))
        self._draw(self.child.before)
        self.child.close()
        return int(self.child.exitstatus)

    def settle(self, seconds: float = 0.0) -> None:
        """Draw what is there, and what comes in so many seconds."""
        end = time.monotonic() + seconds
        while True:
            left = max(0.05, end - time.monotonic())
            if self.child.expect([rb"(?s).+", pexpect.TIMEOUT], timeout=left):
                return
            self._draw(self.child.after)

    def _draw(self, data: bytes) -> None:
        self.raw += data
        self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """The lines on the screen that are not empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]


@contextmanager
def on_terminal(
    home: Home, *arguments: str, width: int = WIDTH, height: int = HEIGHT, **env: str
) -> Iterator[Terminal]:
    """Run `pushcli ARGUMENTS` there; what still runs afterwards is ended."""
    child = pexpect.spawn(
        sys.executable, ["-m", "pushcli", *arguments], dimensions=(height, width), cwd=home.path,
        env={**home.env, "TERM": "xterm-256color", **env},
    )  # fmt: skip
    try:
        yield Terminal(child, width, height)
    finally:
        child.close(force=True)
