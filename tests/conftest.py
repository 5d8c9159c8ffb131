"""For all tests: names that are the same in every worker, however a parameter was made."""

import signal
from typing import Any

from hypothesis import HealthCheck, settings

# On a new machine hypothesis first makes tables of characters, which takes seconds: neither
# that nor a busy machine is a fault of a test.
settings.register_profile("pushcli", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pushcli")


def pytest_configure() -> None:
    """Take SIGINT back: what a shell starts in the background ignores it, with its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(config: object, val: Any, argname: str) -> str | None:
    """Bytes and structures are numbered: keys and times in them change from run to run."""
    return argname if isinstance(val, bytes | dict | list) else None
