"""Jobs as the server tells of them, checked: what a peer sends is no job until it fits.

The server's own object stays with each (`raw`), for JSON and YAML to show unchanged.
"""

from collections.abc import Iterator, Mapping

import msgspec

UNFINISHED = frozenset({"new", "voting", "running"})
"""Statuses of a job that is not over (`new`: only the old server's)."""
VOTING = frozenset({"new", "voting"})
"""Statuses of a job whose vote is not over."""
PENDING = frozenset({"new", "ready", "running"})
"""States of a node whose part in a job is not over."""
ABSENT = ("unavailable", "nacked")
"""States of nodes that did not take part."""
_ORDER = (
    "succeeded", "failed", "crashed", "timed_out", "aborted", "running", "ready", "new",
    "was_ready", "nacked", "unavailable",
)  # fmt: skip
"""In which order states are counted: health first, trouble, then who did not take part."""


def ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The states that have any nodes, in that order; those that we do not know come last."""
    states = (*_ORDER, *(state for state in counts if state not in _ORDER))
    return {state: count for state in states if (count := counts.get(state, 0))}


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of `GET jobs/ID` or an entry of `GET jobs` (Push Jobs protocol, section 3).

    What else it says of the run is only shown.

    Args:
        created_at, updated_at: RFC 1123 dates.
        nodes: names by state, for the states that have any; not in the list.
    """

    id: str
    command: str
    status: str
    created_at: str
    updated_at: str
    nodes: dict[str, list[str]] = {}
    capture_output: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return self.status not in UNFINISHED

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes are in each state that has any."""
        return ordered({state: len(names) for state, names in self.nodes.items()})

    def states(self) -> Iterator[tuple[str, str]]:
        """Each node with its state."""
        for state, names in self.nodes.items():
            for name in names:
                yield name, state


class LateResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A result that came too late to decide what became of its node."""

    succeeded: bool = False
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    aborted: bool = False
    lost: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0


class NodeResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one node: an entry of `GET jobs/ID/nodes` (docs/extensions.md).

    Times are seconds since the epoch, sizes bytes, digests SHA-256 (hex); `dropped` are bytes
    that are missing, `cut_at` is where the first of them would be.

    Args:
        late_result: how the command ended, told when the node's part was over.
        partial: there is output, of a command that was cut short.
        last_contact: when a node out of contact was heard of, if that is known.
        output_pending: the command is being ended, and what it wrote is still to come.
        ending: the command is being ended, and how it ended is still to come.
        output_deleted_at: when what it wrote was deleted on the server, `output_deleted_by` the
            setting because of which.
        output_hidden: what it wrote was captured by default, and is not for who asks.
    """

    node: str
    state: str
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    stdout_size: int | None = None
    stderr_size: int | None = None
    stdout_digest: str | None = None
    stderr_digest: str | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    stdout_cut_at: int | None = None
    stderr_cut_at: int | None = None
    partial: bool = False
    output_pending: bool = False
    ending: bool = False
    out_of_contact: bool = False
    last_contact: float | None = None
    late_result: LateResult | None = None
    output_deleted_at: float | None = None
    output_deleted_by: str | None = None
    output_hidden: bool = False

    @property
    def dropped(self) -> int:
        """Bytes that are missing of its output."""
        return self.stdout_dropped + self.stderr_dropped
