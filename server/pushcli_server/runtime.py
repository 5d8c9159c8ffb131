"""The running server but for REST: store, engine, channel, heartbeats, put together."""

import asyncio
import contextlib
import logging
import resource
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import assert_never

import zmq

from pushcli.errors import PushcliError, StoreError
from pushcli.protocol import messages
from pushcli_server.channel.admissions import Admission, Admissions
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.channel.heartbeat import HeartbeatBroadcast
from pushcli_server.channel.zap import Doorkeeper
from pushcli_server.checks import Checks
from pushcli_server.clock import Clock
from pushcli_server.core import job_events as on_job
from pushcli_server.core.job import Grace
from pushcli_server.core.node import Node, Patience
from pushcli_server.engine import Engine
from pushcli_server.facts import Facts
from pushcli_server.feeds import Feeds
from pushcli_server.hub import Hub
from pushcli_server.lag import LoopLag
from pushcli_server.persistence import Persistence
from pushcli_server.release import Releases
from pushcli_server.results import Results
from pushcli_server.rotation import Rotation
from pushcli_server.secrets import Keyring, Secrets
from pushcli_server.settings import Settings
from pushcli_server.store import Store
from pushcli_server.whitelists import Whitelists

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_hub(
    directory: Path, settings: Settings, keyring: Keyring, store: Store
) -> AsyncIterator[Hub]:
    """Take up the work where the store says, and serve the command channel.

    Args:
        directory: the server's, in which new secrets may appear.

    Raises:
        StartError: a port is taken.
        StoreError: the store failed while the server ran.
    """
    _raise_descriptor_limit()
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(_Tasks())
        clock, admissions = Clock(), Admissions()
        releases = Releases()
        store.start(asyncio.get_running_loop(), releases.committed, tasks.fail)
        stack.push_async_callback(store.close)
        engine = _engine(settings, store, clock, releases)
        stack.callback(engine.timers.close)
        persistence = engine.persistence
        Results(engine, persistence, tasks.add)
        incarnation_id = str(uuid.uuid4())
        whitelists, checks = Whitelists(engine, store, tasks.add), Checks(engine)
        facts = Facts(store)
        engine.on_note = partial(_take_note, whitelists, checks, facts)
        hub = Hub(
            settings,
            engine,
            persistence,
            admissions,
            whitelists=whitelists,
            checks=checks,
            facts=facts,
            incarnation_id=incarnation_id,
        )
        await _take_up(engine, admissions, settings)
        serve = _open_channel(stack, tasks, settings, hub, admissions)
        rotation = Rotation(directory, keyring, serve, store, clock.now)
        hub.secrets = lambda: rotation.current
        tasks.add(asyncio.ensure_future(rotation.run()))
        lag = LoopLag()
        tasks.add(asyncio.ensure_future(lag.run()))
        hub.report = lag.report
        yield hub


def _take_note(
    whitelists: Whitelists, checks: Checks, facts: Facts, node: Node, message: messages.Note
) -> None:
    match message:
        case messages.WhitelistReport():
            whitelists.report(node, message)
        case messages.Checked():
            checks.answer(node, message)
        case messages.Facts():
            facts.take(node, message)
        case _:
            assert_never(message)


def _engine(settings: Settings, store: Store, clock: Clock, releases: Releases) -> Engine:
    persistence = Persistence(store, clock)
    return Engine(
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
        clock=clock,
        persistence=persistence,
        releases=releases,
        feeds=Feeds(clock, persistence.save_event, persistence.drop_events),
    )


async def _take_up(engine: Engine, admissions: Admissions, settings: Settings) -> None:
    """Nodes, their keys and the live jobs, as the former run of the server left them."""
    for known in await engine.persistence.load_nodes():
        node = engine.node(known.org, known.name)
        node.incarnation, node.extensions = known.incarnation, known.extensions
        expires_at = known.configured_at + settings.lifetime
        for key in known.keys:
            admissions.admit(key, Admission(known.org, known.name, expires_at))
    feeds = await engine.persistence.load_feeds()
    engine.feeds.load(feeds)
    for job in await engine.persistence.load_live_jobs(engine.grace):
        engine.begin(job)
        engine.tell_job(job, on_job.Resumed())
    for name in feeds:
        # Feeds of jobs that ended just before the former run did.
        if "/" not in name and name not in engine.fleet.jobs:
            engine.feeds.forget(name)


def _open_channel(
    stack: contextlib.AsyncExitStack,
    tasks: "_Tasks",
    settings: Settings,
    hub: Hub,
    admissions: Admissions,
) -> Callable[[tuple[Secrets, ...]], None]:
    """Take the ports; what it returns serves agents that know these secrets of the server."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.max_sockets = 1024
    stack.callback(context.term)
    doorkeeper = Doorkeeper(context, hub.is_admitted)
    doorkeeper.start()
    stack.callback(doorkeeper.stop)
    channel = CommandChannel(context, admissions, hub.engine.receive)
    stack.callback(channel.close)
    hub.engine.connect(channel)
    channel.bind(settings.zeromq_listen_address, settings.command_port)
    broadcast = HeartbeatBroadcast(
        context,
        server=settings.server_name,
        incarnation_id=hub.incarnation_id,
        interval=settings.heartbeat_interval / 1000,
    )
    stack.callback(broadcast.close)
    broadcast.bind(f"{settings.zeromq_listen_address}:{settings.server_heartbeat_port}")
    tasks.add(asyncio.ensure_future(broadcast.run()))

    def serve(valid: tuple[Secrets, ...]) -> None:
        channel.serve(valid)
        broadcast.keys = [secrets.rsa for secrets in valid]

    return serve


def _raise_descriptor_limit() -> None:
    """One connection is one descriptor: take as many as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
