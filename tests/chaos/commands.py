"""The commands of chaos: each leaves a line where it began and where it ended, and known output."""

from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """One entry of the whitelist.

    Args:
        lines: that it writes to standard output, half of them at once.
        seconds: between the two halves.
    """

    lines: int
    seconds: float
    exit_code: int = 0

    def stdout(self, job: str, node: str) -> bytes:
        """All that it writes."""
        return f"{job} {node}\n".encode() * self.lines

    def stderr(self, job: str) -> bytes:
        """The same, of the other channel."""
        return f"{job}\n".encode()


COMMANDS = {
    "quick": Command(1, 0),
    "short": Command(40, 0.3),
    "fails": Command(10, 0.2, exit_code=3),
    "middle": Command(3000, 1.0),
    "big": Command(30_000, 0.6),
    "long": Command(20, 2.5),
}


def whitelist(directory: Path) -> dict[str, str]:
    """The entries, whose lines go to files of each node in this directory."""
    return {name: _script(directory, command) for name, command in COMMANDS.items()}


def effects(directory: Path, node: str, which: str) -> list[str]:
    """The jobs whose command `began` or `ended` on a node, once for each time."""
    file = directory / f"{node}.{which}"
    return file.read_text().splitlines() if file.exists() else []


def _script(directory: Path, command: Command) -> str:
    mark = f'echo "$CHEF_PUSH_JOB_ID" >> "{directory}/$CHEF_PUSH_NODE_NAME'
    write = 'yes "$CHEF_PUSH_JOB_ID $CHEF_PUSH_NODE_NAME" | head -n'
    half = command.lines // 2
    return "; ".join([
        f'{mark}.began"',
        f"{write} {half}",
        f"sleep {command.seconds:g}",
        f"{write} {command.lines - half}",
        'echo "$CHEF_PUSH_JOB_ID" >&2',
        f'{mark}.ended"',
        f"exit {command.exit_code}",
    ])  # fmt: skip
