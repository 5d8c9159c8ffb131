"""Calls of the event loop of which one may fail without costing the others."""

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


def guarded(call: Callable[..., object], *args: Any) -> bool:
    """Call; what it raises is logged with its cause, and whoever calls goes on.

    For queues that everybody's work passes through: messages, effects, releases, timers.

    Returns:
        Whether nothing was raised.
    """
    try:
        call(*args)
    except Exception:
        _log.exception("%s failed; what comes after it goes on", call)
        return False
    return True
