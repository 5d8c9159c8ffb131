"""The running server but for REST: store, engine, channel, heartbeats, put together."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import zmq

from pushcli.errors import PushcliError, StoreError
from pushcli_server import descriptors, listener, persistence, signed_writes
from pushcli_server.admission import AdmissionService
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.channel.heartbeat import HeartbeatBroadcast
from pushcli_server.channel.zap import Doorkeeper
from pushcli_server.checks import Checks
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.job import Grace
from pushcli_server.core.node import Patience
from pushcli_server.core.replays import Replays
from pushcli_server.engine import Engine
from pushcli_server.facts import Facts
from pushcli_server.feeds import Feeds
from pushcli_server.jobs import JobService
from pushcli_server.lag import LoopLag
from pushcli_server.nodes import NodeService
from pushcli_server.notes import Notes
from pushcli_server.outbox import Outbox
from pushcli_server.release import Releases
from pushcli_server.rotation import Rotation
from pushcli_server.secrets import Keyring, Secrets
from pushcli_server.services import Services
from pushcli_server.settings import Settings
from pushcli_server.store import Store
from pushcli_server.timers import Timers
from pushcli_server.whitelist_push import WhitelistPush

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_services(
    directory: Path, settings: Settings, keyring: Keyring, store: Store
) -> AsyncIterator[Services]:
    """Take up the work where the store says, and serve the command channel.

    Args:
        directory: the server's, in which new secrets may appear.

    Raises:
        StartError: a port is taken.
        StoreError: the store failed while the server ran.
    """
    shares = descriptors.shares(descriptors.raise_limit())
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(_Tasks())
        clock, releases = Clock(), Releases()
        store.start(asyncio.get_running_loop(), releases.committed, tasks.fail)
        stack.push_async_callback(store.close)
        timers = Timers(clock)
        stack.callback(timers.close)
        fleet = Fleet(rules_of(settings))
        feeds = Feeds(clock, store.submit, await persistence.load_feeds(store))
        context = _context(stack)
        channel = CommandChannel(context, fleet.admissions.owner, shares.commands)
        outbox = Outbox(fleet, channel)
        whitelists = WhitelistPush(fleet, outbox, clock, store, tasks.add)
        checks, facts = Checks(fleet, outbox, clock), Facts(store)
        engine = Engine(
            fleet,
            clock=clock,
            store=store,
            releases=releases,
            timers=timers,
            channel=channel,
            feeds=feeds,
            notes=Notes(whitelists, checks, facts),
            spawn=tasks.add,
        )
        engine.handle(await persistence.load(store, fleet.rules.grace))
        feeds.close_all_but(fleet.jobs)
        # Of the clock that signed times are held against.
        writes = await signed_writes.load(store, Replays(), time.time)
        incarnation_id = str(uuid.uuid4())
        broadcast = HeartbeatBroadcast(
            server=settings.server_name,
            incarnation_id=incarnation_id,
            interval=settings.heartbeat_interval / 1000,
        )
        stack.callback(broadcast.close)
        serve = _open_channel(stack, context, settings, engine, channel, broadcast, shares)
        tasks.add(asyncio.ensure_future(broadcast.run()))
        rotation = Rotation(directory, keyring, serve, store, clock.now)
        tasks.add(asyncio.ensure_future(rotation.run()))
        lag = LoopLag()
        tasks.add(asyncio.ensure_future(lag.run()))
        yield Services(
            incarnation_id=incarnation_id,
            fleet=fleet,
            clock=clock,
            store=store,
            jobs=JobService(engine, store),
            nodes=NodeService(fleet, clock, store, whitelists, facts),
            admission=AdmissionService(
                engine, store, settings, lambda: rotation.current, incarnation_id
            ),
            whitelists=whitelists,
            checks=checks,
            feeds=feeds,
            lag=lag,
            writes=writes,
        )


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
) -> Callable[[tuple[Secrets, ...]], None]:
    """Take the ports; what it returns serves agents that know these secrets of the server."""
    doorkeeper = Doorkeeper(context, lambda key: engine.fleet.admits(key, engine.clock.now()))
    doorkeeper.start()
    stack.callback(doorkeeper.stop)
    stack.callback(channel.close)
    host = listener.resolve(context, settings.zeromq_listen_address)
    channel.bind(host, settings.command_port)
    broadcast.bind(host, settings.server_heartbeat_port, shares.heartbeats)

    def serve(valid: tuple[Secrets, ...]) -> None:
        channel.serve(valid, engine.receive)
        broadcast.serve([secrets.rsa for secrets in valid])

    return serve


class _Tasks:
    """Background tasks; when one fails the server ends with its error."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[None]] = set()
        self._main: asyncio.Task[object] | None = None
        self._error: BaseException | None = None

    async def __aenter__(self) -> "_Tasks":
        self._main = asyncio.current_task()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if isinstance(self._error, PushcliError):
            raise self._error
        if self._error is not None:
            raise StoreError(f"the server had to stop: {self._error}") from self._error

    def add(self, task: "asyncio.Future[None]") -> None:
        """Run beside the server."""
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def fail(self, error: BaseException) -> None:
        """End the server: it could not keep its promises any more."""
        _log.critical("stopping: %s", error, exc_info=error)
        self._error = self._error or error
        if self._main is not None:
            self._main.cancel()

    def _done(self, task: "asyncio.Future[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
