"""The display on a pseudo-terminal, drawn by pyte: what is above it, and what is taken away."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pyte
import pytest

from pushcli.jobs.live import LiveDisplay
from pushcli.jobs.screen import Part


class Shown:
    """Both ends of a terminal."""

    def __init__(self) -> None:
        self._ours, theirs = os.openpty()
        os.set_blocking(self._ours, False)
        self.stream: TextIO = os.fdopen(theirs, "w", encoding="utf-8")
        self.screen = pyte.Screen(80, 24)
        self._pyte = pyte.ByteStream(self.screen)

    def lines(self) -> list[str]:
        with suppress(BlockingIOError):
            while True:
                self._pyte.feed(os.read(self._ours, 65_536))
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def shown() -> Iterator[Shown]:
    shown = Shown()
    yield shown
    shown.close()


@pytest.fixture
def live(shown: Shown) -> LiveDisplay:
    return LiveDisplay(shown.stream, {"TERM": "xterm"})


def test_lines_go_above_it(shown: Shown, live: LiveDisplay) -> None:
    live.draw([[Part("one")], [Part("two")]])
    live.above(lambda: shown.write("first\n"))
    live.above(lambda: shown.write("second\nthird\n"))
    assert shown.lines() == ["first", "second", "third", "one", "two"]
    assert shown.screen.cursor.y == 3
    live.clear()
    assert shown.lines() == ["first", "second", "third"]
    assert not shown.screen.cursor.hidden


def test_what_is_withdrawn_comes_back_when_it_is_restored(shown: Shown, live: LiveDisplay) -> None:
    assert not live.withdraw()
    live.draw([[Part("one")]])
    assert live.withdraw()
    assert shown.lines() == []
    assert not shown.screen.cursor.hidden
    live.restore()
    assert shown.lines() == ["one"]
    assert shown.screen.cursor.hidden


def test_what_is_withdrawn_while_somebody_writes_stays_away(
    shown: Shown, live: LiveDisplay
) -> None:
    def write() -> None:
        live.withdraw()
        shown.write("first\n")

    live.draw([[Part("one")]])
    live.above(write)
    assert shown.lines() == ["first"]


def test_a_line_waits_while_the_screen_is_somebody_elses(shown: Shown, live: LiveDisplay) -> None:
    live.draw([[Part("one")]])
    live.hold()
    written = threading.Event()

    def write() -> None:
        live.above(lambda: shown.write("first\n"))
        written.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    assert not written.wait(0.2)
    assert shown.lines() == []
    live.draw([[Part("one")]])
    thread.join(10)
    assert written.is_set()
    assert shown.lines() == ["first", "one"]


def test_whoever_waits_goes_on_when_it_is_over(shown: Shown, live: LiveDisplay) -> None:
    live.hold()
    thread = threading.Thread(
        target=live.above, args=(lambda: shown.write("first\n"),), daemon=True
    )
    thread.start()
    live.clear()
    thread.join(10)
    assert shown.lines() == ["first"]


def test_what_was_on_its_way_to_a_wider_terminal_leaves_no_line_behind(
    shown: Shown, live: LiveDisplay
) -> None:
    shown.write("first\n")
    live.draw([[Part("one" * 20)], [Part("two")]])
    # Nothing of that was read yet.
    shown.screen.resize(24, 40)
    live.draw([[Part("one")], [Part("two")]])
    assert shown.lines() == ["first", "one", "two"]
    live.clear()
    shown.write("x" * 60)
    assert shown.lines() == ["first", "x" * 40, "x" * 20]
