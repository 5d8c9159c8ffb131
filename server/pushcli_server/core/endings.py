"""Commands that are being ended while their node's part in the job is over already.

A job that timed out or was aborted is over at once; what its commands had written by then comes
a little later, with the result of each. Whoever shows a job waits for that as long as it is
under way: from the end of the part, over the abort and the agent's answer, which goes ahead of
the result, until the result is stored. Nobody waits for longer than `LONGEST`.
"""

import math
from collections.abc import KeysView
from dataclasses import dataclass

from pushcli_server.core.identity import JobKey, NodeKey

FOLLOWS = 5.0
"""Seconds within which output follows the answer to the abort: what a server that has much to do
could not take is sent again after two."""
COMES = 15.0
"""Seconds for which the next piece of it, or its storing, is waited for."""
LONGEST = 60.0
"""Seconds after the end of its part, whatever its agent says."""


@dataclass(slots=True)
class Ending:
    """One command. `since` is the end of its part; without news it is waited for `until` then."""

    job: JobKey
    since: float
    until: float = math.inf
    answered: bool = False
    """Whether its node said that it ended it."""

    def is_under_way(self, now: float, *, in_rehab: bool) -> bool:
        """Whether something of it may still come.

        Args:
            in_rehab: its node has an abort to answer.
        """
        until = math.inf if in_rehab and not self.answered else self.until
        return now < min(until, self.since + LONGEST)


class Endings:
    """For each node the command that is being ended; an agent runs one at a time."""

    def __init__(self) -> None:
        self._of_node: dict[NodeKey, Ending] = {}
        self._of_job: dict[JobKey, dict[str, Ending]] = {}

    def begin(self, node: NodeKey, job: JobKey, now: float) -> Ending:
        """The part of a node that was told to run is over without its result."""
        self.forget(node)
        ending = self._of_node[node] = Ending(job, now)
        self._of_job.setdefault(job, {})[node.name] = ending
        return ending

    def abort(self, node: NodeKey, now: float) -> None:
        """The node is told to end its command; or another one, that was not run here."""
        ending = self._of_node.get(node)
        if ending is not None and ending.until == math.inf:
            ending.until = now + FOLLOWS

    def aborted(self, node: NodeKey, now: float) -> None:
        """The node says that it ended its command."""
        if (ending := self._of_node.get(node)) is not None:
            waited = ending.until if ending.until < math.inf else now
            ending.until, ending.answered = max(waited, now + FOLLOWS), True

    def came(self, node: NodeKey, job: JobKey, now: float) -> None:
        """A piece of the output is there, or the result: what is left comes, or is stored."""
        ending = self._of_node.get(node)
        if ending is None or ending.job != job:
            if ending is not None and ending.is_under_way(now, in_rehab=False):
                # What an agent still had to deliver of a job before.
                return
            ending = self.begin(node, job, now)
        ending.until = now + COMES

    def stored(self, node: NodeKey, job: JobKey) -> None:
        """All that is ever known of the command can be read."""
        if (ending := self._of_node.get(node)) is not None and ending.job == job:
            self.forget(node)

    def forget(self, node: NodeKey) -> None:
        """Nothing of it is waited for any more."""
        if (ending := self._of_node.pop(node, None)) is not None:
            nodes = self._of_job[ending.job]
            del nodes[node.name]
            if not nodes:
                del self._of_job[ending.job]

    def of(self, node: NodeKey, job: JobKey) -> Ending | None:
        """The command of this job that the node ends."""
        return self._of_job.get(job, {}).get(node.name)

    def nodes(self, job: JobKey) -> KeysView[str]:
        """Those that end a command of this job, or did and said no more."""
        return self._of_job.get(job, {}).keys()
