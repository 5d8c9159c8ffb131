"""Between the live state and the store: what is saved when, in the store's terms."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli import extensions, keys
from pushcli_server.clock import Clock
from pushcli_server.core.job import Grace, Job, JobSpec
from pushcli_server.core.job_events import NodeChange, RunDetail
from pushcli_server.core.node import Node
from pushcli_server.core.states import JobStatus, NodeState
from pushcli_server.feed_log import Event
from pushcli_server.store import Store, identity_reads, operations, reads
from pushcli_server.store.records import (
    AuditRecord,
    JobNodeRecord,
    JobRecord,
    LiveJob,
    NodeRecord,
)


class StoredJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the store has it, with what views need."""

    id: str
    spec: JobSpec
    status: JobStatus
    created_at: float
    updated_at: float
    has_file: bool


class KnownNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the store has it; `keys` (Z85), the newest last."""

    org: str
    name: str
    incarnation: str | None
    extensions: frozenset[str]
    configured_at: float
    keys: tuple[str, ...]


class Persistence:
    """Saves what the engine changes, reads what the hub shows."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self._clock = clock
        self._nodes: dict[tuple[str, str], NodeRecord] = {}
        self._requests: dict[str, tuple[str | None, str]] = {}

    async def barrier(self) -> None:
        """Everything saved so far is committed."""
        await self.store.barrier()

    # --- jobs

    def expect(self, job_id: str, request_id: str | None, origin: str) -> None:
        """What `save_new` is to store beside a job: the request's id, and where it came from."""
        self._requests[job_id] = (request_id, origin)

    def save_new(self, job: Job) -> int:
        """Store a job, its nodes and who started it; returns the ticket."""
        request_id, origin = self._requests.pop(job.id, (None, ""))
        record = _job_record(job, request_id)
        started = self._audit_record(job.org, job.requestor, "job start", job.id, origin)
        nodes = [(node, str(state)) for node, state in job.nodes.items()]
        return self.store.submit(
            operations.InsertJob(record, nodes, job.spec.file), operations.Audit(started)
        )

    def save_job(self, job: Job) -> int:
        """Store a job's status and deadlines; returns the ticket."""
        return self.store.submit(
            operations.UpdateJob(
                job_id=job.id,
                status=str(job.status),
                updated_at=job.updated_at,
                voting_deadline=_finite(job.voting_deadline),
                run_deadline=_finite(job.run_deadline),
            )
        )

    def save_nodes(self, job: Job, changes: Sequence[NodeChange]) -> int:
        """Store nodes' states; returns the ticket."""
        rows = [_node_change(change) for change in changes]
        return self.store.submit(operations.UpdateJobNodes(job.id, rows))

    async def job(self, org: str, job_id: str, *, include_file: bool = False) -> StoredJob | None:
        """A job, without its nodes' names."""
        record = await self.store.ask(reads.job, org, job_id)
        if record is None or not include_file:
            return None if record is None else _stored(record)
        file = await self.store.ask(reads.job_file, self.store.root, org, job_id)
        return _stored(record, file)

    async def jobs(self, org: str) -> list[StoredJob]:
        """All jobs, oldest first."""
        return [_stored(record) for record in await self.store.ask(reads.jobs, org)]

    async def job_by_request(self, org: str, requestor: str, request_id: str) -> str | None:
        """The job that a request started."""
        return await self.store.ask(reads.job_by_request, org, requestor, request_id)

    async def job_nodes(self, job_id: str) -> list[JobNodeRecord]:
        """Every node's part in a job."""
        return await self.store.ask(reads.job_nodes, job_id)

    async def load_live_jobs(self, grace: Grace) -> list[Job]:
        """The jobs that a former run of the server left."""
        live = await self.store.ask(reads.live_jobs, self.store.root)
        return [_live(found, grace) for found in live]

    # --- results

    def incoming(self, job_id: str, node: str, channel: str) -> Path:
        """The file that chunks of a channel are gathered in."""
        name = hashlib.sha256(node.encode()).hexdigest()[:32]
        return self.store.incoming(f"{job_id}.{name}.{channel}")

    def append_output(self, path: Path, offset: int, data: bytes) -> int:
        """Store a chunk; returns the ticket."""
        return self.store.submit(operations.AppendOutput(path, offset, data))

    def save_output(
        self, job_id: str, node: str, stdout: bytes | Path | None, stderr: bytes | Path | None
    ) -> int:
        """Store what a command wrote; returns the ticket."""
        return self.store.submit(
            operations.StoreOutput(job_id=job_id, node=node, stdout=stdout, stderr=stderr)
        )

    def save_late_result(self, job_id: str, node: str, succeeded: bool, detail: RunDetail) -> int:
        """Store a result that came too late, beside the state that stays; returns the ticket."""
        text = json.dumps({"succeeded": succeeded, **msgspec.structs.asdict(detail)})
        return self.store.submit(operations.LateResult(job_id, node, text))

    async def node_in_job(self, org: str, job_id: str, node: str) -> tuple[NodeState, bool] | None:
        """A node's state in a stored job, and whether the job captures; None: no part in it."""
        job = await self.store.ask(reads.job, org, job_id)
        part = None if job is None else await self.store.ask(reads.job_node, job_id, node)
        if job is None or part is None:
            return None
        return NodeState(part.state), job.capture

    async def output(self, job_id: str, node: str, channel: str) -> bytes | None:
        """What a node's command wrote."""
        return await self.store.ask(reads.output, self.store.root, job_id, node, channel)

    # --- feeds

    def save_event(self, feed: str, event: Event) -> int:
        """Store an event of a feed; returns the ticket."""
        return self.store.submit(operations.AppendEvent(feed, *event))

    def drop_events(self, feed: str, before: int | None) -> int:
        """Forget events of a feed; returns the ticket."""
        return self.store.submit(operations.DropEvents(feed, before))

    async def load_feeds(self) -> dict[str, list[Event]]:
        """The feeds that a former run of the server left."""
        feeds: dict[str, list[Event]] = {}
        for feed, number, microseconds, data in await self.store.ask(reads.feed_events):
            feeds.setdefault(feed, []).append(Event(number, microseconds, data))
        return feeds

    # --- nodes

    async def load_nodes(self) -> list[KnownNode]:
        """All nodes of all organizations."""
        records = await self.store.ask(reads.nodes)
        clients = await self.store.ask(identity_reads.all_clients)
        # Whose client was deleted just before a crash may have a key left.
        records = [
            record
            if (record.org, record.name) in clients
            else msgspec.structs.replace(record, curve_key=None, previous_curve_key=None)
            for record in records
        ]
        self._nodes = {(record.org, record.name): record for record in records}
        return [_known(record) for record in records]

    async def nodes(self, org: str) -> list[NodeRecord]:
        """The nodes of an organization."""
        return await self.store.ask(reads.nodes, org)

    async def client_has_key(self, org: str, name: str, key: RSAPublicKey) -> bool:
        """Whether there is a client of this name, and this is a key of it."""
        found = await self.store.ask(identity_reads.valid_keys, "client", org, name)
        return any(keys.load_public_key(pem) == key for pem in found)

    def configured_at(self, org: str, name: str) -> float:
        """When the last accepted config request was signed; 0 if there was none."""
        record = self._nodes.get((org, name))
        return 0.0 if record is None else record.configured_at

    def save_configuration(self, node: Node, key: str, current: str | None, at: float) -> int:
        """Store a node's key, the one before it, and what it offers; returns the ticket."""
        record = self._node_record(node)
        previous = record.previous_curve_key if key == current else current
        return self._save_node(
            msgspec.structs.replace(
                record,
                curve_key=key,
                previous_curve_key=previous,
                configured_at=at,
                extensions=extensions.render(node.extensions),
            )
        )

    def save_incarnation(self, node: Node) -> int:
        """Store a node's incarnation; returns the ticket."""
        record = self._node_record(node)
        return self._save_node(msgspec.structs.replace(record, incarnation=node.incarnation))

    def forget_channel(self, org: str, name: str) -> None:
        """A node's keys of the command channel are not stored again."""
        record = self._nodes.get((org, name))
        if record is not None:
            self._save_node(
                msgspec.structs.replace(record, curve_key=None, previous_curve_key=None)
            )

    def _node_record(self, node: Node) -> NodeRecord:
        key = (node.org, node.name)
        if key not in self._nodes:
            now = self._clock.now()
            self._nodes[key] = NodeRecord(org=node.org, name=node.name, created_at=now)
        return self._nodes[key]

    def _save_node(self, record: NodeRecord) -> int:
        self._nodes[(record.org, record.name)] = record
        return self.store.submit(operations.SaveNode(record))

    # --- the audit trail

    def audit(self, org: str, actor: str, action: str, target: str, origin: str) -> int:
        """Store who did what, from where; returns the ticket."""
        record = self._audit_record(org, actor, action, target, origin)
        return self.store.submit(operations.Audit(record))

    def _audit_record(
        self, org: str, actor: str, action: str, target: str, origin: str
    ) -> AuditRecord:
        return AuditRecord(
            at=self._clock.now(), org=org, actor=actor, action=action, target=target, origin=origin
        )


def _job_record(job: Job, request_id: str | None) -> JobRecord:
    spec = job.spec
    return JobRecord(
        id=job.id,
        org=job.org,
        command=spec.command,
        status=str(job.status),
        quorum=spec.quorum,
        run_timeout=spec.run_timeout,
        user=spec.user,
        dir=spec.dir,
        env=None if spec.env is None else json.dumps(spec.env),
        capture=spec.capture,
        requestor=job.requestor,
        request_id=request_id,
        created_at=job.created_at,
        updated_at=job.updated_at,
        voting_deadline=_finite(job.voting_deadline),
        run_deadline=_finite(job.run_deadline),
    )


def _spec(record: JobRecord, file: str | None, nodes: tuple[str, ...] = ()) -> JobSpec:
    return JobSpec(
        command=record.command,
        nodes=nodes,
        quorum=record.quorum,
        run_timeout=record.run_timeout,
        user=record.user,
        dir=record.dir,
        env=None if record.env is None else json.loads(record.env),
        file=file,
        capture=record.capture,
    )


def _stored(record: JobRecord, file: str | None = None) -> StoredJob:
    return StoredJob(
        id=record.id,
        spec=_spec(record, file),
        status=JobStatus(record.status),
        created_at=record.created_at,
        updated_at=record.updated_at,
        has_file=record.file_digest is not None,
    )


def _live(live: LiveJob, grace: Grace) -> Job:
    record, nodes = live.job, live.nodes
    return Job(
        id=record.id,
        org=record.org,
        spec=_spec(record, live.file, tuple(node.node for node in nodes)),
        requestor=record.requestor,
        created_at=record.created_at,
        updated_at=record.updated_at,
        grace=grace,
        status=JobStatus(record.status),
        voting_deadline=_or_never(record.voting_deadline),
        run_deadline=_or_never(record.run_deadline),
        nodes={node.node: NodeState(node.state) for node in nodes},
    )


def _known(record: NodeRecord) -> KnownNode:
    curve_keys = (record.previous_curve_key, record.curve_key)
    return KnownNode(
        org=record.org,
        name=record.name,
        incarnation=record.incarnation,
        extensions=extensions.parse(record.extensions),
        configured_at=record.configured_at,
        keys=tuple(key for key in curve_keys if key),
    )


def _node_change(change: NodeChange) -> operations.NodeChange:
    detail = change.detail or RunDetail()
    return operations.NodeChange(
        node=change.node,
        state=str(change.state),
        reason=change.reason,
        exit_code=detail.exit_code,
        signal=detail.signal,
        started_at=detail.started_at,
        ended_at=detail.ended_at,
    )


def _finite(deadline: float) -> float | None:
    return None if math.isinf(deadline) else deadline


def _or_never(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline
