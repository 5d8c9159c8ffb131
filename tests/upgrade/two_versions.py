"""A fleet whose server is of one version, its agents and its operator of another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.upgrade.kept import VersionedFleet

WHITELIST = {
    "environment": "echo $A; pwd; cat $CHEF_PUSH_JOB_FILE; seq 1 20000; echo oops >&2",
    "seq": "seq 1 3",
    "sleep": "sleep 60",
    "wait": 'echo begun; while [ ! -e "$GO" ]; do sleep 0.05; done; seq 1 4000',
}
WIDENED: dict[str, dict[str, object]] = {
    "environment": {"env": ["A"], "dirs": ["/usr"]},
    "wait": {"env": ["GO"]},
}
"""What jobs may choose: agents of the present version want it said, the previous one's keys do
not say it.
"""
NODES = ("n1",)


@contextmanager
def fleet_of(
    directory: Path, *, server: Path | None, agents: Path | None
) -> Iterator[tuple[VersionedFleet, VersionedFleet]]:
    """A running fleet of two versions: what runs its server, and what its agents and operator.

    Args:
        server, agents: where a version is installed; None: the present one.
    """
    first = VersionedFleet(directory, NODES, program=server)
    whitelist = (
        WHITELIST
        if agents is not None
        else {
            name: {"command_line": command, **WIDENED.get(name, {})}
            for name, command in WHITELIST.items()
        }
    )
    second = VersionedFleet(directory, NODES, program=agents, whitelist=whitelist)
    second.ports = first.ports
    try:
        first.make_server()
        first.start_server()
        second.enroll(NODES)
        for node in NODES:
            second.start_agent(node)
        second.wait_available(NODES)
        yield first, second
    finally:
        second.stop()
        first.stop()


def is_of(fleet: VersionedFleet, name: str, program: Path) -> bool:
    """Whether a process of the fleet runs the version that is installed there."""
    variables = Path(f"/proc/{fleet.pid(name)}/environ").read_bytes().split(b"\0")
    return f"PYTHONPATH={program}".encode() in variables
