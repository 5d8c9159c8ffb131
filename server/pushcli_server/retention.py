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
from pushcli_server.core.retention import DAY, Ended, Rules, expired, is_plausible, surplus
from pushcli_server.settings import Settings, seconds_kept
from pushcli_server.store import Store, StoreUnavailable, operations, retention_reads

INTERVAL = 60.0
"""Seconds between two looks at what there is."""
PAUSE = 0.05
"""Seconds between two pieces: votes and results come first."""
_JOBS = 50
"""That are looked at together."""
DOUBTFUL = (
    "nothing is deleted for its age until the server has run for a day: the records that are a day "
    "old end %.0f days before this machine's clock. If the clock is right, stop the server and run "
    "`pushcli server prune -y` to delete now"
)
_log = logging.getLogger(__name__)
Piece = operations.DeleteOutput | operations.DeleteJobs | operations.DeleteAudit


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: jobs, their output, and lines of the audit trail by their age in seconds."""

    output: Rules
    jobs: Rules
    audit: float

    def without_age(self) -> "Kept":
        """The same, but that nothing is too old."""
        return Kept(output=self.output.without_age(), jobs=self.jobs.without_age(), audit=math.inf)


def kept_by(settings: Settings) -> Kept:
    """What the settings say about how long things are kept."""
    return Kept(
        output=Rules(seconds_kept(settings.output_retention), settings.max_stored_output_bytes),
        jobs=Rules(seconds_kept(settings.job_retention), settings.max_stored_jobs),
        audit=seconds_kept(settings.audit_retention),
    )


class Retention:
    """Deletes what is not to be kept, of jobs that are over.

    Args:
        trusted: whether ages are told by this clock whatever the records say of it.
    """

    def __init__(self, store: Store, clock: Clock, kept: Kept, *, trusted: bool = False) -> None:
        self._store = store
        self._clock = clock
        self._kept = kept
        self._started = clock.now()
        self._trusted = trusted
        self._told = False

    async def run(self) -> None:
        """Look now and then, for ever."""
        is_cleared = False
        while True:
            try:
                if not is_cleared:
                    await self._store.clear_leftovers()
                    is_cleared = True
                await self.delete()
            except StoreUnavailable as error:
                _log.warning("what is old must wait to be deleted: %s", error)
            await asyncio.sleep(INTERVAL)

    async def delete(self) -> None:
        """Delete all that is to go.

        Raises:
            StoreUnavailable: the database is away; what is left is deleted another time.
        """
        kept = await self._in_force()
        done: dict[tuple[str, str], None] = {}
        while (piece := await self._next(kept)) is not None:
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

    async def _in_force(self) -> Kept:
        """What is kept now: whatever its age while the clock may be far ahead."""
        if not self._trusted:
            now, ran = self._date(), self._clock.now() - self._started
            written = await self._store.lists.ask(retention_reads.newest_before, now - DAY)
            self._trusted = is_plausible(now, written, ran)
            if not self._trusted and not self._told:
                # What was imported waits that day, too, but says nothing of this clock.
                own = await self._store.lists.ask(retention_reads.newest_own_before, now - DAY)
                if own is not None and not is_plausible(now, own, ran):
                    self._told = True
                    _log.warning(DOUBTFUL, (now - own) / DAY)
        return self._kept if self._trusted else self._kept.without_age()

    def _date(self) -> float:
        """Nothing is too old because somebody has set the clock ahead meanwhile."""
        return min(self._clock.now(), self._clock.date())

    async def _next(self, kept: Kept) -> Piece | None:
        now = self._date()
        return (
            await self._job(now, kept.jobs)
            or await self._output(now, kept.output)
            or await self._audit(now - kept.audit)
        )

    async def _job(self, now: float, rules: Rules) -> Piece | None:
        ask = self._store.lists.ask
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

    async def _output(self, now: float, rules: Rules) -> Piece | None:
        ask = self._store.lists.ask
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

    async def _audit(self, before: float) -> Piece | None:
        if before == -math.inf:
            return None
        oldest = await self._store.lists.ask(retention_reads.oldest_audit)
        return None if oldest is None or oldest >= before else operations.DeleteAudit(before=before)
