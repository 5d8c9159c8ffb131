"""Types of command-line parameters."""

import math
from typing import Any

import click

from pushcli.names import is_job_id, is_node_name


class Seconds(click.ParamType[float]):
    """A length of time in seconds, 0 or more."""

    name = "seconds"

    def __init__(self, *, zero: bool = True) -> None:
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not self._zero):
            self.fail(f"{value!r} is no length of time", param, ctx)
        return seconds


class JobId(click.ParamType[str]):
    """A job's id."""

    name = "job id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id, in lower case."""
        text = str(value).strip().lower()
        if not is_job_id(text):
            self.fail(f"{value!r} is no job id (32 hex digits, see `pushcli job list`)", param, ctx)
        return text


class NodeName(click.ParamType[str]):
    """A node's name."""

    name = "node"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        text = str(value)
        if not is_node_name(text):
            self.fail(f"{text!r} is no node's name (letters, digits and _ . : -)", param, ctx)
        return text
