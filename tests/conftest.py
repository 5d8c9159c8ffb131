"""For all tests: names that are the same in every worker, however a parameter was made."""

import gc
import os
import signal
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pushcli.sandbox import sandbox
from tests.support import postgresql
from tests.support.examples import FAST
from tests.support.waiting import patient

# On a new machine hypothesis first makes tables of characters, which takes seconds: neither
# that nor a busy machine is a fault of a test.
settings.register_profile("pushcli", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(FAST, settings.get_profile("pushcli"), max_examples=10)
settings.load_profile("pushcli")

# Tests start hundreds of programs: each would compile all that it loads where the caller's
# shell forbids to keep it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Take SIGINT back: what a shell starts in the background ignores it, with its children.

    Where the tests are to run on PostgreSQL and there is none, none of them is to seem well.
    """
    # What one worker is about to listen on no other is given.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    sandbox._PORTS = sandbox._PORTS[worker::workers]
    # Collecting tests makes a million objects that stay: nothing there is to be searched for.
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        try:
            postgresql.require_chosen()
        except postgresql.NoPostgresqlError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test's time limit, too, is one of an idle machine; without one of its own it is quick."""
    for item in items:
        mark = item.get_closest_marker("timeout")
        seconds = float(mark.args[0] if mark else config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(patient(seconds)), append=False)
        if not item.get_closest_marker("slow") and (mark is None or "unit" in item.path.parts):
            item.add_marker("quick")
    _put_in_order(items)


def pytest_collection_finish() -> None:
    """What is there now stays: no collection of a test's garbage needs to look at it again."""
    gc.freeze()
    gc.enable()


def _put_in_order(items: list[pytest.Item]) -> None:
    """What waits and starts programs comes first: no worker is left with it in the end.

    Many small files of unit tests fill what time the workers have left, the smallest last.
    """
    size = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[bool, int]:
        is_unit = "unit" in item.path.parts
        return is_unit, -size[item.path] if is_unit else 0

    items.sort(key=place)


def pytest_make_parametrize_id(config: object, val: Any, argname: str) -> str | None:
    """Bytes and structures are numbered: keys and times in them change from run to run."""
    return argname if isinstance(val, bytes | dict | list) else None
