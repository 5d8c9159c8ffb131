"""`python -m pushcli_agent.main`: one run of the agent, from its settings to its end.

`pushcli agent start` becomes this process: what parses the command line and prints help
would stay in the memory of every node.
"""

import faulthandler
import logging
import os
import random
import socket
import sys
import uuid
from functools import partial
from pathlib import Path

import msgspec

from pushcli import __version__
from pushcli.errors import ConfigError, PushcliError, StartError
from pushcli.exit_status import status_of
from pushcli.systemd import notify
from pushcli_agent import boot, config, lock, log, orphans
from pushcli_agent.config import AgentSettings, Overrides
from pushcli_agent.core.state import Agent
from pushcli_agent.first_use.first_use import FirstUse
from pushcli_agent.link.channel import Channel
from pushcli_agent.link.config_request import ConfigRequest
from pushcli_agent.link.fetcher import Fetcher
from pushcli_agent.link.outgoing import Identity, Outgoing
from pushcli_agent.loop import Loop
from pushcli_agent.running.housekeeping import Housekeeping
from pushcli_agent.running.jobs import Jobs
from pushcli_agent.signals import Signals
from pushcli_agent.whitelist.in_force import WhitelistInForce

_log = logging.getLogger("pushcli_agent")


def main(arguments: list[str]) -> int:
    """Run the agent; returns the exit status.

    Args:
        arguments: `--config=FILE`, and `--KEY=VALUE` for keys that `Overrides` knows.
    """
    given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    file = Path(given.pop("config")).absolute()
    try:
        run(file, msgspec.convert(given, Overrides))
    except PushcliError as error:
        print(f"pushcli: error: {error}", file=sys.stderr)
        return status_of(error)
    return 0


def run(file: Path, overrides: Overrides) -> None:
    """Run the agent until a signal ends it; running jobs go on under their supervisors.

    Raises:
        PushcliError: it cannot start.
    """
    # Nothing that is started from here on inherits them.
    notifier = notify.from_environment(os.environ)
    settings = config.load(file, overrides)
    _check_key(settings)
    held = lock.acquire(file.parent)
    log.start(settings.log_level, _path(settings.log_location))
    # Of a loop that is stuck, and so killed by its watchdog, the log shows where it was.
    faulthandler.enable(2)
    signals = Signals(orphans=orphans.inherits())
    _log.info("agent of %s started (pushcli %s)", settings.node_name, __version__)
    if settings.open:
        _log.warning("open: %s", _opened(settings))
    jobs, channel, fetcher = Jobs(settings, boot.current()), Channel(), Fetcher()
    whitelists, first_use = WhitelistInForce(settings, file), FirstUse(settings, file.parent)
    try:
        Loop(
            agent=Agent(random=random.random, knows_others=len(settings.server_urls) > 1),
            channel=channel,
            fetcher=fetcher,
            jobs=jobs,
            whitelists=whitelists,
            outgoing=Outgoing(_identity(settings), jobs.read),
            housekeeping=Housekeeping(Path(settings.file_dir), settings.file_dir_expiry),
            first_use=first_use,
            signals=signals,
            notifier=notifier,
            request=partial(_request, settings, jobs, channel.public_key.decode("ascii")),
            reload=partial(_reload, file, overrides, jobs),
        ).run()
    finally:
        fetcher.stop()
        first_use.stop()
        channel.close()
        _log.info("agent stopped")
        os.close(held)


def _opened(settings: AgentSettings) -> str:
    """What jobs may choose here, and the keys that would put an end to it."""
    missing = ", ".join(config.OPEN[what] for what in settings.open)
    return f"{', '.join(settings.open)} (agent.toml has no {missing}: see docs/whitelist.md)"


def _identity(settings: AgentSettings) -> Identity:
    return Identity(
        node=settings.node_name,
        org=settings.organization,
        client=socket.gethostname(),
        incarnation_id=str(uuid.uuid4()),
    )


def _request(
    settings: AgentSettings, jobs: Jobs, public_key: str, adopts: tuple[str, ...]
) -> ConfigRequest:
    return ConfigRequest(
        server_urls=settings.server_urls,
        node_name=settings.node_name,
        client_key=settings.client_key,
        ca_file=settings.ca_file,
        fingerprint=settings.fingerprint,
        signing_version=settings.signing_version,
        curve_public_key=public_key,
        adopts=adopts,
        roles=settings.roles,
        tags=settings.tags,
        attributes=settings.attributes,
        open=jobs.open,
    )


def _reload(file: Path, overrides: Overrides, jobs: Jobs) -> None:
    """What concerns commands applies while the agent runs; the rest with its next run."""
    try:
        jobs.use(config.load(file, overrides))
    except ConfigError as error:
        _log.warning("agent.toml was not reloaded: %s", error)


def _check_key(settings: AgentSettings) -> None:
    """A key that is missing or open to others is found now, not by the first request."""
    try:
        mode = Path(settings.client_key).stat().st_mode
    except OSError as error:
        raise StartError(
            f"cannot read the key {settings.client_key}: {error.strerror}",
            "run `pushcli agent enroll` first, or correct client_key",
        ) from error
    if mode & 0o077:
        raise StartError(
            f"the key {settings.client_key} is readable by others",
            f"chmod 600 {settings.client_key}",
        )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
