"""A program whose date a test sets, with all that it starts: for `PYTHONPATH`.

`STEPPED_BY` names a file with the seconds by which the date is off now.
"""

import os
import time
from pathlib import Path


def _step(file: Path) -> None:
    real = time.time

    def stepped() -> float:
        return real() + float(file.read_text())

    time.time = stepped


if _named := os.environ.get("STEPPED_BY"):
    _step(Path(_named))
