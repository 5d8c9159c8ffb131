"""How a job is started: one set of options for every command that starts one."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from pushcli.jobs.interrupts import OnInterrupt
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.params import Seconds
from pushcli.terminal.typed import typed

if TYPE_CHECKING:
    from pushcli.jobs import starting
else:
    starting = LazyModule("pushcli.jobs.starting")

NODES = (
    "nodes", "query", "everything", "exclude", "limit", "limit_seed", "from_job", "with_status",
)  # fmt: skip
"""Parameters that say which nodes are meant."""
SIZES = ("batch", "max_failures")
"""Parameters that may be a part of these nodes: of the rest it would be another number."""
Command = Callable[..., Any]

poll_interval_option = click.option(
    "--poll-interval", type=Seconds(zero=False), default=1.0, show_default=True,
    help="Longest pause between two checks of a job whose server has no event feed.",
)  # fmt: skip
on_interrupt_option = click.option(
    "--on-interrupt", type=click.Choice([policy.value for policy in OnInterrupt]),
    default=OnInterrupt.ASK.value, show_default=True,
    callback=lambda _context, _option, value: OnInterrupt(value),
    help="What Ctrl-C does to the job; off a terminal it detaches rather than ask.",
)  # fmt: skip
_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "-q", "--quorum", metavar="N|P%", help="Nodes that must be ready (default: all)."
    ),
    click.option("-b", "--nowait", is_flag=True, help="Start the job and return at once."),
    click.option(
        "--dry-run", is_flag=True,
        help="Ask the nodes whether they would run it; start nothing.",
    ),
    poll_interval_option,
    on_interrupt_option,
    click.option(
        "--follow", is_flag=True, help="Print what the command writes while it writes it."
    ),
    click.option(
        "--quiet", is_flag=True, help="Print results and errors only; with -b the bare ID."
    ),
    click.option(
        "--batch", metavar="N|P%", help="So many nodes at a time, each batch a job of its own."
    ),
    click.option(
        "--batch-wait", type=Seconds(), default=0.0, help="Pause between two batches."
    ),
    click.option(
        "--max-failures", metavar="N|P%", help="Start no batch once more nodes have failed."
    ),
    click.option("--timestamps", is_flag=True, help="Begin each line with the local time."),
)  # fmt: skip


def start_options(command: Command) -> Command:
    """These options; the command is given them as `how`."""

    @wraps(command)
    def with_how(
        *arguments: Any, quorum: str | None, nowait: bool, dry_run: bool, poll_interval: float,
        on_interrupt: OnInterrupt, follow: bool, quiet: bool, timestamps: bool,
        batch: str | None, batch_wait: float, max_failures: str | None, **others: Any,
    ) -> Any:  # fmt: skip
        how = starting.How(
            quorum=quorum, nowait=nowait, dry_run=dry_run, poll_interval=poll_interval,
            on_interrupt=on_interrupt, follow=follow, quiet=quiet, timestamps=timestamps,
            batch=batch, batch_wait=batch_wait, max_failures=max_failures,
            typed=tuple(typed(click.get_current_context(), without=(*NODES, *SIZES))),
        )  # fmt: skip
        return command(*arguments, how=how, **others)

    decorated: Command = with_how
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
