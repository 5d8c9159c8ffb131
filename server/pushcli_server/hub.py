"""What REST asks of the running server: jobs, nodes, configurations.

Every answer waits for the commit that it rests on: nobody is told what a power cut could
still undo.
"""

import asyncio
import contextlib
import secrets as random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli import extensions, session_keys, wire
from pushcli_server.channel.admissions import Admission, Admissions
from pushcli_server.channel.broker import MAX_MESSAGE_SKEW
from pushcli_server.checks import Checks
from pushcli_server.core import job_events as on_job
from pushcli_server.core import node as node_core
from pushcli_server.core.job import Job, JobSpec
from pushcli_server.core.node import Node, Phase
from pushcli_server.core.states import NodeState
from pushcli_server.engine import Engine, NodeKey
from pushcli_server.facts import Facts
from pushcli_server.persistence import Persistence
from pushcli_server.secrets import Secrets
from pushcli_server.settings import Settings
from pushcli_server.store.records import JobNodeRecord
from pushcli_server.views import job_summary, job_with_nodes, out_of_contact
from pushcli_server.whitelists import Summary, Whitelists

VOTE_HOLD = 0.2
"""Seconds for which a POST waits for the vote: what can be over at once, is."""


class StaleConfigRequest(Exception):
    """A replayed or overtaken request for a configuration."""


class ClientDeleted(Exception):
    """The client that asks for its configuration was deleted meanwhile."""


class Hub:
    """The running server, as REST sees it.

    Attributes:
        secrets: gives those of the server that agents are to be told, once it serves any.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        persistence: Persistence,
        admissions: Admissions,
        *,
        whitelists: Whitelists,
        checks: Checks,
        facts: Facts,
        incarnation_id: str,
    ) -> None:
        self.incarnation_id = incarnation_id
        self.engine = engine
        self.whitelists = whitelists
        self.checks = checks
        self._facts = facts
        self.report: Callable[[], str] = str
        self.secrets: Callable[[], Secrets]
        self._settings = settings
        self._persistence = persistence
        self._admissions = admissions
        self._expelled: Counter[NodeKey] = Counter()
        self._asking: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )

    # --- jobs

    async def start_job(
        self, org: str, spec: JobSpec, *, requestor: str, origin: str, request_id: str | None
    ) -> str:
        """Start a job; the same request of the same user gives the first one's id.

        Returns:
            The job's id, once the job is stored; held for up to 200 ms while votes are out.
        """
        if request_id is None:
            job = self._begin(org, spec, requestor, origin, None)
        else:
            lock = self._asking.setdefault((org, requestor, request_id), asyncio.Lock())
            # A repeat that comes while the first is being asked about must find it submitted.
            async with lock:
                known = await self._persistence.job_by_request(org, requestor, request_id)
                if known is not None:
                    return known
                job = self._begin(org, spec, requestor, origin, request_id)
        await self._persistence.barrier()
        await self._vote_over(job)
        return job.id

    def _begin(
        self, org: str, spec: JobSpec, requestor: str, origin: str, request_id: str | None
    ) -> Job:
        now = self.engine.clock.now()
        job = Job(
            id=uuid.uuid4().hex,
            org=org,
            spec=spec,
            requestor=requestor,
            created_at=now,
            updated_at=now,
            grace=self.engine.grace,
        )
        self._persistence.expect(job.id, request_id, origin)
        self.engine.begin(job)
        self.engine.tell_job(job, on_job.Started(self._unavailable(org, spec.nodes, now)))
        return job

    async def abort_job(self, org: str, job_id: str, *, requestor: str, origin: str) -> str | None:
        """End a job and reset its nodes.

        Returns:
            The job's status afterwards: one that was over stays what it was. None: no such job.
        """
        job = self.engine.fleet.jobs.get(job_id)
        if job is not None and job.org == org:
            self.engine.tell_job(job, on_job.AbortRequested(requestor))
            self._persistence.audit(org, requestor, "job abort", job_id, origin)
            await self._persistence.barrier()
            return str(job.status)
        stored = await self._persistence.job(org, job_id)
        return None if stored is None else str(stored.status)

    async def job(
        self, org: str, job_id: str, *, include_file: bool = False
    ) -> dict[str, Any] | None:
        """The body of `GET jobs/ID`, or None."""
        job = self._in_memory(org, job_id)
        if job is not None:
            view = job_with_nodes(job, job.nodes, include_file=include_file)
            await self._persistence.barrier()
            return view
        stored = await self._persistence.job(org, job_id, include_file=include_file)
        if stored is None:
            return None
        nodes = await self._persistence.job_nodes(job_id)
        states = {node.node: NodeState(node.state) for node in nodes}
        return job_with_nodes(stored, states, include_file=include_file)

    async def jobs(self, org: str) -> list[dict[str, Any]]:
        """The body of `GET jobs`: all of them, oldest first, without their nodes."""
        return [job_summary(job) for job in await self._persistence.jobs(org)]

    async def job_nodes(self, org: str, job_id: str) -> list[dict[str, Any]] | None:
        """Each node's part in a job, in the order of the request; None: no such job."""
        if await self._persistence.job(org, job_id) is None:
            return None
        job = self.engine.fleet.jobs.get(job_id)
        nodes = await self._persistence.job_nodes(job_id)
        return [_node_view(node, job) for node in nodes]

    async def output(self, org: str, job_id: str, node: str, channel: str) -> bytes | None:
        """What a node's command wrote; None: nothing was captured, or no such job."""
        if await self._persistence.job(org, job_id) is None:
            return None
        return await self._persistence.output(job_id, node, channel)

    def _in_memory(self, org: str, job_id: str) -> Job | None:
        fleet = self.engine.fleet
        job = fleet.jobs.get(job_id) or fleet.ended.get(job_id)
        return job if job is not None and job.org == org else None

    def _unavailable(self, org: str, names: tuple[str, ...], now: float) -> dict[str, str]:
        reasons = {}
        for name in names:
            node = self.engine.fleet.nodes.get((org, name))
            if node is None:
                reasons[name] = "unknown: it never connected"
            elif not node.available(now):
                reasons[name] = node.why_unavailable(now)
        return reasons

    async def _vote_over(self, job: Job) -> None:
        """Wait a little for the vote: what can be over at once is over for the next GET too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VOTE_HOLD):
                await self.engine.vote_over(job)
        await self._persistence.barrier()

    # --- nodes

    async def node_states(self, org: str) -> list[dict[str, str]]:
        """The body of `GET node_states`: all enrolled nodes, by name."""
        names = {node.name for node in await self._persistence.nodes(org)}
        names |= {name for node_org, name in self.engine.fleet.nodes if node_org == org}
        return [self._node_state(org, name) for name in sorted(names)]

    async def node_state(self, org: str, name: str) -> dict[str, str]:
        """The body of `GET node_states/NODE`; an unknown node is offline."""
        return self._node_state(org, name)

    def nodes_changed(self, org: str, names: Sequence[str]) -> None:
        """Attributes of these nodes were changed: their agents are to hear of it."""
        self.whitelists.changed(org, names)
        for name in names:
            self._facts.forget(org, name)

    async def node_status(self, org: str, name: str | None = None) -> list[dict[str, Any]]:
        """What is known of all enrolled nodes, by name, or of one; more than their states."""
        states = await self.node_states(org) if name is None else [self._node_state(org, name)]
        reports = await self.whitelists.summaries(org, [state["node_name"] for state in states])
        now = self.engine.clock.now()
        return [self._status(org, state, reports.get(state["node_name"]), now) for state in states]

    def _status(
        self, org: str, state: dict[str, str], report: Summary | None, now: float
    ) -> dict[str, Any]:
        key = (org, state["node_name"])
        status: dict[str, Any] = {**state, "jobs": sorted(self.engine.fleet.busy.get(key, ()))}
        if state["availability"] != "available":
            node = self.engine.fleet.nodes.get(key)
            reason = "unknown: it never connected" if node is None else node.why_unavailable(now)
            status["reason"] = reason
        status["whitelist"] = report
        return status

    def _node_state(self, org: str, name: str) -> dict[str, str]:
        node = self.engine.fleet.nodes.get((org, name))
        online = node is not None and node.phase is not Phase.OFFLINE
        available = node is not None and node.available(self.engine.clock.now())
        return {
            "node_name": name,
            "status": "online" if online else "offline",
            "availability": "available" if available else "unavailable",
        }

    async def configure(
        self,
        org: str,
        node: str,
        *,
        curve_key: str,
        by_client: bool,
        requestor_key: RSAPublicKey,
        signed_at: float,
        extensions: frozenset[str] | None,
        adopts: tuple[str, ...],
    ) -> dict[str, Any]:
        """What an agent needs to connect (Push Jobs protocol, section 4).

        Args:
            curve_key: the agent's, Z85; admitted only for the node's own client.
            signed_at: the request's signed time, seconds since the epoch.
            extensions: what the agent offers; None for an old one.
            adopts: jobs that a restarted agent still has.

        Raises:
            StaleConfigRequest: a newer one was accepted, or one with another key in the
                same second.
            ClientDeleted: the node's client is not there any more.
        """
        common = self._offered(extensions)
        if by_client:
            await self._admit(
                org, node, requestor_key, curve_key, signed_at, common, frozenset(adopts)
            )
        own = self.secrets()
        # A user may look, but a key that works would let any reader pose as the node.
        session_key = own.session_key(org, node) if by_client else random.token_bytes(32)
        answer = self._configuration(org, node, own)
        answer["encoded_session_key"] = session_keys.encrypt(session_key, requestor_key)
        if extensions is not None:
            answer["extensions"] = sorted(common)
        return answer

    def _offered(self, theirs: frozenset[str] | None) -> frozenset[str]:
        return extensions.ALL & (theirs or frozenset())

    async def _admit(
        self,
        org: str,
        name: str,
        requestor_key: RSAPublicKey,
        curve_key: str,
        signed_at: float,
        offered: frozenset[str],
        adopts: frozenset[str],
    ) -> None:
        before = await self._registered(org, name, requestor_key)
        node = self.engine.node(org, name)
        current = self._admissions.current(org, name)
        last = self._persistence.configured_at(org, name)
        if signed_at < last or (signed_at == last and curve_key != current):
            raise StaleConfigRequest
        self.engine.tell_node(node, node_core.Configured(curve_key != current, offered, adopts))
        self._persistence.save_configuration(node, curve_key, current, signed_at)
        await self._persistence.barrier()
        if self._expelled[(org, name)] != before:
            raise ClientDeleted
        self._admissions.admit(
            curve_key,
            Admission(org, name, self.engine.clock.now() + self._settings.lifetime),
        )

    async def _registered(self, org: str, name: str, key: RSAPublicKey) -> int:
        """How often clients of this name were deleted, at a moment when there is one with
        this key.
        """
        while True:
            before = self._expelled[(org, name)]
            if not await self._persistence.client_has_key(org, name, key):
                raise ClientDeleted
            if self._expelled[(org, name)] == before:
                return before

    def drop_client(self, org: str, name: str) -> None:
        """A client was deleted: its node's connection counts no more, and none is admitted.

        ZeroMQ closes no single connection of a ROUTER; what comes on it is dropped unread.
        """
        self._expelled[(org, name)] += 1
        self._admissions.forget(org, name)
        self._persistence.forget_channel(org, name)
        self.engine.expel(org, name)

    def _configuration(self, org: str, node: str, own: Secrets) -> dict[str, Any]:
        s = self._settings
        return {
            "type": "config",
            "host": s.server_name,
            "node": node,
            "organization": org,
            "push_jobs": {
                "heartbeat": {
                    "out_addr": f"tcp://{s.server_name}:{s.server_heartbeat_port}",
                    "command_addr": f"tcp://{s.server_name}:{s.command_port}",
                    "interval": s.heartbeat_interval / 1000,
                    "offline_threshold": s.offline_threshold,
                    "online_threshold": s.online_threshold,
                }
            },
            "public_key": own.public_pem,
            "curve_public_key": own.curve_public.decode(),
            "lifetime": s.lifetime,
            "max_message_skew": int(MAX_MESSAGE_SKEW),
            "max_body_size": wire.MAX_BODY_FROM_AGENT,
            "incarnation_id": self.incarnation_id,
        }

    def is_admitted(self, curve_key: str) -> bool:
        """Whether a connection with this key (Z85) may be opened now."""
        admission = self._admissions.owner(curve_key)
        if admission is None:
            return False
        if self.engine.clock.now() < admission.expires_at:
            return True
        node: Node | None = self.engine.fleet.nodes.get((admission.org, admission.node))
        return node is not None and node.phase is not Phase.OFFLINE

    def status(self) -> dict[str, Any]:
        """The body of `/pushy/_status`."""
        nodes = self.engine.fleet.nodes.values()
        return {
            "status": "it's alive",
            "incarnation_id": self.incarnation_id,
            "node_fsm_count": sum(1 for node in nodes if node.phase is not Phase.OFFLINE),
            "job_processes": sorted(self.engine.fleet.jobs),
        }


def _node_view(node: JobNodeRecord, job: Job | None) -> dict[str, Any]:
    view: dict[str, Any] = {"node": node.node, "state": str(node.state)}
    more = {
        "reason": node.reason,
        "exit_code": node.exit_code,
        "signal": node.signal,
        "started_at": node.started_at,
        "ended_at": node.ended_at,
        "stdout_size": node.stdout_size,
        "stderr_size": node.stderr_size,
    }
    view |= {key: value for key, value in more.items() if value is not None}
    if job is not None and out_of_contact(job, node.node):
        view["out_of_contact"] = True
    return view
