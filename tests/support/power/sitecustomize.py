"""An agent whose machine may lose power, with all that it starts: for `PYTHONPATH`.

`POWER_DISK` names the directory of what was synced, `POWER_PYTHON` the interpreter to start.
"""

import os
import sys
from pathlib import Path

if _disk := os.environ.get("POWER_DISK"):
    from synced import watch  # type: ignore[import-not-found]

    watch(Path(_disk))
    sys.executable = os.environ["POWER_PYTHON"]
