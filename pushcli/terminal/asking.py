"""Asking a person, on the terminal that he types on."""

import os
import select
from collections.abc import Callable

import click

from pushcli.errors import UsageError
from pushcli.escape import escape_line
from pushcli.terminal.context import App

_LOOK = 0.05
"""Seconds between two looks at whether the question is still one."""


def agrees(app: App, question: str) -> bool:
    """Whether the person says yes; -y says it ahead, and no is the default.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    if app.options.yes:
        return True
    if choice(app, f"{escape_line(question)} [y/N]: ", {"y": "yes", "n": "no"}, "n") == "y":
        return True
    app.note("nothing was changed")
    return False


def choice(app: App, question: str, answers: dict[str, str], default: str | None = None) -> str:
    """Which of some letters the person types, or the word that it stands for.

    Args:
        question: safe text; the answer is typed behind it.
        default: what Enter alone means; None: it is asked again.

    Raises:
        UsageError: there is no terminal to ask on.
        click.Abort: the input came to its end.
    """
    if not app.can_ask:
        raise UsageError("no terminal to confirm on", "pass -y")
    while True:
        typed = (answer(app, question) or "").strip().lower()
        if not typed and default is not None:
            return default
        found = [key for key, word in answers.items() if typed in {key, word}]
        if found:
            return found[0]
        app.note(f"type one of {', '.join(answers)}")


def answer(app: App, question: str, is_moot: Callable[[], bool] = lambda: False) -> str | None:
    """The line that is typed behind a question; None: the question does not matter any more.

    An interrupt ends the waiting also where it comes just before it begins: `input` would notice
    it with the next key only.

    Raises:
        click.Abort: the input came to its end.
    """
    app.stderr.write(question)
    app.stderr.flush()
    assert app.stdin is not None  # noqa: S101 - there is somebody to ask
    descriptor = app.stdin.fileno()
    while True:
        ready, _, _ = select.select([descriptor], [], [], _LOOK)
        if ready:
            data = os.read(descriptor, 1024)
            if not data:
                raise click.Abort
            return data.decode("utf-8", "replace")
        if is_moot():
            app.note("")
            return None
