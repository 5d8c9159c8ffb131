"""Background tasks: none ends the server; what fails is logged, and begun again after a pause."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_STEADY = 120.0
"""Seconds of work after which earlier failures do not count any more."""

Work = Callable[[], Coroutine[Any, Any, None]]
State = Literal["running", "waiting", "ended"]


@dataclass(slots=True)
class Health:
    """How a lasting task does.

    Args:
        state: `waiting` to be begun again after a failure; `ended`: it had nothing left to do.
        since: of the state, seconds since the epoch.
        failures: in a row.
        last_error: one line; stays for the operator when the task runs again.
    """

    name: str
    state: State
    since: float
    failures: int = 0
    last_error: str | None = None

    def enter(self, state: State) -> None:
        """Another state from now on."""
        self.state, self.since = state, time.time()


def pause_after(failures: int, luck: float) -> float:
    """Seconds before the next try: growing, with an end, and not in step with others.

    Args:
        failures: in a row, 1 or more.
        luck: from 0 to 1.
    """
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 30))
    return longest * (0.5 + luck / 2)


class Tasks:
    """All background tasks of a server; they end with the `async with` block."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._health: dict[str, Health] = {}

    async def __aenter__(self) -> "Tasks":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def health(self) -> list[Health]:
        """The lasting tasks, by name."""
        return [self._health[name] for name in sorted(self._health)]

    def keep(self, name: str, work: Work) -> None:
        """Have this done for as long as the server runs, however often it fails.

        Args:
            work: makes the coroutine, anew for each try; one that returns has ended.

        Raises:
            ValueError: there is a task of this name.
        """
        if name in self._health:
            raise ValueError(f"two tasks named {name}")
        self._health[name] = Health(name, "running", time.time())
        self._add(self._kept(self._health[name], work), name)

    def once(self, name: str, work: Work) -> None:
        """Have this done once, beside everything else; a failure is logged."""
        self._add(_logged(name, work), name)

    def _add(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _kept(self, health: Health, work: Work) -> None:
        while True:
            health.enter("running")
            begun = time.monotonic()
            try:
                await work()
            except Exception as error:
                steady = time.monotonic() - begun >= _STEADY
                health.failures = 1 if steady else health.failures + 1
                health.last_error = " ".join(f"{type(error).__name__}: {error}".split())
                pause = pause_after(health.failures, random.random())  # noqa: S311
                _log.exception("%s failed; it is started again in %.1f s", health.name, pause)
                health.enter("waiting")
                await asyncio.sleep(pause)
            else:
                health.enter("ended")
                return


async def _logged(name: str, work: Work) -> None:
    try:
        await work()
    except Exception:
        _log.exception("%s failed", name)
