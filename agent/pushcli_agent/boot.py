"""Which run of the kernel this is."""

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def current() -> str:
    """Another one after each restart of the machine; empty where nobody knows."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
