"""Runs a program that finds nothing but the standard library, on a machine that may lose power.

As `python -I -S isolated.py PROGRAM ARGUMENTS`; `POWER_DISK` as for `sitecustomize`.
"""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from synced import watch  # type: ignore[import-not-found]

watch(Path(os.environ["POWER_DISK"]))
sys.argv = sys.argv[1:]
__file__ = sys.argv[0]
exec(compile(Path(__file__).read_bytes(), __file__, "exec"))
