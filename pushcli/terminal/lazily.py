"""Modules that are loaded when something of them is first used.

What a command does is far more code than how it is called: help and the Tab key load the latter.
"""

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module.

    Args:
        name: the module's whole name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """What the module has of this name."""
        return getattr(import_module(self._name), attribute)
