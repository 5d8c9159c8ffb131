"""What commands write, for whoever follows a job: from the files that it is gathered in, and
from where it is kept once a node's part is over.
"""

import asyncio
import secrets

from pushcli_server.clock import Clock
from pushcli_server.core.fleet_events import ShowOutput
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import JobKey
from pushcli_server.core.output import CHANNELS
from pushcli_server.output_log import OutputLog, Part
from pushcli_server.persistence import gathered_in
from pushcli_server.store import Store, output_reads, reads
from pushcli_server.store.blobs import read_piece

_KEPT = "kept"
"""Ids of what is not live any more are the same in each run of the server."""


class OutputFeeds:
    """The logs of the live jobs that somebody follows, or did."""

    def __init__(self, clock: Clock, fleet: Fleet, store: Store) -> None:
        self._clock = clock
        self._fleet = fleet
        self._store = store
        self._logs: dict[JobKey, OutputLog] = {}

    def show(self, effect: ShowOutput) -> None:
        """Readers may read on, if there are any."""
        if (log := self._logs.get(effect.job)) is not None:
            for channel, size in effect.sizes.items():
                log.grow((effect.node, channel), size)

    def close(self, key: JobKey) -> None:
        """The job is over, and all that is known of its output is stored."""
        self._logs.pop(key, None)

    async def open(self, key: JobKey) -> OutputLog | None:
        """The log of a job, with all that there is by now; None: no such job, or no output."""
        record = await self._store.ask(reads.job, *key)
        if record is None or not (record.capture or record.default_capture):
            return None
        if self._fleet.job(key) is None:
            log = OutputLog(_KEPT)
            await self.refresh(key, log)
        elif key in self._logs:
            log = self._logs[key]
        else:
            log = self._logs[key] = OutputLog(secrets.token_hex(4))
            await self.refresh(key, log)
            self._add_gathered(key, log)
        return log

    async def refresh(self, key: JobKey, log: OutputLog) -> None:
        """Have in the log what is stored of nodes whose part is over."""
        found = await self._store.lists.ask(output_reads.output_sizes, *key)
        for node, *sizes in found:
            for channel, size in zip(CHANNELS, sizes, strict=True):
                if size and size > log.size((node, channel)):
                    log.grow((node, channel), size)

    def _add_gathered(self, key: JobKey, log: OutputLog) -> None:
        job = self._fleet.jobs.get(key)
        for node, held in job.held.items() if job is not None else ():
            for channel, gathering in held.items():
                if gathering.kept > log.size((node, channel)):
                    log.grow((node, channel), gathering.kept)

    def is_over(self, key: JobKey, log: OutputLog) -> bool:
        """Whether no more output of a job is to be expected in this log of it."""
        if key in self._fleet.jobs:
            return False
        return log.prefix == _KEPT or self._fleet.is_settled(key, self._clock.now())

    async def read(self, key: JobKey, part: Part, offset: int, limit: int) -> bytes:
        """At most `limit` bytes of a part; nothing where nothing more is to be had now.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        if key in self._fleet.jobs or self._fleet.late:
            path = gathered_in(self._store.incoming, key, *part)
            try:
                data = await asyncio.to_thread(read_piece, path, offset, limit)
            except OSError:
                data = b""
            if data:
                return data
        # Its file was taken over: what is there waits for the commit of that.
        ask = self._store.lists.ask_of_files
        return await ask(output_reads.output_piece, self._store.root, *key, part, offset, limit)
