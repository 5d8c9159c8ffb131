"""Which nodes of a job are meant: expressions matched against these, and no others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pushcli.errors import NotFound, UsageError
from pushcli.nodes import targets
from pushcli.nodes.selection import read_files, require_states
from pushcli.terminal.context import App

_REMEDY = "see `pushcli job status ID`"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the operator typed.

    Args:
        expressions: the arguments; see `targets`.
        exclude: expressions.
        with_status: states in the job.
    """

    expressions: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    with_status: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed: all nodes are meant."""
        return self == Choice()

    @property
    def is_one_name(self) -> bool:
        """Whether a name was typed and nothing else, so that it can only be one node."""
        if not self.expressions or self != Choice(expressions=self.expressions):
            return False
        steps = [step for text in self.expressions for step in targets.parse(text).steps]
        operands = [one for operator, one in steps if operator == ","]
        names = [one.names for one in operands if isinstance(one, targets.Names)]
        return len(names) == len(steps) and len({name for each in names for name in each}) == 1


def chosen(app: App, choice: Choice, job_id: str, nodes: Mapping[str, Sequence[str]]) -> list[str]:
    """The nodes that are meant, those typed in their order.

    Args:
        nodes: of the job, by state.

    Raises:
        UsageError: an expression cannot be read, or there is no such state.
        NotFound: nothing matches, or a name is not one of the job's nodes.
    """
    require_states(choice.with_status)
    every = [name for names in nodes.values() for name in names]
    remedy = f"see `pushcli job status {job_id}`"
    found = _typed(app, choice.expressions, every, remedy) if choice.expressions else every
    if unknown := targets.strangers(found, every):
        what = "node" if unknown.total == 1 else "nodes"
        raise NotFound(f"job {job_id} has no {what} {unknown.shown}", unknown.hint or remedy)
    if choice.with_status:
        wanted = {name for state in choice.with_status for name in nodes.get(state, ())}
        found = [name for name in found if name in wanted]
        if not found:
            states = " or ".join(choice.with_status)
            raise NotFound(f"no node of job {job_id} is {states}", remedy)
    if choice.exclude:
        found = targets.without(found, _typed(app, choice.exclude, every, remedy, strict=False))
    return found


def among(app: App, expressions: Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of the names that the expressions stand for.

    Raises:
        UsageError: one cannot be read, or stands for others too.
        NotFound: nothing matches.
    """
    typed = _typed(app, expressions, names, _REMEDY)
    if unknown := targets.strangers(typed, names):
        what = "is not one" if unknown.total == 1 else "are not"
        raise UsageError(f"{unknown.shown} {what} of the nodes meant", unknown.hint or _REMEDY)
    return typed


def _typed(
    app: App, expressions: Iterable[str], names: Sequence[str], remedy: str, *, strict: bool = True
) -> list[str]:
    parsed = [targets.parse(text) for text in expressions]
    files = read_files(app, parsed)
    found: dict[str, None] = {}
    try:
        for one in parsed:
            found |= dict.fromkeys(targets.evaluate(one, names, files, strict=strict))
            targets.require_bounded(found)
    except NotFound as error:
        # What it advises lists the nodes of the organization.
        raise NotFound(f"{error.message} among the nodes of the job", remedy) from error
    return list(found)
