"""Behind a real HAProxy for TCP, as docs/cluster.md says: old agents and knife know one name."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import free_ports
from tests.e2e.conftest import FAST, WHITELIST
from tests.support.fleet import Fleet
from tests.support.old_agent import OldAgent, availability
from tests.support.postgresql import throw_away_database
from tests.support.proxies import HAPROXY, haproxy, needs_haproxy, replaced, snippet
from tests.support.second_server import begins, beside
from tests.support.waiting import job_is, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), needs_haproxy]
NAMES = ("10003", "10002", "10000")
"""The ports of docs/cluster.md, in the order of a fleet's own."""


class Named(Fleet):
    """A fleet whose server is known by the balancer's address alone."""

    balancer = 0
    """The port of its REST, once it has one."""

    @property
    def url(self) -> str:
        """Through the balancer, if there is one."""
        own = super().url
        return own.replace(str(self.ports[0]), str(self.balancer)) if self.balancer else own


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Named, Fleet]]:
    """Two servers, of which the first works, and the balancer before them."""
    ports = free_ports(3)
    with throw_away_database() as url:
        advertised = {
            "advertised_host": "127.0.0.1",
            "advertised_command_port": ports[1],
            "advertised_heartbeat_port": ports[2],
        }
        more = {"database_url": url, "lease": 2, **advertised}
        with (
            Named(tmp_path / "first", [], whitelist=WHITELIST, settings={**FAST, **more}) as first,
            beside(first, tmp_path / "second") as second,
        ):
            changes = {"check port 10003 check-ssl verify none inter 2s": "check inter 500ms"}
            for name, own, other, here in zip(NAMES, first.ports, second.ports, ports, strict=True):
                changes[f"bind :{name}"] = f"bind 127.0.0.1:{here}"
                changes[f"push1.example.com:{name}"] = f"127.0.0.1:{own} port {first.ports[0]}"
                changes[f"push2.example.com:{name}"] = f"127.0.0.1:{other} port {second.ports[0]}"
            config = replaced(snippet("One name for all", "haproxy", page="cluster.md"), changes)
            with haproxy(tmp_path / "haproxy", config, ports[0]):
                first.balancer = ports[0]
                yield first, second


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_an_old_agent_and_its_job_go_on_at_the_other_server(
    pair: tuple[Named, Fleet], how: signal.Signals
) -> None:
    first, second = pair
    with zmq.Context[zmq.Socket[bytes]]() as context:
        agent = OldAgent(first, context, "old1")
        try:
            agent.come_online()
            until(lambda: available(first, agent), "it is there")
            job = start(first, "true", "old1")
            agent.expect("commit")
            agent.send("ack_commit", job)
            agent.expect("run")
            agent.send("ack_run", job)
            job_is(first, job, "running")

            os.kill(first.pid("server"), how)
            until(lambda: begins(second), "the second takes over")
            # By the same name, with what it has.
            asked = ("node", "status", "--server-url", first.url)
            until(lambda: first.cli(*asked).returncode == ExitStatus.OK, "it is found")
            agent.configure()
            agent.connect()
            agent.heartbeat("running", job)
            agent.expect("ack")
            agent.send("succeeded", job)
            job_is(second, job, "complete")
            assert second.api.job(job)["nodes"] == {"succeeded": ["old1"]}
            assert available(second, agent)
        finally:
            agent.close()
            os.kill(first.pid("server"), signal.SIGCONT)
    # The balancer asks all the time: nobody is told of that.
    for server in (first, second):
        assert "proved nothing" not in server.log("server").read_text()
        assert "dropped" not in server.log("server").read_text()


def available(fleet: Fleet, agent: OldAgent) -> bool:
    agent.heartbeat()
    return availability(fleet, agent) == ("online", "available")


def test_the_example_is_one_that_haproxy_takes(tmp_path: Path) -> None:
    """With its TLS, which the servers here do without."""
    config = replaced(
        snippet("One name for all", "haproxy", page="cluster.md"),
        {"push1.example.com": "127.0.0.1", "push2.example.com": "127.0.0.2"},
    )
    file = tmp_path / "haproxy.cfg"
    file.write_text(config)
    done = subprocess.run(
        [str(HAPROXY), "-c", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
