"""A round through the operator's editor: nothing that was typed is lost.

The text lies in a private directory, which is removed afterwards; if anything fails it stays,
and is named.
"""

import contextlib
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pushcli.errors import ConfigError, PushcliError, UsageError
from pushcli.terminal.asking import choice
from pushcli.terminal.context import App

_ERROR = "# ERROR: "
T = TypeVar("T")


@contextlib.contextmanager
def draft(app: App, name: str, text: str) -> Iterator["Draft"]:
    """A text for the editor; it stays, and is named, if the block is left by an exception.

    Args:
        name: of the file; editors tell its language by the suffix.
    """
    made = Draft(app, name, text)
    try:
        yield made
    except BaseException as error:
        _keep(app, made, error)
        raise
    made.remove()


class Draft:
    """What the operator edits.

    Raises:
        ConfigError: there is no place for it.
    """

    def __init__(self, app: App, name: str, text: str) -> None:
        self._app = app
        self._original = text
        try:
            # Only its owner may enter; editors put their own copies there too.
            self._directory = Path(tempfile.mkdtemp(prefix="pushcli-"))
            self.path = self._directory / name
            self.path.touch(0o600)
            self._write(text)
        except OSError as error:
            raise ConfigError(f"cannot store the draft: {error.strerror}", "set TMPDIR") from error

    @property
    def is_changed(self) -> bool:
        """Whether it holds anything that the operator typed."""
        try:
            return _without_error(self._read()) != self._original
        except (OSError, ConfigError):
            return True

    def edit(self, check: Callable[[str], T]) -> tuple[str, T]:
        """Let the operator edit until the check finds nothing; returns the text and what it gave.

        Raises:
            PushcliError: the check's, if nobody is there to mend it, or nothing was mended;
                or the editor failed.
        """
        while True:
            shown = self._read()
            self._open()
            edited = self._read()
            text = _without_error(edited)
            try:
                return text, check(text)
            except PushcliError as error:
                if not self._app.can_ask or edited == shown:
                    raise
                self._write(f"{_ERROR}{error}\n{text}")

    def remove(self) -> None:
        """Take it away."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _open(self) -> None:
        command = editor(self._app.env, has_terminal=self._app.can_ask)
        try:
            arguments = [*command, str(self.path)]
            process = subprocess.Popen(arguments, env=dict(self._app.env))
        except OSError as error:
            raise UsageError(
                f"cannot start the editor {command[0]}: {error.strerror}", "set VISUAL or EDITOR"
            ) from error
        with process, _ignoring_interrupts():
            status = process.wait()
        if status:
            raise UsageError(f"the editor {command[0]} ended with status {status}")

    def _read(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path} is not UTF-8", "save it as UTF-8") from error

    def _write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")


def editor(env: Mapping[str, str], *, has_terminal: bool) -> list[str]:
    """The operator's editor, as a program and its arguments.

    Raises:
        UsageError: the variable makes no sense, or there is none and vi would have no terminal.
    """
    text = env.get("VISUAL") or env.get("EDITOR") or ""
    if not text and not has_terminal:
        raise UsageError("no terminal to edit in", "set EDITOR to a program that needs none")
    text = text or "vi"
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"invalid editor {text!r}: {error}", "set VISUAL or EDITOR") from error
    if not command:
        raise UsageError("VISUAL and EDITOR are blank", "set one of them")
    return command


def agrees(app: App) -> str:
    """`yes`, `no`, or `edit` to go on editing; -y is yes.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    if app.options.yes:
        return "yes"
    words = {"y": "yes", "n": "no", "e": "edit"}
    return words[choice(app, "Apply (y), throw away (n), or edit again (e)?: ", words)]


def _without_error(text: str) -> str:
    first, line_break, rest = text.partition("\n")
    return rest if first.startswith(_ERROR) and line_break else text


def _keep(app: App, made: Draft, error: BaseException) -> None:
    if not made.is_changed:
        made.remove()
        return
    where = f"what you typed is kept in {made.path}"
    if isinstance(error, PushcliError):
        error.remedy = "; ".join(filter(None, (error.remedy, where)))
    else:
        app.note(where)


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ctrl-C within the editor is the editor's."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
