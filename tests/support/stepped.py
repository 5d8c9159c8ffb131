"""Fleets in which the date of the server, or of a node, jumps."""

from pathlib import Path
from typing import Any

from tests.support.fleet import Fleet

_PATCH = Path(__file__).parent / "stepped_date"
_NOBODY = "nobody"


class SteppedFleet(Fleet):
    """Each of its processes has a date of its own; those of its operator are right."""

    def __init__(self, directory: Path, nodes: list[str], **more: Any) -> None:
        super().__init__(directory, nodes, **more)
        self._starting = _NOBODY
        for name in (_NOBODY, "server", *nodes):
            self.step(name, 0.0)

    def step(self, name: str, seconds: float) -> None:
        """Set the date of a node, or of `server`, so much ahead of the right one."""
        fresh = self._offset(name).with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._offset(name))

    @property
    def environment(self) -> dict[str, str]:
        """With the date of what is being started."""
        date = {"PYTHONPATH": str(_PATCH), "STEPPED_BY": str(self._offset(self._starting))}
        return {**super().environment, **date}

    def _offset(self, name: str) -> Path:
        return self.directory / f"{name}.offset"

    def _spawn(self, name: str, arguments: list[str]) -> None:
        self._starting = name
        super()._spawn(name, arguments)
        self._starting = _NOBODY
