"""The server's clock is set while it runs, and agents whose clocks are off."""

import calendar
import email.utils
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from pushcli import keys
from pushcli.protocol.timestamps import format_iso8601, format_rfc1123
from pushcli.sandbox.sandbox import Sandbox
from tests.support import key_files
from tests.support.captured import captured
from tests.support.fleet import Fleet
from tests.support.identities import Signer, operator
from tests.support.old_agent import OldAgent, enroll
from tests.support.waiting import job_is, patient, start, until

pytestmark = pytest.mark.timeout(patient(40))
STEP = 600.0
"""Less than what signed requests may be off, and more than messages may."""


class Stepped:
    """A server whose clock the test sets."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(directory, [], settings={"heartbeat_interval": 5000})
        self.fleet.make_server()
        self.offset = directory / "offset"
        self.set(0.0)
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def set(self, seconds: float) -> None:
        fresh = self.offset.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self.offset)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.stepped_server",
             str(self.fleet.server_directory), str(self.offset)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stderr is not None
        while "ready" not in (line := self._process.stderr.readline()):
            assert line, "the server did not start"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def stepped(tmp_path: Path) -> Iterator[Stepped]:
    server = Stepped(tmp_path)
    yield server
    server.kill()
    server.fleet.stop()


def date_of(job: dict[str, str], key: str) -> float:
    parsed = email.utils.parsedate(job[key])
    assert parsed is not None
    return calendar.timegm(parsed)


def test_jobs_are_dated_by_the_clock_as_it_is_and_deadlines_stay(
    stepped: Stepped, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    api = stepped.fleet.api
    agent = OldAgent(stepped.fleet, context, "n1")
    agent.come_online()
    stepped.fleet.wait_available(["n1"])
    running = start(stepped.fleet, "x", "n1", run_timeout=120)
    agent.expect("commit")
    agent.send("ack_commit", running)
    agent.expect("run")
    agent.send("ack_run", running)
    until(lambda: "running" in api.job(running)["nodes"], "it runs")
    stepped.set(STEP)
    agent.send(
        "heartbeat", running, job_state="running", timestamp=format_rfc1123(time.time() + STEP)
    )
    later = start(stepped.fleet, "x", "nosuch")
    dated = api.job(later)
    for key in ("created_at", "updated_at"):
        assert abs(date_of(dated, key) - (time.time() + STEP)) < patient(5)
    assert api.job(running)["status"] == "running", "its deadline did not come nearer"
    record = api.get("audit", {"target": later})["records"][0]
    assert abs(record["at"] - (time.time() + STEP)) < patient(5)
    # What is stored of the deadline holds by the clock as it is now.
    stepped.kill()
    stepped.start()
    assert api.job(running)["status"] == "running"
    agent.connect()
    agent.send("succeeded", running, timestamp=format_rfc1123(time.time() + STEP))
    ended = job_is(stepped.fleet, running, "complete")
    assert abs(date_of(ended, "updated_at") - (time.time() + STEP)) < patient(5)
    assert abs(date_of(ended, "created_at") - time.time()) < patient(10)
    agent.close()


def test_a_run_timeout_comes_when_it_was_due(
    stepped: Stepped, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    agent = OldAgent(stepped.fleet, context, "n1")
    agent.come_online()
    stepped.fleet.wait_available(["n1"])
    began = time.monotonic()
    running = start(stepped.fleet, "x", "n1", run_timeout=2)
    agent.expect("commit")
    agent.send("ack_commit", running)
    agent.expect("run")
    stepped.set(-STEP)

    def timed_out() -> bool:
        agent.send(
            "heartbeat", running, job_state="running", timestamp=format_rfc1123(time.time() - STEP)
        )
        return bool(stepped.fleet.api.job(running)["status"] == "timed_out")

    # Not after ten minutes, because the clock was set back.
    until(timed_out, "the run timeout comes")
    assert time.monotonic() - began >= 2.0
    agent.close()


# --- clocks of agents


@pytest.mark.parametrize(("ahead", "words"), [(412.0, "ahead of"), (-500.0, "behind")])
def test_node_status_says_whose_clock_keeps_a_node_out(
    server: Sandbox, context: "zmq.Context[zmq.Socket[bytes]]", ahead: float, words: str
) -> None:
    agent = OldAgent(server, context, f"skewed{int(abs(ahead))}")
    agent.come_online()
    server.wait_available([agent.name])
    agent.send("heartbeat", job_state="idle", timestamp=format_rfc1123(time.time() + ahead))
    server.wait_available([agent.name], available=False)
    status = server.api.get(f"pushy/node_status/{agent.name}")
    assert status["reason"].startswith("offline: its clock is ")
    assert status["reason"].endswith(f" s {words} the server's")
    assert abs(status["clock_ahead"] - ahead) < patient(2)
    shown = server.cli("node", "status", agent.name)
    assert "its clock is" in shown.stderr
    assert "synchronize it" in shown.stderr
    agent.heartbeat()
    agent.expect("ack")
    assert "reason" not in server.api.get(f"pushy/node_status/{agent.name}")
    agent.close()


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
def test_a_config_request_that_is_refused_for_its_time_says_why_the_node_is_not_there(
    server: Sandbox, ahead: float
) -> None:
    name = f"late{int(ahead)}".replace("-", "m")
    profile = enroll(server, name)
    client = Signer(server, name, key_files.read(Path(profile.client_key)))
    when = format_iso8601(time.time() + ahead)
    query = "?ccpk=" + "0" * 40
    answer = client.raw("GET", f"pushy/config/{name}", query=query, user=name, timestamp=when)
    assert answer.status == 401
    reason = server.api.get(f"pushy/node_status/{name}")["reason"]
    way = "ahead of" if ahead > 0 else "behind"
    said = re.fullmatch(rf"offline: its clock is (\d+) s {way} the server's", reason)
    assert said is not None, reason
    assert abs(int(said[1]) - abs(ahead)) < patient(3)


def test_nobody_elses_word_is_taken_for_a_nodes_clock(server: Sandbox) -> None:
    profile = enroll(server, "honest")
    when = format_iso8601(time.time() - 7200)
    query = "?ccpk=" + "0" * 40
    thief = Signer(server, "honest", keys.generate())
    own = Signer(server, "honest", key_files.read(Path(profile.client_key)))
    for client, name in ((thief, "honest"), (own, "other")):
        path = f"pushy/config/{name}"
        answer = client.raw("GET", path, query=query, user="honest", timestamp=when)
        assert answer.status == 401
        assert "clock" not in server.api.get(f"pushy/node_status/{name}")["reason"]


def test_a_captured_start_starts_nothing_after_the_clock_was_set_back(stepped: Stepped) -> None:
    one = captured(operator(stepped.fleet), "POST", "pushy/jobs", {"command": "x", "nodes": ["no"]})
    first = one.send()
    assert first.status == 201
    stepped.set(-STEP)
    assert [one.send().json for _ in range(4)] == [first.json] * 4
