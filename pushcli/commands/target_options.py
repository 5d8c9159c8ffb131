"""How a command is told which nodes it is about: one set of parameters for all of them."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from pushcli.errors import UsageError
from pushcli.terminal.completing import completes
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.params import JobId, NamesList

if TYPE_CHECKING:
    from pushcli.jobs import named
    from pushcli.nodes import selection as selecting
else:
    named = LazyModule("pushcli.jobs.named")
    selecting = LazyModule("pushcli.nodes.selection")

Command = Callable[..., Any]

exclude_option = click.option(
    "-x", "--exclude", metavar="SET", multiple=True, shell_complete=completes("nodes"),
    help="Nodes to leave out: names, sets, globs, @FILE; may be repeated.",
)  # fmt: skip


def with_status_option(before: str = "") -> Callable[[Command], Command]:
    """`--with-status`.

    Args:
        before: what its help begins with, before "only nodes ...".
    """
    text = f"{before}only nodes in these states, such as failed,timed_out."
    return click.option(
        "--with-status", metavar="STATE,...", type=NamesList(lambda: selecting.STATES),
        help=text[:1].upper() + text[1:],
    )  # fmt: skip


_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "-s", "--search", "query", metavar="QUERY",
        help="Nodes that match, besides those named.",
    ),
    click.option("-a", "--all", "everything", is_flag=True, help="All nodes."),
    exclude_option,
    click.option(
        "--limit", metavar="N|P%", help="Only so many of the nodes, chosen at random."
    ),
    click.option(
        "--limit-seed", metavar="TEXT", help="Choose the same nodes each time for this text."
    ),
    click.option(
        "--from-job", metavar="ID", type=JobId(), help="Nodes of this job, besides those named."
    ),
    with_status_option("of that job, "),
)  # fmt: skip
_WAYS = ("query", "everything", "from_job")
"""Parameters that say which nodes are meant, besides arguments."""
_ALLOW_UNKNOWN: Callable[[Command], Command] = click.option(
    "--allow-unknown", is_flag=True, help="Start even if there is no node of a name."
)


def target_options(
    *, may_be_unknown: bool = False, last: tuple[str, str] | None = None
) -> Callable[[Command], Command]:
    """`[NODE...]` and the options beside it; the command is given them as `selection`.

    Args:
        may_be_unknown: the command refuses unknown names, but for `--allow-unknown`.
        last: an argument behind the nodes, such as `NAME`, which the command is given under
            this name in lower case, and what kind of thing it is; see `completing`.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_selection(
            *arguments: Any, nodes: tuple[str, ...], query: str | None, everything: bool,
            exclude: tuple[str, ...], limit: str | None, limit_seed: str | None,
            from_job: str | None, with_status: tuple[str, ...] | None,
            allow_unknown: bool = False, **others: Any,
        ) -> Any:  # fmt: skip
            if from_job is not None:
                app = click.get_current_context().ensure_object(App)
                from_job = named.job_id(app, from_job)
            if last is not None:
                *before, others[last[0].lower()] = nodes or _missing(last[0])
                nodes = tuple(before)
            selection = selecting.Selection(
                expressions=nodes, query=query, everything=everything, exclude=exclude,
                limit=limit, limit_seed=limit_seed, from_job=from_job,
                with_status=with_status or (), allow_unknown=allow_unknown,
            )  # fmt: skip
            return command(*arguments, selection=selection, **others)

        decorated: Command = with_selection
        options = [_nodes(last), *_OPTIONS, *([_ALLOW_UNKNOWN] if may_be_unknown else [])]
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def _nodes(last: tuple[str, str] | None) -> Callable[[Command], Command]:
    """The arguments: click reads one of any number only where nothing else stands behind it."""
    if last is None:
        return click.argument(
            "nodes", metavar="[NODE...]", nargs=-1, shell_complete=completes("nodes")
        )
    name, kind = last

    def offer(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[Any]:
        is_chosen = any(ctx.params.get(way) for way in _WAYS)
        kinds = (kind,) if is_chosen else ("nodes", kind)
        return completes(*kinds)(ctx, parameter, typed)

    return click.argument("nodes", metavar=f"[NODE...] {name}", nargs=-1, shell_complete=offer)


def _missing(name: str) -> Any:
    raise UsageError(f"no {name} given", "see --help")
