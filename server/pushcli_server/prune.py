"""`pushcli server prune`: what is old is counted, or deleted while the server does not run."""

import asyncio
import socket
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from pushcli_server import settings
from pushcli_server.clock import Clock
from pushcli_server.core.retention import DAY, Ended, expired, is_plausible, surplus
from pushcli_server.retention import Kept, Retention, kept_by
from pushcli_server.settings import Settings
from pushcli_server.stopped import alone
from pushcli_server.store import Store, database, retention_reads

_EVERYTHING = 2**31
_AT_ONCE = 500


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What is to go: jobs, jobs whose output goes and how many bytes it has at most (what several
    wrote alike counts for each), and lines of the audit trail.
    """

    jobs: int
    outputs: int
    output_bytes: int
    audit: int


def due(directory: Path) -> Due:
    """What the server in this directory would delete now; it may be running.

    Raises:
        ConfigError: there is no server, or its settings are wrong.
        StoreError: its database cannot be used.
    """
    config = settings.load(directory)
    with database.reading(config.database(directory)) as connection:
        return _due(connection, kept_by(config), Clock().date())


def doubt(directory: Path) -> float | None:
    """How many days before this machine's clock the records end, if that is too long to go by it.

    Raises:
        ConfigError, StoreError: as `due`.
    """
    now = Clock().date()
    with database.reading(settings.load(directory).database(directory)) as connection:
        written = retention_reads.newest_own_before(connection, now - DAY)
    if written is None or is_plausible(now, written, ran=0.0):
        return None
    return (now - written) / DAY


def prune(directory: Path) -> Due:
    """Delete it, by this machine's clock.

    Raises:
        StartError: the server runs, which does so by itself.
        ConfigError, StoreError: as `due`.
    """
    config = settings.load(directory)
    # A server that is started meanwhile finds its port taken: two would write over each other.
    with _alone(config):
        gone = due(directory)
        asyncio.run(_delete(Store.open(config.database(directory), directory / "blobs"), config))
    return gone


def _due(connection: Any, kept: Kept, now: float) -> Due:
    found = retention_reads.oldest_jobs(connection, _EVERYTHING)
    jobs = [Ended(job, at) for job, at, _ in found]
    gone = expired(jobs, now, kept.jobs)
    left, count = jobs[len(gone) :], retention_reads.count_of_jobs(connection) - len(gone)
    gone += surplus(left, dict.fromkeys((job.job for job in left), 1), count, kept.jobs,
                    are_more=False)  # fmt: skip
    with_output = [Ended(job, at) for job, at, holds in found if holds]
    sizes = _sizes(connection, (job.job for job in with_output))
    outputs = dict.fromkeys(expired(with_output, now, kept.output))
    outputs |= {job.job: None for job in with_output if job.job in set(gone)}
    stored = retention_reads.stored_output(connection) - sum(sizes.get(job, 0) for job in outputs)
    rest = [job for job in with_output if job.job not in outputs]
    outputs |= dict.fromkeys(surplus(rest, sizes, stored, kept.output, are_more=False))
    return Due(
        jobs=len(gone),
        outputs=len(outputs),
        output_bytes=sum(sizes.get(job, 0) for job in outputs),
        audit=retention_reads.count_of_audit(connection, now - kept.audit),
    )


def _sizes(connection: Any, jobs: Iterable[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    left = iter(jobs)
    while some := list(islice(left, _AT_ONCE)):
        sizes |= retention_reads.output_of_jobs(connection, some)
    return sizes


def require_stopped(directory: Path) -> None:
    """Nobody else may write.

    Raises:
        StartError: the server runs, which deletes by itself.
        ConfigError: there is no server, or its settings are wrong.
    """
    _alone(settings.load(directory)).close()


def _alone(config: Settings) -> socket.socket:
    return alone(
        config,
        why=", and deletes what is old by itself, every minute",
        remedy="see what that is with --dry-run, or stop the server first",
    )


async def _delete(store: Store, config: Settings) -> None:
    try:
        await store.start_alone()
        await Retention(store, Clock(), kept_by(config), trusted=True).delete()
    finally:
        await store.close()
