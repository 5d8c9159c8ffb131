"""Threads that wait for what others answer, and for which nobody need wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Askers(Executor):
    """As `ThreadPoolExecutor`, whose process ends only when the last answer is there: it waits.

    Here it does not: whoever interrupts a question gets his prompt back. One thread submits.

    Args:
        count: questions at a time.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._asked: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it called in a thread."""
        future: Future[T] = Future()
        self._asked.put((future, partial(fn, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._started < self._count:
            self._started += 1
            threading.Thread(target=self._answer, name="asker", daemon=True).start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """Call nothing more; what is under way is left to itself."""
        while True:
            try:
                asked = self._asked.get_nowait()
            except Empty:
                break
            if asked is not None:
                asked[0].cancel()
        for _ in range(self._started):
            self._asked.put(None)

    def _answer(self) -> None:
        while (asked := self._asked.get()) is not None:
            future, call = asked
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            # Else it would be held until the next one.
            del asked, future, call
            self._idle.release()
