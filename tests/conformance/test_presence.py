"""Presence as section 7 has it, seen by a scripted old agent: raw frames, no extensions.

The server beats every 250 ms here: silence counts as offline after about a second.
"""

import time

import pytest

from pushcli.protocol.timestamps import format_rfc1123
from pushcli.sandbox.sandbox import Sandbox
from tests.support.old_agent import MakeAgent, OldAgent, availability
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(40)
UNKNOWN_JOB = "f" * 32


def test_in_rehab_a_node_is_online_but_not_available(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    agent.heartbeat()
    agent.expect("abort")
    assert availability(server, agent) == ("online", "unavailable")
    agent.send("aborted")
    server.wait_available([agent.name])
    assert availability(server, agent) == ("online", "available")


def test_the_abort_is_repeated_every_second_until_it_is_answered(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    agent.heartbeat()
    agent.expect("abort")
    start = time.monotonic()
    aborts = []
    for _ in range(9):
        if (message := agent.receive(0.25)) is None:
            agent.heartbeat()
        elif message["type"] == "abort":
            aborts.append(message)
    assert 1 <= len(aborts) <= time.monotonic() - start + 1
    # It answers all of them at once, as one does that was deaf: none may reach a job.
    for _ in range(len(aborts) + 1):
        agent.send("aborted")
    server.wait_available([agent.name])


def test_nobody_in_rehab_is_asked_to_commit(server: Sandbox, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.heartbeat()
    agent.expect("abort")
    job_id = server.api.start_job({"command": "x", "nodes": [agent.name]})
    job = server.api.job(job_id)
    assert (job["status"], job["nodes"]) == ("quorum_failed", {"unavailable": [agent.name]})


def test_silence_makes_a_node_offline_and_a_heartbeat_brings_it_back(
    server: Sandbox, agent: OldAgent
) -> None:
    start = time.monotonic()
    server.wait_available([agent.name], available=False)
    assert time.monotonic() - start > 0.6
    assert availability(server, agent) == ("offline", "unavailable")
    agent.heartbeat()
    assert agent.expect("ack")
    server.wait_available([agent.name])


def test_a_closed_socket_alone_changes_nothing(server: Sandbox, agent: OldAgent) -> None:
    agent.connect()
    agent.heartbeat()
    agent.expect("ack")
    assert availability(server, agent) == ("online", "available")


def test_a_reconfigure_keeps_key_and_incarnation_and_the_node_stays(
    server: Sandbox, agent: OldAgent
) -> None:
    agent.configure()
    agent.connect()
    agent.heartbeat()
    agent.expect("ack")
    assert availability(server, agent) == ("online", "available")


def test_a_restart_is_noticed_with_the_config_request(server: Sandbox, agent: OldAgent) -> None:
    # A second request within the same second but with another key is taken for a replay.
    before = int(time.time())
    until(lambda: int(time.time()) > before, "a new second begins")
    agent.restart()
    assert availability(server, agent)[1] == "unavailable"
    agent.come_online()
    server.wait_available([agent.name])


@pytest.mark.parametrize("state", ["committed", "running"])
def test_a_heartbeat_that_names_an_unknown_job_leads_to_rehab(agent: OldAgent, state: str) -> None:
    agent.heartbeat(state, UNKNOWN_JOB)
    agent.expect("abort")


@pytest.mark.parametrize("job_id", [None, UNKNOWN_JOB, "x" * 64])
@pytest.mark.parametrize("kind", ["ack_commit", "nack_commit", "ack_run", "nack_run", "succeeded"])
def test_any_other_message_about_no_live_job_leads_to_rehab(
    agent: OldAgent, kind: str, job_id: str | None
) -> None:
    agent.send(kind, job_id)
    agent.expect("abort")


@pytest.mark.parametrize("job_id", [None, UNKNOWN_JOB])
def test_aborted_never_causes_rehab(server: Sandbox, agent: OldAgent, job_id: str | None) -> None:
    agent.send("aborted", job_id)
    assert agent.receive(0.4) is None
    assert availability(server, agent) == ("online", "available")


def test_an_incarnation_that_was_left_is_never_new_again(agent: OldAgent) -> None:
    old, agent.incarnation = agent.incarnation, "next-run"
    agent.heartbeat()
    agent.expect("abort")
    agent.send("aborted")
    agent.incarnation = old
    agent.heartbeat()
    assert agent.receive(0.4) is None


def test_two_machines_under_one_name_are_a_conflict(server: Sandbox, agent: OldAgent) -> None:
    first, second = agent.incarnation, "clone"
    agent.incarnation = second
    agent.come_online()
    server.wait_available([agent.name])

    def both_talk() -> bool:
        for agent.incarnation in (first, second):
            agent.heartbeat()
        return availability(server, agent)[1] == "unavailable"

    until(both_talk, "the conflict is noticed")
    job_id = server.api.start_job({"command": "x", "nodes": [agent.name]})
    assert server.api.job(job_id)["nodes"] == {"unavailable": [agent.name]}
    [node] = server.api.job_nodes(job_id)
    assert "two agents use this name (both at 127.0.0.1)" in node["reason"]

    def one_talks() -> bool:
        agent.heartbeat()
        return availability(server, agent)[1] == "available"

    until(one_talks, "the conflict is over once the other is silent")


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_message_from_a_clock_that_is_too_far_off_is_dropped(
    server: Sandbox, agent: OldAgent, seconds: float
) -> None:
    agent.send(
        "heartbeat", UNKNOWN_JOB, job_state="running",
        timestamp=format_rfc1123(time.time() + seconds),
    )  # fmt: skip
    assert agent.receive(0.4) is None


def test_a_body_beyond_max_body_size_is_dropped(agent: OldAgent) -> None:
    agent.send("succeeded", UNKNOWN_JOB, stdout="x" * 66_000, stderr="")
    assert agent.receive(0.4) is None
    agent.send("succeeded", UNKNOWN_JOB, stdout="x" * 60_000, stderr="")
    agent.expect("abort")


def test_output_of_an_old_agent_comes_in_one_piece_unchanged(
    server: Sandbox, agent: OldAgent
) -> None:
    body = {"command": "x", "nodes": [agent.name], "capture_output": True}
    job_id = server.api.start_job(body)
    assert agent.expect("commit")["capture"] is True
    agent.send("ack_commit", job_id)
    agent.expect("run")
    agent.send("ack_run", job_id)
    agent.send("succeeded", job_id, stdout="café ☃\n\x1b[31m", stderr="")
    until(lambda: server.api.job(job_id)["status"] == "complete", "the job is complete")
    assert server.api.job_output(job_id, agent.name, "stdout") == "café ☃\n\x1b[31m".encode()
    assert server.api.job_output(job_id, agent.name, "stderr") == b""
    assert agent.receive(0.3) is None, "an acknowledgement is an extension"


def test_a_file_of_100000_bytes_fits_into_a_commit(server: Sandbox, agent: OldAgent) -> None:
    file = "raw:" + "x" * 100_000
    server.api.start_job({"command": "x", "nodes": [agent.name], "file": file})
    assert agent.expect("commit")["file"] == file


def test_a_repeated_request_starts_one_job(server: Sandbox) -> None:
    body = {"command": "x", "nodes": ["nosuch"]}
    header = {"X-Pushcli-Request-Id": "once"}
    first = server.api.post("pushy/jobs", body, header)
    assert server.api.post("pushy/jobs", body, header) == first
    # knife's own header, which it reuses for other bodies, means nothing.
    other = {"X-Remote-Request-Id": "once"}
    assert server.api.post("pushy/jobs", body, other) != server.api.post("pushy/jobs", body, other)
