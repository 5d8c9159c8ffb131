"""A server stands ready while another works with the database, and takes its place."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pushcli.errors import StartError
from pushcli_server.askers import Askers
from pushcli_server.core.leases import RENEWALS, Holder, Watch
from pushcli_server.store import database
from pushcli_server.store import lease as leases
from pushcli_server.store.database import writing
from pushcli_server.store.faults import one_line
from pushcli_server.store.holding import Hooks

P = ParamSpec("P")
T = TypeVar("T")
_TICK = 0.25
_AWAY = 1.0
_PATIENCE = 5.0
"""Seconds after which a question to the database counts as lost."""
_THREADS = 4
"""Of which some may wait for answers that never come."""
_log = logging.getLogger(__name__)


async def follow(engine: Engine, incarnation_id: str, lease: float, hooks: Hooks) -> leases.Lease:
    """The lease, once nobody else has it, however long that takes.

    Raises:
        StoreError: this server could not take its place.
        StartError: it could not even begin.
    """
    leases.name_connections(engine, incarnation_id)
    with contextlib.closing(_StandBy(engine, incarnation_id, lease, hooks)) as standing:
        try:
            return await standing.until_entered()
        finally:
            await standing.unlist()


class _StandBy:
    def __init__(self, engine: Engine, incarnation_id: str, lease: float, hooks: Hooks) -> None:
        self._engine, self._incarnation_id, self._lease = engine, incarnation_id, lease
        self._hooks = hooks
        self._waits_for = ""
        self._hindered = ""
        self._threads = Askers(_THREADS)
        self._watch = Watch()
        self._listing: asyncio.Task[None] | None = None

    async def until_entered(self) -> leases.Lease:
        is_away = False
        while True:
            try:
                holder, is_free = await self._ask(self._look)
                may_enter = is_free and await self._may_begin()
                if may_enter and (taken := await self._enter(holder)) is not None:
                    return taken
            except (SQLAlchemyError, TimeoutError) as error:
                if not is_away:
                    _log.warning("the database does not say who works with it: %s", _line(error))
                is_away = True
                self._watch.lost()
                await asyncio.sleep(_AWAY)
                continue
            is_away = False
            if not is_free and holder is not None and self._waits_for != leases.who(holder):
                await self._list()
                self._waits_for = leases.who(holder)
                self._hooks.on_wait(self._waits_for)
            await asyncio.sleep(_TICK)

    async def _may_begin(self) -> bool:
        """Whoever could not work leaves the place to others; what hinders him may go.

        Raises:
            StartError: it could not, from the beginning.
        """
        try:
            await self._ask(self._hooks.may_begin)
        except StartError as error:
            if not self._waits_for:
                raise
            if str(error) != self._hindered:
                _log.error("cannot take over: %s", error)
            self._hindered = str(error)
            return False
        self._hindered = ""
        return True

    def _look(self) -> tuple[Holder | None, bool]:
        with self._engine.connect() as connection, database.limited(connection, _PATIENCE):
            holder, process, _ = leases.look(connection)
        return holder, self._watch.is_free(holder, process, time.monotonic())

    async def _enter(self, before: Holder | None) -> leases.Lease | None:
        args = writing(self._engine), before, self._incarnation_id, self._lease
        taking = asyncio.ensure_future(self._ask(leases.enter, *args))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            # It may have it by now, and nobody else for as long as it lasts.
            with contextlib.suppress(SQLAlchemyError, TimeoutError):
                if (taken := await taking) is not None:
                    await self._ask(taken.release)
            raise

    # --- listed as ready

    async def _list(self) -> None:
        """Say so, before anybody believes it: whoever cannot write could not work.

        Raises:
            StoreError: it cannot be said.
        """
        if self._listing is not None:
            return
        try:
            await self._note()
        except SQLAlchemyError as error:
            raise database.unreadable(self._engine.url, error) from error
        self._listing = asyncio.create_task(self._note_on())

    async def _note(self) -> None:
        engine = writing(self._engine)
        await self._ask(leases.note_ready, engine, self._incarnation_id, self._lease)

    async def _note_on(self) -> None:
        while True:
            await asyncio.sleep(self._lease / RENEWALS)
            try:
                await self._note()
            except (SQLAlchemyError, TimeoutError) as error:
                _log.debug("cannot say that this server stands ready: %s", _line(error))

    async def unlist(self) -> None:
        """It does not stand ready any more."""
        if self._listing is None:
            return
        self._listing.cancel()
        await asyncio.gather(self._listing, return_exceptions=True)
        try:
            engine = writing(self._engine)
            await self._ask(leases.forget_ready, engine, self._incarnation_id)
        except (SQLAlchemyError, TimeoutError) as error:
            _log.info("it is listed as ready for %g s: %s", self._lease, _line(error))

    # --- the database

    async def _ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In a thread whose end nobody need wait for.

        Raises:
            SQLAlchemyError: the database is away.
            TimeoutError: it says nothing.
        """
        bound: Any = partial(call, *args, **kwargs)
        async with asyncio.timeout(_PATIENCE * 2):
            found: T = await asyncio.get_running_loop().run_in_executor(self._threads, bound)
            return found

    def close(self) -> None:
        self._threads.shutdown()


def _line(error: Exception) -> str:
    return one_line(error) if isinstance(error, SQLAlchemyError) else "it does not answer"
