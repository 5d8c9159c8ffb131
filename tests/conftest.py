"""For all tests: names that are the same in every worker, however a parameter was made."""

from typing import Any


def pytest_make_parametrize_id(config: object, val: Any, argname: str) -> str | None:
    """Bytes and structures are numbered: keys and times in them change from run to run."""
    return argname if isinstance(val, bytes | dict | list) else None
