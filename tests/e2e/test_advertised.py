"""A server that agents reach at another address than its own, as behind NAT."""

from pathlib import Path

import pytest

from pushcli.sandbox.sandbox import free_ports
from tests.support.fleet import Fleet
from tests.support.tcp_way import tcp_way
from tests.support.waiting import job_is, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def test_an_agent_works_by_way_of_the_advertised_ports(tmp_path: Path) -> None:
    command_port, heartbeat_port = free_ports(2)
    with (
        tcp_way("127.0.0.1", command_port) as commands,
        tcp_way("127.0.0.1", heartbeat_port) as heartbeats,
    ):
        settings = {
            "advertised_host": "localhost",
            "advertised_command_port": commands.port,
            "advertised_heartbeat_port": heartbeats.port,
            "command_port": command_port,
            "server_heartbeat_port": heartbeat_port,
        }
        with Fleet(tmp_path, ["n1"], settings=settings, whitelist={"true": "true"}) as fleet:
            fleet.wait_available(["n1"])
            job = job_is(fleet, start(fleet, "true", "n1"), "complete")
            assert job["nodes"] == {"succeeded": ["n1"]}
            assert f"connecting to tcp://localhost:{commands.port}" in fleet.log("n1").read_text()
