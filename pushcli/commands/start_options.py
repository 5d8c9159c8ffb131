"""How a job is started: one set of options for every command that starts one."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from pushcli.jobs.starting import How
from pushcli.terminal.params import Seconds

Command = Callable[..., Any]

_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "-q", "--quorum", metavar="N|P%", help="Nodes that must be ready (default: all)."
    ),
    click.option("-b", "--nowait", is_flag=True, help="Start the job and return at once."),
    click.option(
        "--dry-run", is_flag=True,
        help="Ask the nodes whether they would run it; start nothing.",
    ),
    click.option(
        "--poll-interval", type=Seconds(zero=False), default=1.0, show_default=True,
        help="Longest pause between two checks of the job.",
    ),
    click.option(
        "--quiet", is_flag=True, help="Print results and errors only; with -b the bare ID."
    ),
    click.option("--timestamps", is_flag=True, help="Begin each line with the local time."),
)  # fmt: skip


def start_options(command: Command) -> Command:
    """These options; the command is given them as `how`."""

    @wraps(command)
    def with_how(
        *arguments: Any, quorum: str | None, nowait: bool, dry_run: bool, poll_interval: float,
        quiet: bool, timestamps: bool, **others: Any,
    ) -> Any:  # fmt: skip
        how = How(
            quorum=quorum, nowait=nowait, dry_run=dry_run, poll_interval=poll_interval,
            quiet=quiet, timestamps=timestamps,
        )  # fmt: skip
        return command(*arguments, how=how, **others)

    decorated: Command = with_how
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
