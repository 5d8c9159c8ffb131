"""Calls that wait for a server, several at a time, watched by whoever waits for them."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

R = TypeVar("R")

TICK = 0.1
"""Seconds without news after which whoever waits may show how time passes."""


class Interrupted(KeyboardInterrupt):
    """The operator did not wait for all calls.

    Args:
        done, total: how many were answered, and of how many.
    """

    def __init__(self, done: int, total: int) -> None:
        super().__init__()
        self.done = done
        self.total = total


def at_once(
    calls: Sequence[Callable[[], R]], threads: int, note: Callable[[int, R | None], None]
) -> list[R]:
    """What the calls give, in their order. Nobody waits for what is on its way when one fails.

    Args:
        note: is told how many are done and what the last one gave; None: only time passed.

    Raises:
        Interrupted: Ctrl-C.
        Exception: the first that a call raised.
    """
    results: dict[int, R] = {}
    news: queue.SimpleQueue[tuple[int, R] | Exception] = queue.SimpleQueue()
    waiting = iter(enumerate(calls))
    lock, is_over = threading.Lock(), threading.Event()

    def work() -> None:
        while not is_over.is_set():
            with lock:
                place, call = next(waiting, (-1, None))
            if call is None:
                return
            try:
                news.put((place, call()))
            except Exception as error:
                news.put(error)
                return

    for number in range(min(threads, len(calls))):
        # The process ends without them: a call may take as long as its server likes.
        threading.Thread(target=work, daemon=True, name=f"fetch {number}").start()
    try:
        while len(results) < len(calls):
            try:
                found = news.get(timeout=TICK)
            except queue.Empty:
                note(len(results), None)
                continue
            if isinstance(found, Exception):
                raise found
            place, result = found
            results[place] = result
            note(len(results), result)
    except KeyboardInterrupt:
        raise Interrupted(len(results), len(calls)) from None
    finally:
        is_over.set()
    return [results[place] for place in range(len(calls))]
