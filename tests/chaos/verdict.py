"""What must hold when all is over, whatever died in between. Pure: facts in, complaints out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pushcli_server.core.results import NEVER_TOLD
from pushcli_server.core.states import UNFINISHED, JobStatus
from tests.chaos.commands import COMMANDS
from tests.chaos.store import Ended

Key = tuple[str, str]
"""A job and a node."""


@dataclass(kw_only=True)
class Facts:
    """What really happened.

    Args:
        began: how often each command began on each node; `ended` likewise.
        killed: parts whose supervisor was killed: nobody was left to tell how they ended.
        acknowledged: parts whose node was told that its result is stored.
        real: the nodes that run what a command says; the others succeed, or are aborted.
    """

    began: Mapping[Key, int]
    ended: Mapping[Key, int]
    killed: frozenset[Key] = frozenset()
    acknowledged: frozenset[Key] = frozenset()
    real: frozenset[str] = field(default_factory=frozenset)


def counted(pairs: Iterable[Key]) -> Counter[Key]:
    """How often each came."""
    return Counter(pairs)


def complaints(parts: Iterable[Ended], facts: Facts) -> list[str]:
    """Everything that is not as it must be, a line each."""
    parts = list(parts)
    known = {(part.job, part.node) for part in parts}
    found = [
        f"{job} {node}: a command ran of which the store does not know"
        for job, node in facts.began.keys() - known
    ]
    for part in parts:
        key = (part.job, part.node)
        about = (
            f"{part.job} ({part.command}, {part.status}) {part.node} is {part.state}"
            f"{f' ({part.reason})' if part.reason else ''}: "
        )
        found += [about + wrong for wrong in _wrong(part, facts, key)]
    return found


def _wrong(part: Ended, facts: Facts, key: Key) -> list[str]:
    began, ended = facts.began.get(key, 0), facts.ended.get(key, 0)
    rules: list[Callable[[], str | None]] = [
        lambda: _is_final(part),
        lambda: f"it began {began} times" if began > 1 or ended > 1 else None,
        lambda: _as_reported(part, began, ended, is_real=part.node in facts.real),
        lambda: "it was told to run" if part.state in NEVER_TOLD and began else None,
        lambda: (
            "its result was acknowledged and is lost"
            if key in facts.acknowledged and not part.reported and part.state not in NEVER_TOLD
            else None
        ),
        lambda: _kept(part, ended, is_killed=key in facts.killed, is_real=part.node in facts.real),
    ]
    return [wrong for rule in rules if (wrong := rule()) is not None]


def _is_final(part: Ended) -> str | None:
    if part.state in UNFINISHED or not JobStatus(part.status).is_final:
        return "it is not over"
    return None


def _as_reported(part: Ended, began: int, ended: int, *, is_real: bool) -> str | None:
    """What is said of the command's end is how it ended."""
    if part.state == "succeeded" and (began, ended) != (1, 1):
        return f"it began {began} times and ended {ended} times"
    if not is_real:
        return None
    expected = COMMANDS[part.command].exit_code
    if part.state == "succeeded" and (part.exit_code, expected) != (0, 0):
        return f"exit code {part.exit_code} for {expected}"
    if part.state == "failed" and part.reported and (part.exit_code, ended) != (expected, 1):
        return f"exit code {part.exit_code}, signal {part.signal}; it ended {ended} times"
    if part.state == "failed" and not part.reported and began:
        return "it refused to run, and ran"
    return None


def _kept(part: Ended, ended: int, *, is_killed: bool, is_real: bool) -> str | None:
    """A command that ended has its outcome in the job."""
    if not ended or is_killed or (not is_real and part.state in {"aborted", "timed_out"}):
        return None
    if not part.reported:
        return "it ended, and its result is lost"
    if part.state == "crashed":
        return "it ended, and nobody could know of a crash"
    return None
