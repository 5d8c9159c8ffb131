"""Which run of the kernel this is."""

import time
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Boot(NamedTuple):
    """One run of the kernel.

    Args:
        id: another one after each restart of the machine; empty where nobody knows.
        began_at: seconds since the epoch.
    """

    id: str = ""
    began_at: float = 0.0


UNKNOWN = Boot()


def current() -> Boot:
    """The one that there is."""
    began_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        return Boot(_BOOT_ID.read_text("ascii").strip(), began_at)
    except (OSError, UnicodeDecodeError):
        return Boot("", began_at)
