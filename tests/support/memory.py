"""What memory a process has."""

from pathlib import Path


def rss_mib(pid: int) -> float:
    """Resident memory."""
    return _rollup(pid, "Rss:")


def pss_mib(pid: int) -> float:
    """Proportional memory: what is shared counts by its share."""
    return _rollup(pid, "Pss:")


def _rollup(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise ValueError(field)
