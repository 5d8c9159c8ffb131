"""Jobs of the original server into the store, each with its nodes and output, or not at all.

What is there already stays as it is: a repeat adds what is missing, and so an import that broke
off goes on.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from pushcli.errors import StoreError
from pushcli.protocol import names
from pushcli_server import settings
from pushcli_server.importing.original_job import LeftOut, Taken, taken
from pushcli_server.importing.running import Asking, whole, without_server
from pushcli_server.importing.source import (
    Captured,
    Named,
    Output,
    Passing,
    Read,
    Source,
    Unreadable,
)
from pushcli_server.importing.tally import Tally
from pushcli_server.retention import kept_by
from pushcli_server.settings import Settings
from pushcli_server.store import (
    CannotApply,
    CannotStore,
    Store,
    identity_reads,
    operations,
    retention,
)
from pushcli_server.store.weights import weight_of

_IN_MEMORY = 8 * 1024 * 1024
"""Bytes of a job's output; what is beyond goes through files."""
_TOGETHER = 250
"""Jobs, and bytes, in one transaction; as many are read meanwhile."""
_BYTES = 16 * 1024 * 1024
_LONGEST = 1.0
"""Seconds of reading after which what there is by then is written."""
Progress = Callable[[int, int], None]
"""Is told how many jobs of how many were looked at."""


class Found(msgspec.Struct, kw_only=True):
    """What an import did, or would do.

    Args:
        jobs: taken over; `there` were so before, `left_out` cannot be.
        nodes: their parts in these jobs.
        captured: jobs whose output was asked for.
        outputs: of nodes; known once they are taken over.
        expired: jobs that `job_retention` deletes as soon as the server runs.
    """

    jobs: int = 0
    there: int = 0
    left_out: int = 0
    nodes: int = 0
    captured: int = 0
    outputs: int = 0
    output_bytes: int = 0
    expired: int = 0
    organizations: set[str] = msgspec.field(default_factory=set)
    tally: Tally = msgspec.field(default_factory=Tally)

    def leave_out(self, why: str, job_id: str) -> None:
        """One job is not taken over."""
        self.left_out += 1
        self.tally.add("left out", "jobs", why, job_id)


class _Job(NamedTuple):
    taken: Taken
    remarks: Sequence[str]
    changes: tuple[operations.Operation, ...] = ()
    outputs: int = 0
    output_bytes: int = 0
    weight: int = 0


_Looked = tuple[str, _Job | LeftOut | Unreadable]
"""A job's id, and what is written of it, or why it is not."""


def require_stopped(directory: Path, *, asks_old: bool) -> None:
    """Nobody else may write.

    Args:
        asks_old: the old server, which has to run; it may have the same port.

    Raises:
        StartError: the server runs.
        ConfigError: there is no server, or its settings are wrong.
    """
    without_server(settings.load(directory), _hint(asks_old=asks_old)).close()


def survey(
    directory: Path, source: Source, organizations: Mapping[str, str], progress: Progress
) -> Found:
    """What would be taken over; the server may be running.

    Args:
        organizations: our names of those that the source names otherwise.

    Raises:
        ConfigError: there is no server, or its settings are wrong.
        StoreError: its database cannot be used.
        PushcliError: the source cannot be read.
    """
    config = settings.load(directory)

    async def look() -> Found:
        store = Store.open(config.database(directory), directory / "blobs")
        try:
            with closing(Asking()) as ask:
                made = _Import(store, config, source, organizations, progress, ask, write=False)
                return await made.run(*await ask(source.jobs))
        finally:
            await store.close()

    return whole(look)


def bring_in(
    directory: Path, source: Source, organizations: Mapping[str, str], progress: Progress
) -> Found:
    """Take it over.

    Args, Raises: as `survey`.

    Raises:
        StartError: the server runs.
    """
    config = settings.load(directory)

    async def write() -> Found:
        store = Store.open(config.database(directory), directory / "blobs")
        try:
            await store.start_alone()
            with closing(Asking()) as ask:
                made = _Import(store, config, source, organizations, progress, ask, write=True)
                return await made.run(of, batches)
        finally:
            await store.close()

    # Before the port is held: a proxy may lead there, and nobody answers while it is.
    of, batches = source.jobs()
    with without_server(config):
        return whole(write)


def _hint(*, asks_old: bool) -> str:
    """What may be meant by a server that runs."""
    return (
        "; if it is the old one, set another api_port in server.toml meanwhile" if asks_old else ""
    )


class _Import:
    def __init__(
        self, store: Store, config: Settings, source: Source, organizations: Mapping[str, str],
        progress: Progress, ask: Asking, *, write: bool,
    ) -> None:  # fmt: skip
        self._store = store
        self._config = config
        self._source = source
        self._names = organizations
        self._progress = progress
        self._ask = ask
        self._write = write
        self._now = time.time()
        self._found = Found()
        self._there: dict[str, bool] = {}
        """Organizations, and whether our store has them."""
        self._writing: list[tuple[_Job, asyncio.Future[None]]] = []

    async def run(self, of: int, batches: Iterator[Sequence[Named]]) -> Found:
        """What was found.

        Args:
            of: how many jobs there are, which `batches` name.
        """
        looked_at = 0
        while (batch := await self._ask(next, batches, None)) is not None:
            # Else what is being written would be new, should it be named again.
            await self._settle()
            orgs = await self._placed(await self._new(batch))
            reads = self._source.read(list(orgs), outputs=self._write)
            left = len(orgs)
            while some := await self._ask(self._some, reads, orgs):
                await self._settle()
                self._begin(some)
                left -= len(some)
                self._progress(looked_at + len(batch) - left, of)
            looked_at += len(batch)
            self._progress(looked_at, of)
        await self._settle()
        return self._found

    async def _new(self, batch: Sequence[Named]) -> list[Named]:
        """Those that are not there, and may be ours."""
        for named in batch:
            if not names.is_job_id(named.job_id):
                self._found.leave_out("the id is not 32 hex digits", named.job_id)
        valid = [named for named in batch if names.is_job_id(named.job_id)]
        ids = [named.job_id for named in valid]
        there = await self._store.lists.ask(retention.existing_jobs, ids)
        self._found.there += len(there)
        return [named for named in valid if named.job_id not in there]

    async def _placed(self, new: Sequence[Named]) -> dict[str, str]:
        """Our organizations of those that belong to one; each job once."""
        found: dict[str, str] = {}
        for named in new:
            try:
                found[named.job_id] = await self._organization(named.org)
            except LeftOut as error:
                self._found.leave_out(str(error), named.job_id)
        return found

    def _some(self, reads: Iterator[Read], orgs: Mapping[str, str]) -> list[_Looked]:
        """As many as are written together; none: there are no more."""
        found: list[_Looked] = []
        weight, began = 0, time.monotonic()
        for read in reads:
            try:
                made = self._made(read, orgs[read.job_id])
            except (LeftOut, Unreadable) as error:
                found.append((read.job_id, error))
            else:
                found.append((read.job_id, made))
                weight += made.weight
            if len(found) == _TOGETHER or weight >= _BYTES or time.monotonic() - began > _LONGEST:
                break
        return found

    def _begin(self, some: Sequence[_Looked]) -> None:
        """Have them written, or counted; what comes next is read meanwhile."""
        for job_id, made in some:
            if not isinstance(made, _Job):
                self._found.leave_out(str(made), job_id)
            elif self._write:
                self._writing.append((made, self._store.begin(*made.changes)))
            else:
                self._count(made)

    async def _settle(self) -> None:
        """Wait for what is being written."""
        writing, self._writing = self._writing, []
        for job, answer in writing:
            try:
                await self._store.answered(answer)
            except (CannotApply, CannotStore) as error:
                why = f"our database cannot hold it: {error}"
                self._found.leave_out(why, job.taken.record.id)
            else:
                self._count(job)

    def _count(self, job: _Job) -> None:
        found, record = self._found, job.taken.record
        found.jobs += 1
        found.nodes += len(job.taken.parts)
        found.captured += record.capture
        found.outputs += job.outputs
        found.output_bytes += job.output_bytes
        found.organizations.add(record.org)
        found.expired += record.updated_at <= self._now - kept_by(self._config).jobs.age
        for why in dict.fromkeys(job.remarks):
            found.tally.add("changed", "jobs", why, record.id)
        for why in job.taken.left_out:
            found.tally.add("left out", "nodes of jobs", why, record.id)

    async def _organization(self, said: str) -> str:
        org = self._names.get(said)
        if org is None:
            raise LeftOut(
                f"the name of its organization {said} is not known: give --organization {said}=NAME"
            )
        if org not in self._there:
            self._there[org] = await self._store.ask(identity_reads.organization_exists, org)
        if self._there[org]:
            return org
        if self._config.identity != "chef":
            raise LeftOut(f"there is no organization {org} on this server: make it first")
        if self._write:
            # As where it is met for the first time: it is on the Chef Infra Server.
            await self._store.write(operations.CreateOrganization(org))
            self._there[org] = True
        return org

    def _made(self, read: Read, org: str) -> _Job:
        """What is written of a job."""
        if isinstance(read.job, Unreadable):
            raise read.job
        made = taken(read.job, org, self._now)
        if not self._write:
            return _Job(made, made.remarks)
        outputs = _Outputs(self._store, made, self._config.max_job_output_bytes)
        try:
            for output in read.outputs:
                outputs.add(output)
        except Passing:
            raise
        except Unreadable as error:
            outputs.remarks.append(f"its output, or a part of it, cannot be read: {error}")
        except OSError as error:
            raise StoreError(
                f"cannot write to {self._store.root}: {error.strerror}", "make room for output"
            ) from error
        changes = [
            operations.NodeChange(node=part.node, state=part.state, reason=part.reason)
            for part in made.parts
            if part.reason is not None
        ]
        insert = operations.InsertJob(
            made.record, [(part.node, part.state) for part in made.parts], made.file
        )
        update = (operations.UpdateJobNodes(read.job_id, changes),) if changes else ()
        return _Job(
            made, [*made.remarks, *outputs.remarks], (insert, *update, *outputs.changes),
            outputs=len(outputs.changes), output_bytes=outputs.size,
            weight=weight_of((insert, *update, *outputs.changes)),
        )  # fmt: skip


class _Outputs:
    """A job's output as what is written of it."""

    def __init__(self, store: Store, made: Taken, most: int) -> None:
        self.changes: list[operations.StoreOutput] = []
        self.remarks: list[str] = []
        self.size = 0
        self._store = store
        self._job_id = made.record.id
        self._nodes = {part.node for part in made.parts}
        self._most = most
        self._in_memory = 0

    def add(self, output: Output) -> None:
        """What a node's command wrote."""
        if output.node not in self._nodes:
            self.remarks.append("output of a node that the job does not have: left out")
            return
        stdout, stdout_dropped = self._content(output.stdout, "stdout")
        stderr, stderr_dropped = self._content(output.stderr, "stderr")
        self.changes.append(
            operations.StoreOutput(
                job_id=self._job_id, node=output.node,
                stdout=stdout, stderr=stderr,
                stdout_dropped=stdout_dropped, stderr_dropped=stderr_dropped,
                stdout_size=output.stdout.size - stdout_dropped,
                stderr_size=output.stderr.size - stderr_dropped,
                stdout_cut_at=output.stdout.size - stdout_dropped if stdout_dropped else None,
                stderr_cut_at=output.stderr.size - stderr_dropped if stderr_dropped else None,
            )
        )  # fmt: skip

    def _content(self, channel: Captured, name: str) -> tuple[bytes | Path, int]:
        """What is kept, and how many bytes of the end are not."""
        data = channel.data[: max(self._most - self.size, 0)]
        self.size += len(data)
        dropped = channel.size - len(data)
        if dropped:
            self.remarks.append("output is cut: there is too much of it")
        if self._in_memory + len(data) <= _IN_MEMORY:
            self._in_memory += len(data)
            return data, dropped
        path = self._store.incoming(f"{self._job_id}.import{len(self.changes)}.{name}")
        path.write_bytes(data)
        return path, dropped
