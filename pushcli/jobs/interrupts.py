"""Ctrl-C while a job is watched: what becomes of the job is asked, never assumed.

The first asks (the default: abort), the second aborts, the third leaves at once. Off a terminal,
and for SIGTERM, the job goes on, and how to end it and to watch it again is said.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType

import click

from pushcli.terminal.asking import answer
from pushcli.terminal.context import App


class OnInterrupt(StrEnum):
    """What `--on-interrupt` takes."""

    ASK = "ask"
    ABORT = "abort"
    DETACH = "detach"


class Decision(StrEnum):
    """What becomes of the job."""

    ABORT = "abort"
    DETACH = "detach"
    CONTINUE = "continue"


QUESTION = "   [a]bort it, [d]etach and let it go on, [c]ontinue watching?  "
_WITHOUT_ABORT = (
    "   Aborting is not offered here: [d]etach and let it go on, [c]ontinue watching?  "
)


class Terminated(KeyboardInterrupt):
    """SIGTERM: nobody is there to be asked."""


@contextmanager
def as_interrupts() -> Iterator[None]:
    """SIGTERM leaves as Ctrl-C does, so that the terminal and the operator get their due."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def before_start(app: App) -> Iterator[None]:
    """Whoever is interrupted before a job is asked for is told that none was.

    What asks for it says itself how far it came.
    """
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        app.note("INTERRUPTED: nothing was started")
        raise


def understood(answer: str, default: Decision) -> Decision | None:
    """What a line says; None: nothing that we know. Nothing at all is the default."""
    word = answer.strip().lower()
    if not word:
        return default
    return next((d for d in Decision if d.value.startswith(word)), None)


def decide(
    app: App, policy: OnInterrupt, interrupt: KeyboardInterrupt, question: str,
    is_moot: Callable[[], bool], default: Decision = Decision.ABORT, *, can_abort: bool = True,
) -> Decision:  # fmt: skip
    """What becomes of the job that an interrupt came under.

    Args:
        default: the answer of who only presses Enter, or Ctrl-C again.
        question: names who still runs what.
        is_moot: whether the job is over meanwhile; called while the answer is waited for.
        can_abort: whether the server can end jobs; where it cannot, who is asked detaches instead.
    """
    if isinstance(interrupt, Terminated):
        return Decision.DETACH
    match policy:
        case OnInterrupt.ABORT:
            return Decision.ABORT
        case OnInterrupt.ASK if app.can_ask and app.stderr.isatty():
            return _asked(app, question, is_moot, default, can_abort=can_abort)
        case _:
            return Decision.DETACH


def _asked(
    app: App, question: str, is_moot: Callable[[], bool], default: Decision, *, can_abort: bool
) -> Decision:
    app.note(question)
    choices = QUESTION if can_abort else _WITHOUT_ABORT
    if not can_abort and default is Decision.ABORT:
        default = Decision.DETACH
    try:
        while True:
            line = answer(app, f"{choices}[{default.value[0]}] ", is_moot)
            if line is None:
                return Decision.CONTINUE
            decision = understood(line, default)
            if decision is not None and (can_abort or decision is not Decision.ABORT):
                return decision
    except (Terminated, click.Abort):
        return Decision.DETACH
    except KeyboardInterrupt:
        app.note("")
        return default
