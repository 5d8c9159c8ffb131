"""The running server but for REST: store, engine, channel, heartbeats, put together."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from pushcli.errors import ConfigError, StoreError
from pushcli_server import brake_records, descriptors, listener, persistence, signed_writes
from pushcli_server.admission import AdmissionService
from pushcli_server.brake import BrakeService
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.channel.heartbeat import HeartbeatBroadcast
from pushcli_server.channel.zap import Doorkeeper
from pushcli_server.checks import Checks
from pushcli_server.clock import Clock
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.job_state import Grace
from pushcli_server.core.node import Patience
from pushcli_server.core.replays import Replays
from pushcli_server.engine import Engine
from pushcli_server.facts import Facts
from pushcli_server.feeds import Feeds
from pushcli_server.guarded import guarded
from pushcli_server.identities import Identities, OwnIdentities
from pushcli_server.jobs import JobService
from pushcli_server.lag import LoopLag
from pushcli_server.metrics import Metrics, Standing
from pushcli_server.nodes import NodeService
from pushcli_server.notes import Notes
from pushcli_server.organizations import OrganizationService
from pushcli_server.outbox import Outbox
from pushcli_server.output_feeds import OutputFeeds
from pushcli_server.release import Releases
from pushcli_server.retention import Retention, kept_by
from pushcli_server.revocations import AT_ONCE, OF_CHEF, Revocations
from pushcli_server.rotation import Rotation
from pushcli_server.secrets import Keyring, Secrets
from pushcli_server.services import Services
from pushcli_server.settings import Settings
from pushcli_server.shared_files import collect
from pushcli_server.store import Store, StoreUnavailable, identity_reads
from pushcli_server.supervised import Tasks
from pushcli_server.timers import Timers
from pushcli_server.whitelist_push import WhitelistPush

if TYPE_CHECKING:
    from pushcli_server.chef.nodes import ChefNodes


@contextlib.asynccontextmanager
async def open_services(
    directory: Path, settings: Settings, keyring: Keyring, store: Store
) -> AsyncIterator[Services]:
    """Take up the work where the store says, and serve the command channel.

    Args:
        directory: the server's, in which new secrets may appear.
        store: acquired for this server.

    Raises:
        StartError: a port is taken.
        StoreError: the store cannot be read.
    """
    shares = descriptors.current()
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(Tasks())
        clock, releases = Clock(), Releases()
        metrics = Metrics()
        stack.push_async_callback(store.close)
        # No other server works here.
        store.recover()
        store.start(asyncio.get_running_loop(), releases.committed, metrics.committed)
        tasks.keep(
            "renewing the lease",
            lambda: store.renew(lambda there: engine.handle(on_fleet.DatabaseReached(there))),
        )
        timers = Timers(clock, lambda seconds: engine.handle(on_fleet.Stalled(seconds)))
        stack.callback(timers.close)
        fleet = Fleet(rules_of(settings), store.incarnation_id)
        # Signatures are of the clock that signed times are held against.
        try:
            writes = await signed_writes.load(store, Replays(), time.time)
            kept = await persistence.load_feeds(store)
            await _require_nobody_else(settings, store)
            restored = await persistence.load(store, rules_of(settings).grace, clock.now())
            held_back = await brake_records.load(store, clock)
        except StoreUnavailable as error:
            raise StoreError(f"cannot read the database: {error}", "check database_url") from error
        feeds, outputs = Feeds(clock, store.submit, kept), OutputFeeds(clock, fleet, store)
        context = _context(stack)
        broadcast = HeartbeatBroadcast(
            server=settings.server_name,
            incarnation_id=store.incarnation_id,
            interval=settings.heartbeat_interval / 1000,
        )
        stack.callback(broadcast.close)

        def is_free() -> bool:
            return channel.connections + broadcast.connections < shares.agents

        channel = CommandChannel(
            context,
            fleet.admissions.owner,
            fleet.session_salt,
            shares.commands,
            fleet.max_body,
            fleet.rules.patience.silence,
            is_free,
            fleet.is_idle_beat,
        )
        outbox = Outbox(fleet, channel)
        whitelists = WhitelistPush(fleet, outbox, clock, store, settings.identity)
        tasks.keep("sending whitelists", whitelists.run)
        identities, elsewhere = _known_by(
            stack, tasks, directory, settings, store, clock, whitelists, metrics
        )
        checks, facts = Checks(fleet, outbox, clock), Facts(store)
        engine = Engine(
            fleet,
            clock=clock,
            store=store,
            releases=releases,
            timers=timers,
            channel=channel,
            feeds=feeds,
            outputs=outputs,
            notes=Notes(whitelists, checks, facts),
            spawn=tasks.once,
            is_behind=lambda: channel.is_behind(time.monotonic()),
        )
        for found in (*restored, *held_back):
            guarded(engine.handle, found)
        feeds.close_all_but(fleet.jobs)
        serve = _open_channel(stack, context, settings, engine, channel, broadcast, shares, is_free)
        tasks.keep("the server's heartbeat", broadcast.run)
        rotation = Rotation(directory, keyring, serve, store, clock.date)
        tasks.keep("looking for new secrets", rotation.run)
        admission = AdmissionService(
            engine, store, identities, settings, lambda: rotation.current, store.incarnation_id
        )
        _look_at_clients(tasks, settings, identities, engine, admission)
        tasks.keep("deleting what is old", Retention(store, clock, kept_by(settings)).run)
        tasks.keep("forgetting old events", feeds.run)
        lag = LoopLag(metrics.looped)
        metrics.registry.register(Standing(fleet, clock, store, channel))
        metrics.connections.labels("commands").set_function(lambda: channel.connections)
        metrics.unread.set_function(lambda: channel.unread_for(time.monotonic()))
        metrics.connections.labels("heartbeats").set_function(lambda: broadcast.connections)
        tasks.keep("measuring the event loop", lag.run)
        yield Services(
            incarnation_id=store.incarnation_id,
            fleet=fleet,
            clock=clock,
            store=store,
            identities=identities,
            jobs=JobService(engine, store, identities),
            nodes=NodeService(fleet, clock, store, whitelists, facts, elsewhere),
            admission=admission,
            brake=BrakeService(engine, store, identities),
            organizations=OrganizationService(engine, store, tasks.once),
            whitelists=whitelists,
            checks=checks,
            feeds=feeds,
            outputs=outputs,
            lag=lag,
            metrics=metrics,
            tasks=tasks,
            writes=writes,
            shared=partial(collect, directory, store.incarnation_id),
        )


async def _require_nobody_else(settings: Settings, store: Store) -> None:
    """Of two who know who there is, one would be wrong.

    Raises:
        ConfigError: the store has users, and nobody agreed that they count no longer.
    """
    if settings.identity == "own" or await store.ask(identity_reads.allows_chef):
        return
    users = await store.lists.ask(identity_reads.all_users)
    if users:
        raise ConfigError(
            'identity = "chef", but this server has users of its own',
            "see who is missing there with `pushcli server use-chef --dry-run`",
        )


def _known_by(
    stack: contextlib.AsyncExitStack,
    tasks: Tasks,
    directory: Path,
    settings: Settings,
    store: Store,
    clock: Clock,
    whitelists: WhitelistPush,
    metrics: Metrics,
) -> tuple[Identities, "ChefNodes | None"]:
    """Whoever knows who there is, and which nodes there are, where that is not this server.

    Raises:
        ConfigError, KeyFileError: what the settings say of a Chef Infra Server cannot be used.
    """
    if settings.identity == "own":
        return OwnIdentities(store), None
    # Not loaded where it is not used.
    from pushcli_server.chef import nodes  # noqa: PLC0415
    from pushcli_server.chef.client import ChefClient, chef_server  # noqa: PLC0415
    from pushcli_server.chef.forgetting import Forgetting  # noqa: PLC0415
    from pushcli_server.chef.identities import ChefIdentities  # noqa: PLC0415
    from pushcli_server.chef.measured import Measured, NodeMetrics  # noqa: PLC0415

    server = chef_server(directory, settings)
    client = ChefClient(server)
    stack.callback(client.close)
    # Nobody who wants to be let in waits behind questions about nodes.
    apart = ChefClient(server, turns=nodes.TURNS, timeout=nodes.TIMEOUT)
    stack.callback(apart.close)
    found = nodes.ChefNodes(
        apart,
        store,
        settings.chef_poll,
        whitelists.changed,
        NodeMetrics(metrics.registry),
        clock.now,
        clock.date,
    )
    tasks.keep("looking at nodes of the Chef Infra Server", found.run)
    measured = Measured(metrics.registry)
    identities = ChefIdentities(client, store, settings.chef_cache, clock.now, measured, found.meet)
    tasks.keep("forgetting what Chef said", Forgetting(directory, identities.forget).run)
    return identities, found


def _look_at_clients(
    tasks: Tasks,
    settings: Settings,
    identities: Identities,
    engine: Engine,
    admission: AdmissionService,
) -> None:
    """Of connected agents: whether they, and the keys that admitted them, still count."""

    def connected() -> list[NodeKey]:
        return [key for key, node in engine.fleet.nodes.items() if node.peer is not None]

    def expel(node: NodeKey) -> None:
        engine.handle(on_fleet.ClientDeleted(node))

    at_once = OF_CHEF if settings.identity == "chef" else AT_ONCE
    revocations = Revocations(connected, admission.look_at_keys, settings.chef_cache, at_once)
    tasks.keep("looking for revoked keys", revocations.run)
    if settings.identity == "chef":
        # Not loaded where it is not used.
        from pushcli_server.chef.departures import Departures  # noqa: PLC0415

        departures = Departures(identities, connected, expel, settings.chef_cache)
        tasks.keep("looking for deleted clients", departures.run)


def rules_of(settings: Settings) -> Rules:
    """What the settings say about the fleet."""
    return Rules(
        server_name=settings.server_name,
        grace=Grace(
            voting=settings.voting_timeout,
            restart=settings.restart_grace,
            lost=settings.lost_grace,
        ),
        patience=Patience(
            interval=settings.heartbeat_interval / 1000,
            offline_threshold=settings.offline_threshold,
        ),
        lifetime=settings.lifetime,
        reconfigure_splay=settings.reconfigure_splay,
        max_job_output=settings.max_job_output_bytes,
    )


def _context(stack: contextlib.AsyncExitStack) -> "zmq.Context[zmq.Socket[bytes]]":
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.max_sockets = 1024
    stack.callback(context.term)
    return context


def _open_channel(
    stack: contextlib.AsyncExitStack,
    context: "zmq.Context[zmq.Socket[bytes]]",
    settings: Settings,
    engine: Engine,
    channel: CommandChannel,
    broadcast: HeartbeatBroadcast,
    shares: descriptors.Shares,
    is_free: Callable[[], bool],
) -> Callable[[tuple[Secrets, ...]], None]:
    """Take the ports; what it returns serves agents that know these secrets of the server."""
    doorkeeper = Doorkeeper(context, lambda key: engine.fleet.admits(key, engine.clock.now()))
    doorkeeper.start()
    stack.callback(doorkeeper.stop)
    stack.callback(channel.close)
    host = listener.resolve(context, settings.zeromq_listen_address)
    channel.bind(host, settings.command_port)
    broadcast.bind(host, settings.server_heartbeat_port, shares.heartbeats, is_free)

    def serve(valid: tuple[Secrets, ...]) -> None:
        channel.serve(valid, engine.receive, engine.clock_differs, engine.connection_ended)
        broadcast.serve([secrets.rsa for secrets in valid])

    return serve
