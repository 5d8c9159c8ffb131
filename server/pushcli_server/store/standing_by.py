"""A server stands ready while another works with the database, and takes its place."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pushcli.errors import StartError
from pushcli_server.core.leases import RENEWALS, Holder, Watch
from pushcli_server.store import lease as leases
from pushcli_server.store.database import writing
from pushcli_server.store.faults import one_line

_TICK = 0.25
_AWAY = 1.0
_log = logging.getLogger(__name__)


async def follow(
    engine: Engine, incarnation_id: str, lease: float, on_wait: Callable[[str], None]
) -> leases.Lease:
    """The lease, once nobody else has it, however long that takes.

    Args:
        on_wait: is told, in a line, whom it waits for, whenever that is another one.

    Raises:
        StoreError: the database cannot be used.
    """
    async with _listed_as_ready(engine, incarnation_id, lease):
        while True:
            await _until_free(engine, on_wait)
            try:
                return await leases.acquire(engine, incarnation_id, lease)
            except StartError:
                # Another one that stood ready was faster.
                continue


@asynccontextmanager
async def _listed_as_ready(
    engine: Engine, incarnation_id: str, lease: float
) -> AsyncIterator[None]:
    noting = asyncio.create_task(_note(writing(engine), incarnation_id, lease))
    try:
        yield
    finally:
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)
        try:
            await asyncio.to_thread(leases.forget_ready, writing(engine), incarnation_id)
        except SQLAlchemyError as error:
            _log.info("it is still said to stand ready for %g s: %s", lease, one_line(error))


async def _note(engine: Engine, incarnation_id: str, lease: float) -> None:
    while True:
        try:
            await asyncio.to_thread(leases.note_ready, engine, incarnation_id, lease)
        except SQLAlchemyError as error:
            _log.debug("cannot say that this server stands ready: %s", one_line(error))
        await asyncio.sleep(lease / RENEWALS)


async def _until_free(engine: Engine, on_wait: Callable[[str], None]) -> None:
    watch, waits_for, is_away = Watch(), "", False
    while True:
        try:
            holder, is_free = await asyncio.to_thread(_look, engine, watch)
        except SQLAlchemyError as error:
            if not is_away:
                _log.warning("the database cannot be asked who works with it: %s", one_line(error))
            is_away = True
            watch.lost()
            await asyncio.sleep(_AWAY)
            continue
        is_away = False
        if is_free:
            return
        if holder is not None and (now := leases.who(holder)) != waits_for:
            waits_for = now
            on_wait(now)
        await asyncio.sleep(_TICK)


def _look(engine: Engine, watch: Watch) -> tuple[Holder | None, bool]:
    with engine.connect() as connection:
        holder, process, now = leases.look(connection)
    return holder, watch.is_free(holder, process, now, time.monotonic())
