"""Threads that put questions to the database.

Questions whose answers grow with what is stored have threads of their own, and a limit to their
time: whoever is to be authenticated never waits behind them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from pushcli_server.store import database
from pushcli_server.store.errors import CannotStore, DamagedContent, StoreUnavailable, TookTooLong
from pushcli_server.store.faults import is_away, one_line, reason

R = TypeVar("R")
P = ParamSpec("P")
PATIENCE = 30.0
"""Seconds for which somebody waits for a database that says nothing at all."""
SLOW = "it does not answer"


class Door(NamedTuple):
    """What a store's readers have in common.

    Args:
        ready: waits until what was submitted before is committed; raises if none may ask now.
        away: the error for a database that is away, and why.
        unreachable: is told, in the reader's thread, that it could not be reached.
    """

    ready: Callable[[], Awaitable[None]]
    away: Callable[[str], StoreUnavailable]
    unreachable: Callable[[], None]


class Readers:
    """Some threads, and the time that a question may take.

    Args:
        seconds: for one statement; None: as long as it takes.
        door: what all readers of a store have in common.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        threads: int,
        seconds: float | None,
        door: Door,
    ) -> None:
        self._engine = engine
        self._seconds = seconds
        self._door = door
        self._limited: set[Any] = set()
        """The drivers' connections of questions that have a limit."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"store-{name}")

    async def ask(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The answer to a question of `reads`, `identity_reads` or the like.

        Raises:
            StoreUnavailable: the database is away.
            CannotStore: the question holds what the database cannot.
            TookTooLong: it was given up.
        """
        await self._door.ready()
        bound = partial(self._query, query, *args, **kwargs)
        asked = asyncio.get_running_loop().run_in_executor(self._threads, bound)
        try:
            async with asyncio.timeout(PATIENCE):
                return await asked
        except TimeoutError:
            raise self._door.away(SLOW) from None
        except StoreUnavailable as error:
            if type(error) is not StoreUnavailable:
                raise
            raise self._door.away(str(error)) from error

    async def ask_of_files(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The answer to a question whose answer lies in files.

        Between a row and its file retention may come, which takes both: a second question sees
        that. What is missing then is.

        Raises:
            DamagedContent: it is missing, or a part of it.
            StoreUnavailable, CannotStore, TookTooLong: as `ask`.
        """
        try:
            return await self.ask(query, *args, **kwargs)
        except DamagedContent:
            return await self.ask(query, *args, **kwargs)

    def close(self) -> None:
        """Drop the questions that wait; have those given up that have a limit to their time."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for driver in list(self._limited):
            database.give_up(driver)
        self._threads.shutdown()

    def _query(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            with self._engine.connect() as connection:
                if self._seconds is None:
                    return query(connection, *args, **kwargs)
                driver = connection.connection.driver_connection
                self._limited.add(driver)
                try:
                    with database.limited(connection, self._seconds):
                        return query(connection, *args, **kwargs)
                finally:
                    self._limited.discard(driver)
        except (DataError, UnicodeEncodeError, OverflowError) as error:
            raise CannotStore(one_line(error)) from error
        except OSError as error:
            raise StoreUnavailable(reason(error)) from error
        except SQLAlchemyError as error:
            if self._seconds is not None and database.is_given_up(error):
                raise TookTooLong(self._seconds) from error
            if not is_away(error):
                raise
            self._door.unreachable()
            raise StoreUnavailable(reason(error)) from error
