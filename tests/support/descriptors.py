"""What this process has open: whatever is chosen, refused or handed on must not stay so."""

from pathlib import Path


def open_descriptors() -> list[str]:
    """Their numbers, with that of the directory that is read for it."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())
