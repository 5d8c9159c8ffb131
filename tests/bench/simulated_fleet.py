"""A real server with simulated nodes, and what it measures of itself."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pushcli import keys
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.support.metrics import metric
from tests.support.simulated import Plan, simulating
from tests.support.writers import register

PROCESSES = 2
INTERVAL = 1.0
"""Seconds between two heartbeats of a node."""
_PATIENCE = 300.0
_TICK = 0.02
_GLANCE = 0.25
"""Seconds between two looks at all metrics, which cost something themselves."""


def shares(names: list[str]) -> list[list[str]]:
    """The names, split over the processes."""
    return [names[i::PROCESSES] for i in range(PROCESSES)]


class SimulatedFleet(Sandbox):
    """A sandbox whose nodes are simulated in processes of their own."""

    def __init__(self, directory: Path, names: list[str], database_url: str = "") -> None:
        settings: dict[str, object] = {"heartbeat_interval": int(INTERVAL * 1000)}
        if database_url:
            settings["database_url"] = database_url
        super().__init__(directory, [], settings=settings)
        self.names = names

    @contextmanager
    def simulated(self, *, offered: str, old: bool) -> Iterator[float]:
        """With the server and all nodes; yields the seconds until the last is available."""
        self.make_server()
        key, key_file = keys.generate(), self.directory / "nodes.pem"
        keys.write_private_key(key_file, key)
        register(self.server_directory, ORG, self.names, keys.public_pem(key))
        self.start_server()
        url = self.url.partition("/organizations")[0]
        plans = [
            Plan(
                nodes=share, interval=INTERVAL, key_file=str(key_file), url=url,
                extensions=offered, old=old, network=f"127.{number}",
            )
            for number, share in enumerate(shares(self.names), 2)
        ]  # fmt: skip
        with simulating(*plans):
            yield self.wait_all()

    def wait_all(self) -> float:
        """Wait until every node is available; seconds."""
        start = time.monotonic()
        while (are := self.nodes_in("available")) < len(self.names):
            if time.monotonic() - start > _PATIENCE:
                raise SystemExit(f"only {are:.0f} nodes are available after {_PATIENCE:g} s")
            time.sleep(_GLANCE)
        return time.monotonic() - start

    def wait_for_end(self, job_id: str) -> str:
        """Wait until a job is over; its status. What is asked for is small, however many nodes."""
        while True:
            page = self.api.job_page({"limit": "1"})
            job = page["jobs"][0]
            assert job["id"] == job_id, job
            if job["status"] not in {"voting", "running"}:
                return str(job["status"])
            time.sleep(_TICK)

    def nodes_in(self, state: str) -> float:
        """How many nodes are in this state."""
        return self.metric("pushcli_nodes", state=state)

    def metric(self, name: str, **labels: str) -> float:
        """A sample of `/metrics`, summed up over its other labels."""
        return metric(self, name, **labels)


@contextmanager
def simulated_fleet(
    count: int, *, offered: str, old: bool = False, database_url: str = ""
) -> Iterator[tuple[SimulatedFleet, float]]:
    """So many nodes, and the seconds until all were available."""
    names = [f"n{number:05}" for number in range(count)]
    with tempfile.TemporaryDirectory(prefix="pushcli-bench-") as directory, ExitStack() as ended:
        fleet = SimulatedFleet(Path(directory), names, database_url)
        ended.callback(fleet.stop)
        seconds = ended.enter_context(fleet.simulated(offered=offered, old=old))
        yield fleet, seconds
