"""What a command gets from outside: streams, terminal, clock and client.

They are injected, so that a test can give its own and patches nothing.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

import click

from pushcli.durations import local
from pushcli.escape import escape_line
from pushcli.terminal.formats import Format, render

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pushcli.client.api import ApiClient
    from pushcli.client.credentials import Profile


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that every operator's command takes; None: not given."""

    config: Path | None = None
    profile: str | None = None
    server_url: str | None = None
    user: str | None = None
    key: Path | None = None
    ca_file: Path | None = None
    fingerprint: str | None = None
    format: Format = Format.TEXT
    columns: str | None = None
    verbose: int = 0
    yes: bool = False


_LONGEST_REASON = 200
"""Characters of a server's."""
TRACED = 2
"""How often `-V` must be given for the requests to be shown."""


def connect(
    options: Options, env: Mapping[str, str], trace: Callable[[str], None] | None = None
) -> "ApiClient":
    """A client for the server that options, environment and credentials file name.

    Args:
        trace: is told what is asked and answered, a line at a time.

    Raises:
        ConfigError: they name none, or contradict themselves.
    """
    # Imported here: they cost half of the process's time, and `--help` needs none of it.
    from pushcli.client.api import ApiClient  # noqa: PLC0415

    return ApiClient(profile_of(options, env), trace=trace)


def profile_of(options: Options, env: Mapping[str, str]) -> "Profile":
    """What options, environment and credentials file say together.

    Raises:
        ConfigError: they name no server, or contradict themselves.
    """
    from pushcli.client.credentials import load_profile  # noqa: PLC0415

    trust = {"PUSHCLI_CA_FILE": options.ca_file, "PUSHCLI_FINGERPRINT": options.fingerprint}
    return load_profile(
        options.profile,
        {**env, **{name: str(value) for name, value in trust.items() if value is not None}},
        config=options.config,
        server_url=options.server_url,
        user=options.user,
        key=options.key,
    )


def _standard(stream: TextIO | None) -> TextIO:
    """The stream, never failing on a character that its encoding lacks; closed: nowhere."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


Candidates = Callable[["App", str, click.Context, str], list["CompletionItem"]]
"""What the Tab key offers: of what kind (`completing`), for which command, and what was typed."""


@dataclass(kw_only=True)
class App:
    """One run of the command line. Times are seconds of a monotonic clock."""

    stdout: TextIO = field(default_factory=lambda: _standard(sys.stdout))
    stderr: TextIO = field(default_factory=lambda: _standard(sys.stderr))
    stdin: TextIO | None = field(default_factory=lambda: sys.stdin)
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    connect: Callable[..., "ApiClient"] = connect
    options: Options = field(default_factory=Options)
    quiet: bool = False
    """Whether remarks are left out."""
    timestamps: bool = False
    """Whether lines begin with the local time."""
    candidates: "Candidates" = lambda *_: []
    # Taken again by whoever has it: a signal's handler interrupts the one who writes.
    _turn: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    @cached_property
    def client(self) -> "ApiClient":
        """The client, made when a command first needs it."""
        traced = self.options.verbose >= TRACED
        return self.connect(self.options, self.env, self._note_safely if traced else None)

    def _note_safely(self, line: str) -> None:
        self.note(escape_line(line))

    def remark_on_server(self) -> None:
        """At the end: where it was reached, and whether what it said may be out of date."""
        self.remark_on_passing_over()
        behind = self.client.behind if "client" in vars(self) else ""
        if behind:
            why = escape_line(behind[:_LONGEST_REASON])
            self.remark(f"the server cannot store anything ({why}): this may be out of date")

    def remark_on_passing_over(self) -> None:
        """Which of the server's URLs was asked last, if it is not the first."""
        if "client" in vars(self) and self.client.passed_over:
            self.remark(escape_line(self.client.passed_over))

    @property
    def is_text(self) -> bool:
        """Whether people read the answer, not programs."""
        return self.options.format is Format.TEXT

    def print(self, line: str) -> None:
        """A line of the answer, or several, to standard output."""
        self.write(self._stamped(line) + "\n")

    def _stamped(self, text: str) -> str:
        if not self.timestamps:
            return text
        now = local(time.time())
        return "\n".join(f"{now} {line}" for line in text.split("\n"))

    def write(self, text: str) -> None:
        """A part of the answer, to standard output; flushed, so that notes stay in order.

        Two threads may write; what each gives stays together.
        """
        with self._turn:
            self.stdout.write(text)
            self.stdout.flush()

    def write_bytes(self, data: bytes) -> None:
        """A part of the answer, as it is."""
        raw: IO[bytes] = self.stdout.buffer
        raw.write(data)
        raw.flush()

    def note(self, line: str) -> None:
        """A line beside the answer, to standard error; one that fails costs no answer."""
        try:
            self.stderr.write(self._stamped(line) + "\n")
            self.stderr.flush()
        except BrokenPipeError:
            raise
        except OSError:
            return

    def remark(self, line: str) -> None:
        """A note that can be spared."""
        if not self.quiet:
            self.note(line)

    def emit(self, value: object) -> None:
        """The whole answer in the format that `-F` asked for (not text)."""
        self.write(render(value, self.options.format))

    def paint(self, text: str, colour: str) -> str:
        """The text in colour, where standard output is a terminal that wants it."""
        return click.style(text, fg=colour) if colour and self.has_colour else text

    def embolden(self, text: str) -> str:
        """The text in bold, on such a terminal."""
        return click.style(text, bold=True) if self.has_colour else text

    @property
    def is_wide(self) -> bool:
        """Whether tables are to have all their columns, and nothing is to be cut."""
        return self.options.columns == "wide"

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer questions."""
        return self.stdin is not None and self.stdin.isatty()

    @property
    def has_colour(self) -> bool:
        """Whether standard output is a terminal where colour is welcome."""
        return wants_colour(self.stdout, self.env)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at it, on a screen that can do more than lines."""
    return stream.isatty()


def can_redraw(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Whether lines on it can be drawn anew in place."""
    return stream.isatty() and env.get("TERM") not in {"dumb", ""}


def wants_colour(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Whether colour is welcome there (https://no-color.org)."""
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
