"""A job in batches: which nodes when, and when to stop. Pure.

Each batch is a job of its own, and the next one starts when it is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pushcli.errors import UsageError
from pushcli.exit_status import ExitStatus
from pushcli.jobs.model import JobView
from pushcli.jobs.quorum import NUMBER, PERCENTAGE, parse_quorum, share
from pushcli.jobs.verdict import verdict

WORST_LAST = (
    ExitStatus.OK, ExitStatus.NODE_FAILED, ExitStatus.TIMED_OUT, ExitStatus.ABORTED,
    ExitStatus.QUORUM_FAILED,
)  # fmt: skip
"""The exit status of all batches is that of the worst."""
_FAILURES = ("failed", "crashed", "timed_out", "aborted")
"""States of nodes that count for `--max-failures`: those that did not take part do not."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How far a job in batches is.

    Args:
        batches: names of nodes, each once.
        most_failures: nodes that may fail, of all batches, before no other starts; None: all.
        done: how many batches are over.
        failures: nodes that failed so far.
        counts: nodes by state, so far.
        worst: of the batches that are over.
        stopped: why no other batch starts; empty: nothing speaks against it.
    """

    batches: tuple[tuple[str, ...], ...]
    most_failures: int | None = None
    done: int = 0
    failures: int = 0
    counts: tuple[tuple[str, int], ...] = ()
    worst: ExitStatus = ExitStatus.OK
    stopped: str = ""

    @property
    def next(self) -> tuple[str, ...] | None:
        """The nodes of the batch that is to start; None: none is."""
        if self.stopped or self.done == len(self.batches):
            return None
        return self.batches[self.done]

    def ran(self) -> list[str]:
        """The nodes of the batches that are over."""
        return [node for batch in self.batches[: self.done] for node in batch]

    def rest(self, *, skipped: int = 0) -> list[str]:
        """The nodes of the others, but for so many batches."""
        return [node for batch in self.batches[self.done + skipped :] for node in batch]

    def after(self, job: JobView) -> "Course":
        """The same once the job of the next batch is over."""
        failures = self.failures + sum(job.counts.get(state, 0) for state in _FAILURES)
        counts = dict(self.counts)
        for state, count in job.counts.items():
            counts[state] = counts.get(state, 0) + count
        return replace(
            self,
            done=self.done + 1,
            failures=failures,
            counts=tuple(counts.items()),
            worst=max(self.worst, verdict(job), key=WORST_LAST.index),
            stopped=self._why_stop(job, failures),
        )

    def _why_stop(self, job: JobView, failures: int) -> str:
        if job.status == "quorum_failed":
            return "its quorum failed"
        if job.status == "aborted":
            return "it was aborted"
        if self.most_failures is not None and failures > self.most_failures:
            nodes = "1 node" if failures == 1 else f"{failures} nodes"
            return f"{nodes} failed, and --max-failures is {self.most_failures}"
        return ""


def course(nodes: Sequence[str], size: str, max_failures: str | None = None) -> Course:
    """The batches, none of which has run.

    Args:
        nodes: names, each once; at least one.
        size: of a batch, as a number or a percentage of all nodes, which rounds up.
        max_failures: likewise; a percentage rounds down.

    Raises:
        UsageError: one of them cannot be read, or a batch would be empty.
    """
    count = _amount("--batch", size, len(nodes), up=True)
    if count == 0:
        raise UsageError(f"--batch {size} leaves a batch empty", "give more than 0")
    most = None
    if max_failures is not None:
        most = _amount("--max-failures", max_failures, len(nodes), up=False)
    batches = tuple(tuple(nodes[i : i + count]) for i in range(0, len(nodes), count))
    return Course(batches=batches, most_failures=most)


def quorum_of_batch(quorum: str | None, size: int, largest: int) -> str | None:
    """The quorum of a batch of so many nodes: the last one may be smaller than the others.

    Raises:
        UsageError: no batch could reach it.
    """
    if quorum is None or not NUMBER.fullmatch(quorum):
        return quorum
    needed = parse_quorum(quorum, size)
    if needed > largest:
        raise UsageError(
            f"a batch of {largest} cannot reach a quorum of {needed}",
            "give the quorum of one batch, such as 80%",
        )
    return str(min(needed, size))


def _amount(option: str, text: str, count: int, *, up: bool) -> int:
    if NUMBER.fullmatch(text):
        return int(text)
    percentage = PERCENTAGE.fullmatch(text)
    if percentage is None or float(percentage[1]) > 100:
        raise UsageError(
            f"invalid {option} {text!r}", "give a number of nodes (10) or a part of them (25%)"
        )
    return share(percentage[1], count, up=up)
