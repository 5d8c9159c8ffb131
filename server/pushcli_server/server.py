"""The server process: from its directory to a clean end."""

import asyncio
import contextlib
import faulthandler
import gc
import logging
import math
import os
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path

import uvicorn

from pushcli.errors import StoreError
from pushcli.logs.places import occupy_standard_descriptors
from pushcli.systemd import notify
from pushcli.systemd.notify import Notifier
from pushcli_server import descriptors, logs, secrets, settings
from pushcli_server.certificate import Certificate
from pushcli_server.listener import listen, require_free
from pushcli_server.logs import ServerLog
from pushcli_server.metrics import Counted
from pushcli_server.rest.app import Application
from pushcli_server.rest.auth import Authenticator
from pushcli_server.rest.connections import Connections
from pushcli_server.rest.http_protocol import BoundedHttp
from pushcli_server.rest.http_server import HttpServer
from pushcli_server.rest.rights import Rights
from pushcli_server.runtime import open_services
from pushcli_server.services import Services
from pushcli_server.settings import Settings
from pushcli_server.store import Store
from pushcli_server.store.holding import Hooks

_log = logging.getLogger(__name__)

_API = ("api_port", "api_listen_address")
_SWITCH_INTERVAL = 0.0005
_NO_PROXY = (
    "REST is plain HTTP on loopback, so operators and nodes come through a proxy, but"
    " trusted_proxies names none: the addresses of jobs would begin with http://, which knife"
    " cannot follow, so that it starts a job twice; add the proxy's address"
)


async def run(
    directory: Path,
    authenticator: type[Authenticator] = Authenticator,
    notifier: Notifier | None = None,
    *,
    stands_by: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        notifier: of the service manager that started us, if one did.
        stands_by: wait while another server works with the database, and take its place.

    Raises:
        PushcliError: it cannot start, or cannot go on.
    """
    config = settings.load(directory)
    # Said now, if they cannot be used.
    secrets.load(directory)
    log = logs.start(config, directory)
    notifier = notifier or Notifier()
    # Whoever stands ready is said to be that, and watched, before he begins to work.
    feeding = asyncio.create_task(_feed_watchdog(notifier)) if stands_by else None
    try:
        await _run(directory, config, authenticator, log, notifier, stands_by)
    finally:
        if feeding is not None:
            feeding.cancel()
        log.stop()


async def _run(
    directory: Path,
    config: Settings,
    authenticator: type[Authenticator],
    log: ServerLog,
    notifier: Notifier,
    stands_by: bool,
) -> None:
    certificate = None
    if config.tls:
        certificate = Certificate(directory / config.tls_cert, directory / config.tls_key)
        certificate.check()
    store = Store.open(config.database(directory), directory / "blobs")
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, log.reopen)
    try:
        if stands_by:
            await _stand_by(store, config, notifier)
        else:
            await store.acquire(config.lease)
        # They may be others by now.
        keyring = secrets.load(directory)
        if certificate is not None:
            certificate.check()
        listener = _listen(config)
    except BaseException:
        await store.close()
        raise
    with contextlib.closing(listener):
        async with open_services(directory, config, keyring, store) as services:
            connections = Connections(descriptors.current().rest)
            services.metrics.connections.labels("rest").set_function(lambda: len(connections))
            services.metrics.registry.register(
                Counted(
                    "pushcli_log_lines_lost",
                    "Lines of the log that could not be written.",
                    lambda: log.lost_in_all,
                )
            )
            rights = Rights(services.identities, store)
            asked_by = authenticator(services.identities, rights)
            application = Application(services, config, asked_by)
            http = HttpServer(
                _uvicorn_config(application, config, directory),
                connections,
                answered=application.count,
            )
            services.tasks.keep("the log", partial(logs.report_left_out, log))
            await _serve(http, listener, config, services, certificate, notifier)
            if store.superseded_by.done():
                # What came here since then was refused.
                raise StoreError(
                    f"{store.superseded_by.result()}; this one has ended",
                    "start it with --stand-by, or give it a database of its own",
                )


async def _stand_by(store: Store, config: Settings, notifier: Notifier) -> None:
    """Wait until no other server works with the database.

    SIGTERM and SIGINT cancel the caller, now and until he handles them himself.

    Raises:
        asyncio.CancelledError: one of them came.
    """
    loop = asyncio.get_running_loop()
    waiting = asyncio.current_task()

    def report(whom: str) -> None:
        line = f"standing ready: {whom}"
        if config.log_target != "stderr":
            _log.info("%s", line)
        _print(line)
        notifier.ready(line)

    def stop() -> None:
        notifier.stopping()
        if waiting is not None:
            waiting.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await store.acquire(config.lease, Hooks(report, partial(_require_free, config)))


async def _serve(
    http: HttpServer,
    listener: socket.socket,
    config: Settings,
    services: Services,
    certificate: Certificate | None,
    notifier: Notifier,
) -> None:
    _on_signals(http, services, notifier)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    try:
        while not http.started and not serving.done():
            await asyncio.sleep(0.005)
        if not serving.done():
            # What is there now stays: no collection needs to look at it again.
            gc.collect()
            gc.freeze()
            ready = (
                f"ready, REST on {config.api_url}, commands on port {config.command_port}, "
                f"heartbeats on port {config.server_heartbeat_port}; {_capacity()}"
            )
            if config.is_behind_somebody and not config.trusted_proxies:
                _log.warning("%s", _NO_PROXY)
            _print(ready)
            notifier.ready(ready)
            if notifier.due_at < math.inf:
                feed = partial(_feed_watchdog, notifier)
                services.tasks.keep("feeding the watchdog", feed)
        if certificate is not None and (context := http.config.ssl) is not None:
            services.tasks.keep(
                "looking for a new certificate", partial(certificate.watch, context)
            )
        await serving
    finally:
        http.should_exit = http.force_exit = True
        await asyncio.gather(serving, return_exceptions=True)


def _capacity() -> str:
    shares = descriptors.current()
    return (
        f"{shares.descriptors:,} descriptors are enough for {shares.commands.total:,} nodes, "
        f"or {shares.old_agents:,} with agents of Chef Push Jobs"
    )


async def _feed_watchdog(notifier: Notifier) -> None:
    """Prove that the event loop turns; when it does not, this does not either."""
    while notifier.due_at < math.inf:
        notifier.feed(time.monotonic())
        await asyncio.sleep(notifier.due_at - time.monotonic())


def _uvicorn_config(application: Application, config: Settings, directory: Path) -> uvicorn.Config:
    tls = {}
    if config.tls:
        tls = {
            "ssl_certfile": str(directory / config.tls_cert),
            "ssl_keyfile": str(directory / config.tls_key),
        }
    return uvicorn.Config(
        application,
        http=BoundedHttp,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        **tls,  # type: ignore[arg-type]
    )


def _require_free(config: Settings) -> None:
    """Whoever could not listen must not take another's place.

    Raises:
        StartError: a port is taken, or an address is not ours.
    """
    require_free(config.listen_host, config.api_port, _API)


def _listen(config: Settings) -> socket.socket:
    listener = listen(config.listen_host, config.api_port, _API)
    # asyncio sets it only on sockets that it made itself; without, each answer takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _on_signals(http: HttpServer, services: Services, notifier: Notifier) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        notifier.stopping()
        # A second signal does not wait for open connections.
        http.force_exit = http.should_exit
        http.should_exit = True

    services.store.superseded_by.add_done_callback(lambda _: stop())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGUSR2, lambda: _print(services.lag.report()))


def _print(line: str) -> None:
    # Nobody may be there to read it.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"pushcli server: {line}\n")
        sys.stderr.flush()


def main(directory: Path, *, stands_by: bool = False) -> None:
    """Run a server in the foreground.

    Args:
        stands_by: wait while another server works with the database, and take its place.

    Raises:
        PushcliError: it cannot start, or cannot go on.
    """
    occupy_standard_descriptors()
    # Of a loop that is stuck, and so killed by its watchdog, the log shows where it was.
    faulthandler.enable(2)
    # What it means is known once the log is there; until then it is no reason to end.
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    # A log that cannot be written is counted, not complained about on standard error.
    logging.raiseExceptions = False
    # Our errors are logged where they become answers; uvicorn would complain of every
    # reader of a feed that is cut off.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    # The event loop gets the interpreter back from the store's threads within this time,
    # not after Python's default of 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # Small collections, and hardly ever a full one: over a fleet's objects that takes a
    # quarter of a second, and what is cyclic here dies young.
    gc.set_threshold(1_000, 10, 1_000)
    notifier = notify.from_environment(os.environ)
    with contextlib.suppress(asyncio.CancelledError):
        # It was ended while it stood ready.
        asyncio.run(run(directory, notifier=notifier, stands_by=stands_by))
