"""Waiting for what will be true soon, with a limit."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 20.0


def until(condition: Callable[[], T], what: str) -> T:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.02)
    return value
