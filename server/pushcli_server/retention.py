"""What is old, or too much, is deleted: in small pieces, beside everything else.

`core/retention.py` decides; what is decided is asked and done through the store, whose other
writers come between two pieces.
"""

import asyncio
import logging
import math
from collections import Counter

import msgspec

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
Piece = operations.DeleteOutput | operations.DeleteJobs | operations.DeleteAudit


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: jobs, their output, and lines of the audit trail by their age in seconds."""

    output: Rules
    jobs: Rules
    audit: float


class Retention:
    """Deletes what is not to be kept, of jobs that are over."""

    def __init__(self, store: Store, clock: Clock, kept: Kept) -> None:
        self._store = store
        self._clock = clock
        self._kept = kept

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            try:
                await self.delete()
            except StoreUnavailable as error:
                _log.warning("what is old must wait to be deleted: %s", error)
            await asyncio.sleep(INTERVAL)

    async def delete(self) -> None:
        """Delete all that is to go.

        Raises:
            StoreUnavailable: the database is away; what is left is deleted another time.
        """
        done: dict[tuple[str, str], None] = {}
        while (piece := await self._next()) is not None:
            await self._store.write(piece)
            match piece:
                case operations.DeleteOutput(jobs=jobs, because=because):
                    done |= {(f"output of jobs ({because})", job): None for job in jobs}
                case operations.DeleteJobs(jobs):
                    done |= {("jobs", job): None for job in jobs}
                case operations.DeleteAudit():
                    done["lines of the audit trail", ""] = None
            await asyncio.sleep(PAUSE)
        for what, count in Counter(what for what, _ in done).items():
            _log.info("deleted: %s, %d", what, count)

    async def _next(self) -> Piece | None:
        # Nothing is too old because somebody has set the clock ahead.
        now = min(self._clock.now(), self._clock.date())
        return await self._job(now) or await self._output(now) or await self._audit(now)

    async def _job(self, now: float) -> Piece | None:
        ask, rules = self._store.lists.ask, self._kept.jobs
        found = await ask(retention_reads.oldest_jobs, _JOBS + 1)
        jobs = [Ended(job, at) for job, at, _ in found[:_JOBS]]
        if not (chosen := expired(jobs, now, rules)):
            count, sizes = await ask(retention_reads.count_of_jobs), {job: 1 for job, _ in jobs}
            chosen = surplus(jobs, sizes, count, rules, are_more=len(found) > _JOBS)
        if not chosen:
            return None
        wanted = set(chosen)
        if with_output := [job for job, _, holds in found if holds and job in wanted]:
            return operations.DeleteOutput(jobs=with_output, at=now, because="job_retention")
        return operations.DeleteJobs(chosen)

    async def _output(self, now: float) -> Piece | None:
        ask, rules = self._store.lists.ask, self._kept.output
        found = await ask(retention_reads.oldest_with_output, _JOBS + 1)
        jobs = [Ended(*one) for one in found[:_JOBS]]
        if old := expired(jobs, now, rules):
            return operations.DeleteOutput(jobs=old, at=now, because="output_retention")
        stored = await ask(retention_reads.stored_output)
        if not jobs or stored <= rules.size:
            return None
        sizes = await ask(retention_reads.output_of_jobs, [job.job for job in jobs])
        much = surplus(jobs, sizes, stored, rules, are_more=len(found) > _JOBS)
        if not much:
            return None
        return operations.DeleteOutput(jobs=much, at=now, because="max_stored_output_bytes")

    async def _audit(self, now: float) -> Piece | None:
        before = now - self._kept.audit
        if before == -math.inf:
            return None
        oldest = await self._store.lists.ask(retention_reads.oldest_audit)
        return None if oldest is None or oldest >= before else operations.DeleteAudit(before=before)
