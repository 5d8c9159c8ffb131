"""Commands that are being ended while their node's part in the job is over already.

A job that timed out or was aborted is over at once; what its commands had written by then comes
a little later, with the result of each. Whoever shows a job waits for that as long as it is
under way: from the end of the part, over the abort and the agent's answer, which goes ahead of
the result, until the result is stored.
"""

import math

from pushcli_server.core.identity import JobKey, NodeKey

FOLLOWS = 2.0
"""Seconds within which the result follows the answer to the abort: nothing lies between."""
COMES = 15.0
"""Seconds for which the next piece of it, or its storing, is waited for."""


class Endings:
    """For each node the command that is being ended; an agent runs one at a time."""

    def __init__(self) -> None:
        self._jobs: dict[NodeKey, JobKey] = {}
        self._until: dict[JobKey, dict[str, float]] = {}

    def begin(self, node: NodeKey, job: JobKey, until: float = math.inf) -> None:
        """The part of a node that was told to run is over without its result."""
        self.forget(node)
        self._jobs[node] = job
        self._until.setdefault(job, {})[node.name] = until

    def abort(self, node: NodeKey, now: float) -> None:
        """The node is told to end its command."""
        job = self._jobs.get(node)
        if job is not None and self._until[job][node.name] <= now:
            # It was another command's turn.
            self.forget(node)
        else:
            self.aborted(node, now)

    def aborted(self, node: NodeKey, now: float) -> None:
        """The node says that it ended its command."""
        if (job := self._jobs.get(node)) is not None:
            self._until[job][node.name] = now + FOLLOWS

    def came(self, node: NodeKey, job: JobKey, now: float) -> None:
        """A piece of the output is there, or the result: what is left comes, or is stored."""
        self.begin(node, job, now + COMES)

    def stored(self, node: NodeKey, job: JobKey) -> None:
        """All that is ever known of the command can be read."""
        if self._jobs.get(node) == job:
            self.forget(node)

    def forget(self, node: NodeKey) -> None:
        """The node is gone, or at something else."""
        if (job := self._jobs.pop(node, None)) is not None:
            nodes = self._until[job]
            del nodes[node.name]
            if not nodes:
                del self._until[job]

    def of(self, job: JobKey) -> dict[str, float]:
        """The nodes that end a command of this job, and until when each is waited for; longer
        while its answer to an abort is still to come.
        """
        return self._until.get(job, {})
