"""Output is deleted when it is old, or too much: in small pieces, beside everything else.

`core/retention.py` decides; what is decided is asked and done through the store, whose other
writers come between two pieces.
"""

import asyncio
import logging

from pushcli_server.clock import Clock
from pushcli_server.core.retention import Ended, Rules, expired, surplus
from pushcli_server.store import Store, StoreUnavailable, operations, retention_reads

INTERVAL = 60.0
"""Seconds between two looks at what there is."""
PAUSE = 0.05
"""Seconds between two pieces: votes and results come first."""
_JOBS = 50
"""That are looked at together."""
_log = logging.getLogger(__name__)


class Retention:
    """Deletes what the rules say, of jobs that are over."""

    def __init__(self, store: Store, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            try:
                await self.delete_output()
            except StoreUnavailable as error:
                _log.warning("old output must wait to be deleted: %s", error)
            await asyncio.sleep(INTERVAL)

    async def delete_output(self) -> None:
        """Delete all output that is to go.

        Raises:
            StoreUnavailable: the database is away; what is left is deleted another time.
        """
        deleted: dict[str, str] = {}
        while (piece := await self._piece()) is not None:
            await self._store.write(piece)
            deleted |= dict.fromkeys(piece.jobs, piece.because)
            await asyncio.sleep(PAUSE)
        for because in dict.fromkeys(deleted.values()):
            count = sum(1 for one in deleted.values() if one == because)
            _log.info("the output of %d jobs was deleted (%s)", count, because)

    async def _piece(self) -> operations.DeleteOutput | None:
        ask = self._store.lists.ask
        found = await ask(retention_reads.oldest_with_output, _JOBS + 1)
        jobs = [Ended(*one) for one in found[:_JOBS]]
        # Nothing is too old because somebody has set the clock ahead.
        now = min(self._clock.now(), self._clock.date())
        if old := expired(jobs, now, self._rules):
            return operations.DeleteOutput(jobs=old, at=now, because="output_retention")
        stored = await ask(retention_reads.stored_output)
        if not jobs or stored <= self._rules.size:
            return None
        sizes = await ask(retention_reads.output_of_jobs, [job.job for job in jobs])
        much = surplus(jobs, sizes, stored, self._rules, are_more=len(found) > _JOBS)
        if not much:
            return None
        return operations.DeleteOutput(jobs=much, at=now, because="max_stored_output_bytes")
