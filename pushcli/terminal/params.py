"""Types of command-line parameters."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pushcli import durations
from pushcli.errors import ConfigError
from pushcli.protocol import reasons
from pushcli.protocol.limits import MAX_RUN_TIMEOUT
from pushcli.protocol.names import LAST_JOB, is_job_id, is_job_id_prefix, is_node_name
from pushcli.terminal.completing import Completed

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Directory(click.Path):
    """The directory of a server or an agent, which is its owner's alone."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(path_type=Path, file_okay=file_okay, readable=False)

    def convert(
        self,
        value: "str | os.PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Its path.

        Raises:
            ConfigError: it, or what it is in, is closed to this user.
        """
        place = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            place.stat()
            is_closed = not os.access(place, os.R_OK | os.X_OK)
        except OSError as error:
            is_closed = isinstance(error, PermissionError)
        if is_closed:
            raise ConfigError(
                f"cannot read {place}: Permission denied", "run it as root, or as its owner"
            )
        return place


class Seconds(click.ParamType[float]):
    """A length of time, 0 or more, in seconds where it names no unit."""

    name = "duration"

    def __init__(self, *, zero: bool = True) -> None:
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds."""
        try:
            seconds = durations.seconds(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is {error}", param, ctx)
        if not 0 <= seconds <= MAX_RUN_TIMEOUT or (seconds == 0 and not self._zero):
            least = "at least 0" if self._zero else "more than 0"
            most = f"at most {MAX_RUN_TIMEOUT:,} seconds"
            self.fail(f"{value!r} is out of range: must be {least} and {most}", param, ctx)
        return seconds


class Duration(click.ParamType[float]):
    """A length of time as `durations.parse` takes it, in seconds."""

    name = "duration"

    def __init__(self, *, zero: bool = False, longest: str | None = None) -> None:
        self._zero = zero
        self._longest = longest

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds."""
        try:
            seconds = durations.parse(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is {error}", param, ctx)
        if seconds == 0 and not self._zero:
            self.fail(f"{value!r} must be more than 0", param, ctx)
        if self._longest is not None and seconds > durations.parse(self._longest):
            self.fail(f"{value!r} is more than {self._longest}", param, ctx)
        return seconds


class Moment(click.ParamType[float]):
    """A date, or how long ago it was; in seconds since the epoch."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds."""
        try:
            return durations.moment(str(value), time.time())
        except ValueError as error:
            self.fail(f"{value!r} is {error}", param, ctx)


class JobId(Completed, click.ParamType[str]):
    """A job's id, the beginning of one, or `@last`: `pushcli.jobs.named` makes an id of it."""

    name = "job id"
    completes = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """What names the job, in lower case."""
        text = str(value).strip().lower()
        if text != LAST_JOB and not is_job_id(text) and not is_job_id_prefix(text):
            wanted = f"give 4 or more of its 32 hex digits, or {LAST_JOB}; see `pushcli job list`"
            self.fail(f"invalid job id {value!r}: {wanted}", param, ctx)
        return text


class NodeName(Completed, click.ParamType[str]):
    """A node's name, or one like it.

    Args:
        completes: what kind of thing there may be of such a name; see `completing`.
    """

    name = "node"

    def __init__(self, completes: str = "node") -> None:
        self.completes = completes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        text = str(value)
        if not is_node_name(text):
            self.fail(f"invalid node name {text!r}: use letters, digits and _ . : -", param, ctx)
        return text


class NamesList(click.ParamType[tuple[str, ...]]):
    """Names with commas between them.

    Args:
        choices: those that there are, for the Tab key.
    """

    name = "list"

    def __init__(self, choices: Callable[[], Sequence[str]]) -> None:
        self._choices = choices

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, in lower case."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip().lower() for part in str(value).split(","))
        if not all(names):
            self.fail(f"{value!r} has an empty name: write a,b", param, ctx)
        return names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list["CompletionItem"]:
        """The choices for the last name, but those that stand before it."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for the Tab key

        before, comma, last = incomplete.rpartition(",")
        given = before.lower().split(",")
        return [
            CompletionItem(f"{before}{comma}{choice}")
            for choice in self._choices()
            if choice.startswith(last.lower()) and choice not in given
        ]


class Reason(click.ParamType[str]):
    """Why somebody does something: one line."""

    name = "reason"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The line, without blanks around it."""
        text = str(value).strip()
        if not reasons.is_reason(text):
            wanted = f"one printable line of 1 to {reasons.MAX_REASON} characters"
            self.fail(f"give {wanted}", param, ctx)
        return text


class Name(Completed, click.ParamType[str]):
    """The name of a user, client, group or key; what it names is for the error and the Tab key."""

    name = "name"

    def __init__(self, what: str) -> None:
        self._what = self.completes = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        text = str(value)
        if not is_node_name(text):
            self.fail(
                f"invalid {self._what} name {text!r}: use letters, digits and _ . : -", param, ctx
            )
        return text
