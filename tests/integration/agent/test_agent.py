"""The real agent process against a scripted server, over real sockets."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.protocol import extensions, wire
from pushcli.protocol.timestamps import format_rfc1123
from tests.support.agent_process import AgentProcess, agent_process
from tests.support.full_disk import fill, small_disk
from tests.support.scripted_server import INTERVAL, NODE, ORG, ScriptedServer, decoded
from tests.support.waiting import until

pytestmark = pytest.mark.slow

# Never the same twice: what is left of a job is found by its id on the whole machine.
JOB, OTHER = uuid.uuid4().hex, uuid.uuid4().hex
OLD_KEYS = {
    "node", "client", "protocol_version", "org", "type", "sequence", "timestamp",
    "incarnation_id", "job_id",
}  # fmt: skip
WHITELIST = {
    "hello": "echo out; echo err >&2",
    "fail3": "exit 3",
    "sleep": "sleep 300",
    "wait": 'while [ ! -e "$GATE" ]; do sleep 0.05; done; echo released',
    "large": "head -c 300000 /dev/zero; head -c 40000 /dev/zero >&2",
    "binary": r"printf '\377\000\376'",
}


@pytest.fixture
def agent(tmp_path: Path, key_file: Path, server: ScriptedServer) -> Iterator[AgentProcess]:
    """Not started yet."""
    assert key_file.parent == tmp_path
    with agent_process(tmp_path, server.url, WHITELIST) as process:
        yield process


def commit(server: ScriptedServer, peer: bytes, job_id: str, command: str, **more: object) -> None:
    server.send(peer, "commit", job_id=job_id, server="push", command=command, **more)


def test_the_first_message_is_a_heartbeat_as_old_servers_know_it(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    message = server.receive(10)
    assert message.header.startswith(b"Version:2.0;SigningMethod:hmac_sha256;Signature:")
    assert set(message.body) == OLD_KEYS | {"job_state"}
    assert message.body["node"] == NODE
    assert message.body["org"] == ORG
    assert message.body["protocol_version"] == "2.0"
    assert (message.body["job_state"], message.body["job_id"]) == ("idle", None)


def test_a_job_is_committed_run_and_its_result_repeated_until_acknowledged(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "hello", capture=True)
    result = server.expect("succeeded", job_id=JOB).body
    assert (result["exit_code"], result["spooled"]) == (0, True)
    assert decoded(result["stdout_base64"]) == b"out\n"
    assert decoded(result["stderr_base64"]) == b"err\n"
    assert server.expect("heartbeat").body["pending_results"] == [JOB]
    again = server.expect("succeeded", job_id=JOB).body
    assert {**again, "sequence": 0, "timestamp": 0} == {**result, "sequence": 0, "timestamp": 0}
    server.send(peer, "ack_result", job_id=JOB)
    until(lambda: not list((agent.directory / "spool").glob(f"*{JOB}*")), "it is forgotten")
    server.types_for(0.5)
    assert "pending_results" not in server.expect("heartbeat", job_state="idle").body


def test_a_command_that_fails_says_how(agent: AgentProcess, server: ScriptedServer) -> None:
    agent.start()
    server.run(server.meet(), JOB, "fail3")
    result = server.expect("failed", job_id=JOB).body
    assert result["exit_code"] == 3
    assert "stdout_base64" not in result


def test_what_is_not_on_the_whitelist_is_nacked_with_the_reason(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    commit(server, server.meet(), JOB, "rm -rf /")
    assert "whitelist" in server.expect("nack_commit", job_id=JOB).body["reason"]


@pytest.mark.parametrize(
    ("kind", "fields", "nack"),
    [
        ("commit", {"job_id": OTHER}, "nack_commit"),
        ("commit", {"command": "hello"}, "nack_commit"),
        ("commit", {"job_id": OTHER, "command": "hello", "env": {"A": 1}}, "nack_commit"),
        ("run", {}, "nack_run"),
        ("run", {"job_id": ["x"]}, "nack_run"),
    ],
)
def test_malformed_commands_are_nacked_with_no_job_id(
    agent: AgentProcess, server: ScriptedServer, kind: str, fields: dict[str, object], nack: str
) -> None:
    agent.start()
    server.send(server.meet(), kind, **fields)
    assert server.expect(nack).body["job_id"] is None


def test_a_busy_agent_nacks_other_jobs_and_acknowledges_repeats(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    commit(server, peer, JOB, "sleep")
    server.expect("ack_commit", job_id=JOB)
    commit(server, peer, JOB, "sleep")
    server.expect("ack_commit", job_id=JOB)
    commit(server, peer, OTHER, "hello")
    assert JOB in server.expect("nack_commit", job_id=OTHER).body["reason"]
    assert server.expect("heartbeat", job_state="committed").body["job_id"] == JOB
    server.send(peer, "run", job_id=OTHER)
    server.expect("nack_run", job_id=OTHER)
    for _ in range(2):
        server.send(peer, "run", job_id=JOB)
        server.expect("ack_run", job_id=JOB)
    server.expect("heartbeat", job_state="running", job_id=JOB)
    server.send(peer, "abort")
    server.expect("aborted", job_id=JOB, timeout=8)


def test_an_abort_ends_the_command_and_is_answered_once_it_is_gone(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "sleep")
    until(lambda: "running" in (agent.directory / "spool" / JOB / "lock").read_text())
    server.send(peer, "abort")
    server.send(peer, "abort")
    assert server.expect("aborted", timeout=8).body["job_id"] == JOB
    assert server.expect("aborted").body["job_id"] is None
    assert server.expect("heartbeat").body["job_state"] == "idle"
    server.run(peer, OTHER, "hello")
    server.expect("succeeded", job_id=OTHER)
    # How it ended is told all the same, as the result of an aborted command.
    told = [message.body for message in server.seen if message.type == "failed"]
    assert told
    assert {(body["job_id"], body["aborted"], body["signal"]) for body in told} == {(JOB, True, 15)}


def test_a_server_that_takes_no_partial_results_hears_of_an_abort_as_before(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    # Without streams, too: output of a command that takes long would wait for an answer.
    server.offers -= {extensions.PARTIAL}
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "sleep", capture=True)
    server.send(peer, "abort")
    assert server.expect("aborted", timeout=8).body["job_id"] == JOB
    assert "failed" not in server.types_for(1.5)
    server.run(peer, OTHER, "hello", capture=True)
    body = server.expect("succeeded", job_id=OTHER).body
    assert not body.keys() & {"aborted", "lost", "stdout_dropped", "stderr_dropped"}


def test_what_an_aborted_command_wrote_is_delivered(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    # Nobody acknowledges output here: it comes with the result.
    agent.write(server.url, {"talk": "echo said; echo too >&2; exec sleep 300"})
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "talk", capture=True)
    stdout = agent.directory / "spool" / JOB / "stderr"
    until(lambda: stdout.read_text() == "too\n")
    server.send(peer, "abort")
    server.expect("aborted", job_id=JOB, timeout=8)
    body = server.expect("failed", job_id=JOB).body
    assert (body["aborted"], body["spooled"]) == (True, True)
    assert decoded(body["stdout_base64"]) == b"said\n"
    assert decoded(body["stderr_base64"]) == b"too\n"
    server.send(peer, "ack_result", job_id=JOB)
    until(lambda: list((agent.directory / "spool").iterdir()) == [])


@pytest.mark.parametrize("restart", [False, True])
def test_what_a_command_wrote_that_lost_its_supervisor_is_delivered(
    agent: AgentProcess, server: ScriptedServer, restart: bool
) -> None:
    agent.write(server.url, {"talk": "echo said; exec sleep 300"})
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "talk", capture=True)
    spooled = agent.directory / "spool" / JOB
    until(lambda: (spooled / "stdout").read_text() == "said\n")
    supervisor = int((spooled / "lock").read_text().split()[0])
    if restart:
        agent.end(signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    if restart:
        agent.start()
        server.meet_again(peer)
        assert server.requests[-1].query["adopts"] == [JOB]
        body = next(m.body for m in reversed(server.seen) if m.type == "failed")
    else:
        body = server.expect("failed", job_id=JOB).body
    assert body["lost"] is True
    assert "exit_code" not in body
    assert decoded(body["stdout_base64"]) == b"said\n"


def test_a_full_disk_is_named_in_the_vote(
    agent: AgentProcess, server: ScriptedServer, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        agent.write(server.url, WHITELIST, spool_dir=str(disk / "spool"))
        agent.start()
        peer = server.meet()
        ballast = fill(disk)
        commit(server, peer, JOB, "hello", file="raw:some content")
        reason = server.expect("nack_commit", job_id=JOB).body["reason"]
        assert reason == f"no space left on the disk of {disk}/spool (mounted at {disk})"
        assert list((disk / "spool").iterdir()) == []
        assert list((tmp_path / "files").iterdir()) == []
        server.send(peer, "check", check_id="c1", command="hello")
        checked = server.expect("checked", check_id="c1").body
        assert ("ready" not in checked, checked["reason"]) == (True, reason)
        ballast.unlink()
        server.send(peer, "check", check_id="c2", command="hello")
        assert server.expect("checked", check_id="c2").body["ready"] is True
        server.run(peer, OTHER, "hello")
        server.expect("succeeded", job_id=OTHER)
        agent.end()


def test_a_full_disk_of_job_files_is_named_in_the_vote(
    agent: AgentProcess, server: ScriptedServer, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        agent.write(server.url, WHITELIST, file_dir=str(disk / "files"))
        (disk / "files").mkdir(mode=0o711)
        agent.start()
        peer = server.meet()
        fill(disk)
        commit(server, peer, JOB, "hello", file="raw:some content")
        reason = server.expect("nack_commit", job_id=JOB).body["reason"]
        assert f"no space left on the disk of {disk}/files (mounted at {disk})" in reason
        assert list((disk / "files").iterdir()) == []


def test_a_disk_that_fills_while_a_command_writes_is_told_with_a_size(
    agent: AgentProcess, server: ScriptedServer, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        agent.write(server.url, WHITELIST, spool_dir=str(disk / "spool"))
        agent.start()
        peer = server.meet()
        commit(server, peer, JOB, "large", capture=True)
        server.expect("ack_commit", job_id=JOB)
        fill(disk)
        server.send(peer, "run", job_id=JOB)
        body = server.expect("succeeded", job_id=JOB).body
        assert (body["stdout_dropped"], body["stderr_dropped"]) == (300_000, 40_000)
        assert decoded(body["stdout_base64"]) == b"\n[output cut: 300000 more bytes]\n"
        agent.end()


def test_a_command_that_ignores_term_leaves_the_agent_talking(
    agent: AgentProcess, server: ScriptedServer, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    command = f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"
    agent.write(server.url, {"stubborn": command})
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "stubborn")
    while not ready.exists():
        server.types_for(0.05)
    server.send(peer, "abort")
    beats = 0
    while (message := server.receive(8)).type != "aborted":
        beats += message.type == "heartbeat" and message.body["job_state"] == "running"
    assert message.body["job_id"] == JOB
    assert beats >= 4 / INTERVAL * 0.5
    server.expect("heartbeat", job_state="idle")


def test_an_idle_agent_answers_an_abort_with_no_job_id(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    server.send(server.meet(), "abort")
    assert server.expect("aborted").body["job_id"] is None


def test_large_output_is_streamed_and_resumed_where_the_server_says(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "large", capture=True)
    held = {"stdout": bytearray(), "stderr": bytearray()}
    lost_once = False
    while (message := server.receive()).type != "succeeded":
        if message.type != "output":
            continue
        body, data = message.body, held[message.body["channel"]]
        if len(data) > 100_000 and not lost_once:
            # As a server does that was restarted and had not written all to disk.
            lost_once = True
            del data[65_536:]
        elif body["offset"] == len(data):
            data += decoded(body["data"])
        server.send(peer, "ack_output", job_id=JOB, channel=body["channel"], size=len(data))
    assert (message.body["stdout_size"], message.body["stderr_size"]) == (300_000, 40_000)
    assert held == {"stdout": bytes(300_000), "stderr": bytes(40_000)}
    server.send(peer, "ack_output", job_id=JOB, channel="stderr", size=32_768)
    assert server.expect("output", channel="stderr").body["offset"] == 32_768
    server.send(peer, "ack_output", job_id=JOB, channel="stderr", size=40_000)
    server.expect("succeeded", job_id=JOB)
    server.send(peer, "ack_result", job_id=JOB)


def test_an_old_server_gets_results_once_and_nothing_that_it_does_not_know(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    server.offers = frozenset()
    agent.start()
    peer = server.meet()
    commit(server, peer, OTHER, "nothing")
    assert set(server.expect("nack_commit").body) == OLD_KEYS
    server.run(peer, JOB, "binary", capture=True)
    result = server.expect("succeeded", job_id=JOB).body
    assert set(result) == OLD_KEYS | {"stdout", "stderr"}
    assert (result["stdout"], result["stderr"]) == ("���", "")
    assert set(server.types_for(1.5)) == {"heartbeat"}
    assert set(server.seen[-1].body) == OLD_KEYS | {"job_state"}
    server.run(peer, OTHER, "large", capture=True)
    result = server.expect("succeeded", job_id=OTHER).body
    assert "[output cut: " in result["stdout"]


# --- connections


def test_without_a_message_within_three_seconds_it_fetches_and_connects_anew(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    server.meet_again(server.expect("heartbeat", timeout=10).peer)
    assert len(server.requests) == 2
    assert server.requests[0].query["ccpk"] == server.requests[1].query["ccpk"]


def test_a_server_that_is_not_heard_gets_no_heartbeats_until_it_is_heard_again(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    server.meet()
    server.expect("heartbeat")
    server.refuse = (503, {"error": ["down"]})
    server.beating.clear()
    agent.wait_for_log("it is offline")
    agent.wait_for_log("no configuration: the server failed (503): down")
    server.types_for(0.2)
    assert server.types_for(2 * INTERVAL) == []
    server.refuse = None
    server.beating.set()
    assert server.expect("heartbeat").body["job_state"] == "idle"


def test_a_new_incarnation_of_the_server_is_asked_for_its_configuration(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "sleep")
    server.incarnation = "server-2"
    message = server.meet_again(peer)
    assert (message.body["job_state"], message.body["job_id"]) == ("running", JOB)
    assert len(server.requests) == 2
    server.send(message.peer, "abort")
    server.expect("aborted", job_id=JOB, timeout=8)


def test_sigusr1_fetches_the_configuration_and_the_whitelist_anew(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    agent.write(server.url, {"new": "true"})
    agent.send_signal(signal.SIGUSR1)
    message = server.meet_again(peer)
    assert len(server.requests) == 2
    assert message.body["incarnation_id"] == server.seen[0].body["incarnation_id"]
    server.run(message.peer, JOB, "new")
    server.expect("succeeded", job_id=JOB)


def test_a_whitelist_that_cannot_be_read_leaves_the_last_good_one_in_force(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    (agent.directory / "agent.toml").write_text("[whitelist\n")
    agent.send_signal(signal.SIGUSR1)
    agent.wait_for_log("agent.toml was not reloaded")
    server.run(server.meet_again(peer).peer, JOB, "hello")


def test_a_command_channel_that_comes_back_is_used_again_and_results_go_first(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "hello")
    server.expect("succeeded", job_id=JOB)
    server.router.close()
    server.open_command_channel(server.command_port)
    first = server.receive(10)
    assert (first.type, first.body["job_id"]) == ("succeeded", JOB)
    assert server.receive().type == "heartbeat"
    server.send(first.peer, "ack")
    server.send(first.peer, "ack_result", job_id=JOB)
    server.expect("heartbeat")
    assert "pending_results" not in server.expect("heartbeat").body


# --- what is not believed


def test_wrongly_signed_replayed_and_late_commands_are_dropped(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()

    def command(sequence: int, late: float = 0.0) -> bytes:
        stamp = format_rfc1123(time.time() - late)
        value = {"type": "abort", "sequence": sequence, "timestamp": stamp}
        return json.dumps(value).encode()

    server.send_body(peer, command(50), key=b"x" * 32)
    server.send_body(peer, command(51, late=301))
    server.send_body(peer, command(52, late=-301))
    server.send_body(peer, command(1))
    server.router.send_multipart([peer, *wire.seal_broadcast(command(53), server.rsa_key)])
    server.router.send_multipart([peer, b"one frame"])
    server.router.send_multipart([peer, b"a", b"b", b"c"])
    server.router.send_multipart([peer, *wire.seal(b"[" * 60_000, server.session_key)])
    assert set(server.types_for(1.0)) <= {"heartbeat", "whitelist_report", "facts"}
    server.send_body(peer, command(54))
    server.expect("aborted")
    assert "dropped a message on the command channel: wrong signature" in agent.log.read_text()


def test_heartbeats_that_another_key_signed_do_not_count(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    server.meet()
    server.expect("heartbeat")
    server.rsa_key, genuine = keys.generate(), server.rsa_key
    agent.wait_for_log("it is offline")
    server.rsa_key = genuine


# --- the process


def test_a_job_outlives_the_agent_and_its_result_is_adopted(
    agent: AgentProcess, server: ScriptedServer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "wait", capture=True, env={"GATE": str(gate)})
    assert agent.end(signal.SIGTERM) == 0
    agent.start()
    message = server.meet_again(peer)
    assert server.requests[-1].query["adopts"] == [JOB]
    assert server.requests[-1].query["ccpk"] != server.requests[0].query["ccpk"]
    assert (message.body["job_state"], message.body["job_id"]) == ("running", JOB)
    gate.touch()
    result = server.expect("succeeded", job_id=JOB).body
    assert decoded(result["stdout_base64"]) == b"released\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_ends_with_the_agent_where_that_is_wanted(
    agent: AgentProcess, server: ScriptedServer, tmp_path: Path, number: int
) -> None:
    agent.write(server.url, {"tell": "echo $$ > $OUT; exec sleep 300"}, jobs_outlive_agent=False)
    agent.start()
    out = tmp_path / "pid"
    server.run(server.meet(), JOB, "tell", env={"OUT": str(out)})
    pid = until(lambda: out.exists() and out.read_text().strip(), "it runs")
    agent.end(number)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the command has ended")
    agent.start()
    result = server.expect("failed", job_id=JOB).body
    assert (result["aborted"], result["signal"]) == (True, signal.SIGTERM)


def test_a_result_of_a_killed_agent_is_delivered_by_the_next(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "fail3")
    server.expect("failed", job_id=JOB)
    agent.end(signal.SIGKILL)
    agent.start()
    message = server.meet_again(peer)
    assert (message.type, message.body["job_id"]) == ("failed", JOB)
    assert server.requests[-1].query["adopts"] == [JOB]


def test_a_job_that_was_only_committed_ends_with_the_agent(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    peer = server.meet()
    commit(server, peer, JOB, "hello")
    server.expect("ack_commit", job_id=JOB)
    agent.end(signal.SIGKILL)
    agent.start()
    message = server.meet_again(peer)
    assert message.body["job_state"] == "idle"
    server.send(message.peer, "run", job_id=JOB)
    server.expect("nack_run", job_id=JOB)


def test_a_second_agent_on_the_same_directory_is_refused_in_one_line(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.start()
    server.meet()
    command = [sys.executable, "-m", "pushcli", "agent", "start", "--dir", str(agent.directory)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 10
    [line] = second.stderr.splitlines()
    assert f"(process {agent.pid})" in line


def test_sighup_reopens_the_log(agent: AgentProcess, server: ScriptedServer) -> None:
    log = agent.directory / "agent.log"
    agent.log = log
    log.touch()
    agent.start("-L", str(log))
    server.meet()
    agent.wait_for_log("the server answers")
    log.rename(agent.directory / "agent.log.1")
    log.touch()
    agent.send_signal(signal.SIGHUP)
    agent.send_signal(signal.SIGUSR1)
    agent.wait_for_log("connecting to")


@pytest.mark.parametrize("trouble", ["directory gone", "a directory", "full"])
def test_a_log_that_cannot_be_written_ends_nothing(
    agent: AgentProcess, server: ScriptedServer, trouble: str
) -> None:
    place = agent.directory / "logs"
    place.mkdir()
    log = agent.log = place / "agent.log"
    agent.start("-L", str(log))
    peer = server.meet()
    agent.wait_for_log("the server answers")
    pid, endless = agent.pid, resource.RLIM_INFINITY
    if trouble == "full":
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, endless))
    else:
        log.unlink()
    if trouble == "directory gone":
        place.rmdir()
    elif trouble == "a directory":
        log.mkdir()
    agent.send_signal(signal.SIGHUP)
    agent.send_signal(signal.SIGUSR1)
    # It fetches its configuration again, and says so in vain; then it works.
    peer = server.meet_again(peer).peer
    if trouble == "full":
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (endless, endless))
    server.run(peer, JOB, "hello")
    server.expect("succeeded")
    if trouble == "directory gone":
        place.mkdir()
    elif trouble == "a directory":
        log.rmdir()
    agent.send_signal(signal.SIGUSR1)
    agent.wait_for_log("lines of the log could not be written")
    assert agent.pid == pid
    assert agent.end() == 0


def test_an_agent_listens_on_no_port(agent: AgentProcess, server: ScriptedServer) -> None:
    agent.start()
    server.run(server.meet(), JOB, "hello")
    server.expect("succeeded")
    own = {str(fd.readlink()) for fd in Path(f"/proc/{agent.pid}/fd").iterdir() if fd.is_symlink()}
    bound = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{agent.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            # Of TCP those that listen; a datagram socket that nobody sent from is bound to one.
            if fields[3] == "0A" or (table.startswith("udp") and fields[3] == "07"):
                bound.add(f"socket:[{fields[9]}]")
    assert bound
    assert not own & bound


def test_an_idle_agent_is_small_and_still(agent: AgentProcess, server: ScriptedServer) -> None:
    agent.start()
    peer = server.meet()
    server.run(peer, JOB, "hello")
    server.expect("succeeded")
    server.send(peer, "ack_result", job_id=JOB)
    server.types_for(0.5)
    before = cpu_seconds(agent.pid)
    server.types_for(3.0)
    used = cpu_seconds(agent.pid) - before
    # Heartbeats here come four times as often as by default.
    assert used / 3.0 < 0.04
    assert pss(agent.pid) < 30 * 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LookupError("Pss")


def test_all_extensions_are_offered(agent: AgentProcess, server: ScriptedServer) -> None:
    agent.start()
    server.meet()
    assert server.requests[0].query["extensions"] == [extensions.render(extensions.ALL)]
