"""The nodes that a command is about: asks the server, and reads files, for what was typed."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from pushcli.client import search
from pushcli.client.answers import checked
from pushcli.errors import (
    NotFound,
    PermissionDenied,
    RequestRefused,
    ServerError,
    UsageError,
)
from pushcli.nodes import targets
from pushcli.nodes.node_status import EXTENSION, NodeAvailability
from pushcli.nodes.targets import Expression
from pushcli.protocol.names import by_number
from pushcli.terminal.context import App

MAX_FILE = 10_000_000
"""Bytes of a file of names."""
STATES = (
    "succeeded", "failed", "timed_out", "crashed", "aborted", "nacked", "unavailable",
    "was_ready", "new", "ready", "running",
)  # fmt: skip
"""A node's part in a job (Push Jobs protocol, section 3)."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the operator typed.

    Args:
        expressions: the arguments; see `targets`.
        query: in Chef's search syntax.
        everything: all nodes.
        exclude: expressions.
        limit: a number or a percentage.
        limit_seed: of the nodes that the limit chooses.
        from_job: the id of a job whose nodes are meant.
        with_status: their states in it, all if there are none.
        allow_unknown: nodes that the server does not know are meant, too.
    """

    expressions: tuple[str, ...] = ()
    query: str | None = None
    everything: bool = False
    exclude: tuple[str, ...] = ()
    limit: str | None = None
    limit_seed: str | None = None
    from_job: str | None = None
    with_status: tuple[str, ...] = ()
    allow_unknown: bool = False

    @property
    def names_some(self) -> bool:
        """Whether it says which nodes, and not only which not."""
        return bool(self.expressions or self.everything) or not (
            self.query is None and self.from_job is None
        )

    @property
    def reads_stdin(self) -> bool:
        """Whether names come from standard input."""
        typed = (targets.parse(text) for text in (*self.expressions, *self.exclude))
        return any(targets.STDIN in expression.files for expression in typed)

    @property
    def or_everything(self) -> "Selection":
        """The same, of all nodes where it does not say of which."""
        return self if self.names_some else replace(self, everything=True)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed."""
        return self == Selection()


class _Known(msgspec.Struct, frozen=True):
    """Names of nodes, sorted by their numbers; `complete`: there are no others."""

    names: list[str]
    complete: bool


class _JobNodes(msgspec.Struct, frozen=True):
    nodes: dict[str, list[str]] = {}


def select(
    app: App, selection: Selection, *, must_exist: bool = False, with_object: bool = False
) -> list[str]:
    """The nodes' names: those typed first, in their order, then those found, by their numbers.

    Args:
        must_exist: refuse names that the server does not know, if it can tell.
        with_object: all nodes, and what globs match, are those with a node object, which
            whitelists are part of, and not those that are enrolled.

    Raises:
        UsageError: it cannot be read, names none or too many, or an unknown node.
        NotFound: nothing matches.
    """
    _require_sense(selection)
    wanted = [targets.parse(text) for text in selection.expressions]
    unwanted = [targets.parse(text) for text in selection.exclude]
    files = read_files(app, [*wanted, *unwanted])
    needed = selection.everything or any(_has_glob(one, files) for one in [*wanted, *unwanted])
    must_exist = must_exist and not selection.allow_unknown
    known = _Known([], complete=False)
    if needed or must_exist:
        known = _known(app, needed=needed, with_object=with_object)
    named = list(_typed(wanted, known, files))
    found = _found(app, selection, known)
    parts = _of_job(app, selection) if selection.from_job is not None else []
    if must_exist and known.complete:
        targets.require_known([*named, *parts], {*known.names, *found})
    others = sorted({*found, *parts}, key=by_number)
    chosen = list(dict.fromkeys([*named, *others]))
    if unwanted:
        chosen = targets.without(chosen, _typed(unwanted, known, files, strict=False))
    return _limited(app, chosen, selection)


def _require_sense(selection: Selection) -> None:
    if selection.with_status and selection.from_job is None:
        raise UsageError("--with-status without --from-job", "name the job whose nodes are meant")
    if selection.limit_seed is not None and selection.limit is None:
        raise UsageError("--limit-seed without --limit", "give --limit N or P%")
    require_states(selection.with_status)
    if not selection.names_some:
        raise UsageError("no nodes given", "name some, search with -s QUERY, or -a for all")
    if selection.limit is not None:
        targets.limit_of(selection.limit, targets.MOST)


def require_states(states: Iterable[str]) -> None:
    """Refuse words that are not states of nodes.

    Raises:
        UsageError: there is one.
    """
    for state in states:
        if state not in STATES:
            raise UsageError(f"invalid status {state!r}", f"one of {', '.join(STATES)}")


def _typed(
    expressions: Iterable[Expression], known: _Known, files: targets.Files, *, strict: bool = True
) -> dict[str, None]:
    names: dict[str, None] = {}
    for expression in expressions:
        names |= dict.fromkeys(targets.evaluate(expression, known.names, files, strict=strict))
        targets.require_bounded(names)
    return names


def _found(app: App, selection: Selection, known: _Known) -> list[str]:
    """What a query finds, and everything."""
    names = [] if selection.query is None else search.names(app.client, selection.query)
    if selection.everything and not known.names:
        raise NotFound("there are no nodes", "let some enroll: `pushcli agent enroll`")
    return [*names, *known.names] if selection.everything else names


def _of_job(app: App, selection: Selection) -> list[str]:
    """The nodes of the job, in the states that are wanted.

    Raises:
        NotFound: there are none, or no such job.
    """
    job = checked(app.client.job(str(selection.from_job)), _JobNodes)
    wanted = selection.with_status or tuple(job.nodes)
    names = [name for state in wanted for name in job.nodes.get(state, [])]
    if not names:
        states = f" is {' or '.join(wanted)}" if wanted else ""
        raise NotFound(
            f"no node of the job{states}", f"see `pushcli job status {selection.from_job}`"
        )
    return names


def _has_glob(expression: Expression, files: targets.Files) -> bool:
    inside = (each for path in expression.files for each in targets.in_file(files[path]))
    return expression.has_glob or any(each.has_glob for each in inside)


def read_files(app: App, expressions: Iterable[Expression]) -> dict[str, str]:
    """What the files say that the expressions name, by their names.

    Raises:
        UsageError: one cannot be read, or is too large.
    """
    paths = dict.fromkeys(path for each in expressions for path in each.files)
    return {path: _read(app, path) for path in paths}


def _read(app: App, path: str) -> str:
    """The text of a file of names.

    Raises:
        UsageError: it cannot be read, or is too large.
    """
    where = "standard input" if path == targets.STDIN else path
    try:
        if path != targets.STDIN:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE + 1)
        elif app.stdin is None:
            raise UsageError("standard input is closed", "name the nodes, or a file: @FILE")
        else:
            content = app.stdin.buffer.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise UsageError(f"{where} is too large", f"at most {MAX_FILE:,} bytes of names")
        return content.decode()
    except OSError as error:
        raise UsageError(f"cannot read {where}: {error.strerror}", "check @FILE") from error
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not UTF-8 text", "write one name a line") from None


def _known(app: App, *, needed: bool, with_object: bool) -> _Known:
    """The nodes that the server knows.

    Args:
        needed: not only to tell unknown names from others.
        with_object: those that have a node object, not those that are enrolled.

    Raises:
        PushcliError: the server tells of none, though they are needed.
    """
    if with_object:
        return _Known(_with_object(app), complete=False)
    try:
        states = checked(app.client.node_states(), list[NodeAvailability])
    except _UNTOLD as error:
        if not needed:
            return _Known([], complete=False)
        try:
            return _Known(_with_object(app), complete=False)
        except _UNTOLD:
            raise error from None
    # An old server lists only those that it heard of since it was started.
    complete = EXTENSION in app.client.extensions
    names = sorted((state.node_name for state in states), key=by_number)
    return _Known(names or (_with_object(app) if needed else []), complete)


def _with_object(app: App) -> list[str]:
    return sorted(checked(app.client.get("nodes"), dict[str, Any]), key=by_number)


_UNTOLD = (PermissionDenied, NotFound, RequestRefused, ServerError)
"""Why a server does not list its nodes."""


def _limited(app: App, names: Sequence[str], selection: Selection) -> list[str]:
    """What the limit leaves; which nodes these are is chosen at random, and can be repeated."""
    targets.require_bounded(names)
    if selection.limit is None:
        return list(names)
    count = targets.limit_of(selection.limit, len(names))
    seed = selection.limit_seed
    if seed is None:
        seed = str(secrets.randbelow(1_000_000))
        app.remark(f"{count} of {len(names)} nodes: --limit-seed {seed} chooses the same again")
    return targets.sample(names, count, seed)
