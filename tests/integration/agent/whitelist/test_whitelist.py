"""How entries are run, and files that change while the agent runs: real processes throughout."""

import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.whitelist.entry import Entry
from pushcli_agent.running import entry_lock
from pushcli_agent.running.policy import PreparedJob
from pushcli_agent.running.spool import Spool
from tests.integration.agent.supervise.supervised import (
    NODE_ENV,
    errors,
    finish,
    output,
    prepared,
    processes,
    run,
    spool_in,
)
from tests.support.agent_process import AgentProcess, agent_process
from tests.support.scripted_server import ScriptedServer, decoded
from tests.support.waiting import patient, until

pytestmark = pytest.mark.slow

HELD = "lock: held by another process"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path / "spool") as spool:
        yield spool


@pytest.fixture
def agent(tmp_path: Path, key_file: Path, server: ScriptedServer) -> Iterator[AgentProcess]:
    """Not started yet."""
    assert key_file.parent == tmp_path
    with agent_process(tmp_path, server.url, {"hello": "echo hello"}) as process:
        yield process


def job_id() -> str:
    return uuid.uuid4().hex


def add(agent: AgentProcess, text: str, name: str = "test.toml") -> Path:
    """A file in whitelist.d, written as a whole."""
    directory = agent.directory / "whitelist.d"
    directory.mkdir(mode=0o755, exist_ok=True)
    new = directory / f".{name}"
    new.write_text(text)
    new.chmod(0o644)
    return new.rename(directory / name)


def nacked(server: ScriptedServer, peer: bytes, command: str, **fields: object) -> str:
    """The reason why this is not run."""
    job = job_id()
    server.send(peer, "commit", job_id=job, server="push", command=command, **fields)
    return str(server.expect("nack_commit", job_id=job).body["reason"])


def ran(server: ScriptedServer, peer: bytes, command: str, **fields: object) -> str:
    """What this writes."""
    job = job_id()
    server.run(peer, job, command, capture=True, **fields)
    body = server.expect("succeeded", job_id=job).body
    server.send(peer, "ack_result", job_id=job)
    return decoded(body.get("stdout_base64", "")).decode()


def comes_into_force(
    server: ScriptedServer, peer: bytes, command: str, expected: str, timeout: float = 4.0
) -> str:
    """Ask until it is run and not nacked, or the other way round; the reason or the output."""
    end = time.monotonic() + patient(timeout)
    while True:
        job = job_id()
        server.send(peer, "commit", job_id=job, server="push", command=command, capture=True)
        while (message := server.receive()).body.get("job_id") != job or message.type not in (
            "ack_commit", "nack_commit",
        ):  # fmt: skip
            pass
        if message.type == expected == "nack_commit":
            return str(message.body["reason"])
        if message.type == "ack_commit":
            server.send(peer, "run", job_id=job)
            body = server.expect("succeeded", job_id=job).body
            server.send(peer, "ack_result", job_id=job)
            if expected == "ack_commit":
                return decoded(body.get("stdout_base64", "")).decode()
        assert time.monotonic() < end, f"{command} is not in force"
        time.sleep(0.1)


# --- without a shell


def test_arguments_reach_the_program_as_they_are(spool: Spool) -> None:
    words = ("a b", "", "$(id)", "'", "*", "é", "-n", "\n")
    program = "import sys; print(sys.argv[1:])"
    job = run(spool, ("python3", "-c", program, *words))
    assert output(job) == f"{list(words)}\n"
    assert (job.result.exit_code, errors(job)) == (0, "")


def test_no_shell_stands_between(spool: Spool) -> None:
    job = run(spool, ("cat", "/proc/self/cmdline"))
    assert output(job) == "cat\0/proc/self/cmdline\0"


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", "./none"])
def test_a_program_that_is_missing_fails_as_in_a_shell(spool: Spool, program: str) -> None:
    job = run(spool, (program, "x"))
    assert job.result.exit_code == 127
    assert errors(job) == f"pushcli: {program}: not found\n"


def test_a_program_that_may_not_be_run_fails_as_in_a_shell(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    job = run(spool, (str(tmp_path / "plain"),))
    assert job.result.exit_code == 126
    assert errors(job) == "pushcli: cannot run the command: Permission denied\n"


def test_the_job_s_own_path_is_searched(spool: Spool, tmp_path: Path) -> None:
    for name, mode in (("first", 0o644), ("second", 0o755), ("third", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(f"#!/bin/sh\necho {name} $1\n")
        (tmp_path / name / "tool").chmod(mode)
    path = ":".join(str(tmp_path / name) for name in ("none", "first", "second", "third"))
    job = run(spool, ("tool", "x"), env={**NODE_ENV, "PATH": path + ":/bin"})
    assert output(job) == "second x\n"


# --- locks


def locked(tmp_path: Path, command: str, **changes: object) -> PreparedJob:
    lock = entry_lock.acquire(_entry(tmp_path), tmp_path)
    return prepared(command, lock=lock, **changes)


def _entry(tmp_path: Path) -> Entry:
    return Entry(name="x", command="true", lock=str(tmp_path / "the.lock"))


def is_held(tmp_path: Path) -> bool:
    return (
        subprocess.run(["flock", "-n", tmp_path / "the.lock", "true"], check=False).returncode != 0
    )


def test_a_supervisor_holds_the_lock_until_its_command_has_ended(
    spool: Spool, tmp_path: Path
) -> None:
    prepared_job = locked(tmp_path, 'while [ ! -e "$GATE" ]; do sleep 0.02; done; ls /proc/$$/fd',
                          env={**NODE_ENV, "GATE": str(tmp_path / "gate")})  # fmt: skip
    job = spool.start(prepared_job)
    prepared_job.release()
    assert is_held(tmp_path)
    job.run()
    assert is_held(tmp_path)
    (tmp_path / "gate").touch()
    finished = finish(job)
    assert not is_held(tmp_path)
    # The command has not got it.
    assert output(finished).split() == ["0", "1", "2"]


def test_what_a_command_leaves_behind_does_not_hold_the_lock(spool: Spool, tmp_path: Path) -> None:
    prepared_job = locked(tmp_path, "sleep 300 &")
    job = spool.start(prepared_job)
    prepared_job.release()
    job.run()
    finish(job)
    assert processes()
    assert not is_held(tmp_path)


def test_an_abort_before_the_run_lets_go_of_the_lock(spool: Spool, tmp_path: Path) -> None:
    prepared_job = locked(tmp_path, "true")
    job = spool.start(prepared_job)
    prepared_job.release()
    assert is_held(tmp_path)
    job.abort()
    until(job.ended)
    assert not is_held(tmp_path)


def test_a_lock_is_held_over_the_agent_s_restart(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    add(
        agent,
        "[wait]\ncommand_line = 'while [ ! -e \"$GATE\" ]; do sleep 0.05; done'\nlock = true\n",
    )
    agent.start()
    peer, job, gate = server.meet(), job_id(), agent.directory / "gate"
    server.run(peer, job, "wait", env={"GATE": str(gate)})
    [file] = (agent.directory / "locks").iterdir()
    flock: list[str | Path] = ["flock", "-n", file, "true"]
    assert subprocess.run(flock, check=False).returncode == 1
    agent.end(signal.SIGKILL)
    assert subprocess.run(flock, check=False).returncode == 1
    agent.start()
    peer = server.meet_again(peer).peer
    gate.touch()
    server.expect("succeeded", job_id=job)
    server.send(peer, "ack_result", job_id=job)
    assert subprocess.run(flock, check=False).returncode == 0
    server.run(peer, job_id(), "wait", env={"GATE": str(gate)})


def test_a_lock_that_another_program_holds_is_a_reason_to_nack(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    path = agent.directory / "other.lock"
    add(agent, f'x = {{command_line = "echo ran", lock = "{path}"}}\n')
    agent.start()
    peer = server.meet()
    with subprocess.Popen(["flock", path, "sh", "-c", "echo held; cat"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert nacked(server, peer, "x") == HELD
        server.send(peer, "check", check_id="1", command="x")
        assert server.expect("checked", check_id="1").body["reason"] == HELD
        holder.communicate(b"")
    assert ran(server, peer, "x") == "ran\n"


# --- entries of the agent


def test_a_pattern_runs_with_its_groups_as_text(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    add(agent, "'/say (.*)/' = 'echo \\1'\n'/list (.*)/' = ['printf', '%s,', '\\1', 'end']\n")
    agent.start()
    peer = server.meet()
    hostile = f"$(touch {agent.directory}/X) `id` ' \" ; id"
    assert ran(server, peer, f"say {hostile}") == f"{hostile}\n"
    assert ran(server, peer, f"list {hostile}") == f"{hostile},end,"
    assert nacked(server, peer, "say a\nb") == "not on the whitelist: 'say a\\nb'"
    assert not (agent.directory / "X").exists()


def test_the_entry_s_timeout_ends_a_job_that_asked_for_more(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    add(agent, '[slow]\ncommand_line = "sleep 300"\ntimeout = 0.3\n')
    agent.start()
    peer, job = server.meet(), job_id()
    server.run(peer, job, "slow", run_timeout=60)
    assert server.expect("failed", job_id=job).body["timed_out"] is True


def test_an_entry_for_operators_needs_one(agent: AgentProcess, server: ScriptedServer) -> None:
    add(agent, '[deploy]\ncommand_line = "echo deployed"\noperators = ["ann"]\n')
    agent.start()
    peer = server.meet()
    assert "(unknown) is not among the entry's operators" in nacked(server, peer, "deploy")
    assert "('bob') is not among" in nacked(server, peer, "deploy", requestor="bob")
    assert ran(server, peer, "deploy", requestor="ann") == "deployed\n"


def test_a_check_tells_what_would_run_and_starts_nothing(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    add(agent, f"'/touch (.*)/' = ['touch', '{agent.directory}/\\1']\n")
    agent.start()
    server.send(server.meet(), "check", check_id="1", command="touch X")
    body = server.expect("checked", check_id="1").body
    assert (body["ready"], body["entry"], body["source"]) == (True, "/touch (.*)/", "local")
    assert body["runs"] == ["touch", f"{agent.directory}/X"]
    assert not (agent.directory / "X").exists()


# --- files that change


def test_changes_are_in_force_soon_and_cost_no_running_job(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    gate = agent.directory / "gate"
    add(agent, "wait = 'while [ ! -e \"$GATE\" ]; do sleep 0.05; done; echo done'\n")
    agent.start()
    peer, job = server.meet(), job_id()
    server.run(peer, job, "wait", capture=True, env={"GATE": str(gate)})
    file = add(agent, 'new = "echo new"\n')
    while "new" not in {e["name"] for e in server.expect("whitelist_report").body["entries"]}:
        pass
    gate.touch()
    body = server.expect("succeeded", job_id=job).body
    assert decoded(body["stdout_base64"]) == b"done\n"
    server.send(peer, "ack_result", job_id=job)
    assert nacked(server, peer, "wait").startswith("not on the whitelist")
    assert ran(server, peer, "new") == "new\n"
    file.unlink()
    comes_into_force(server, peer, "new", "nack_commit")
    settings = agent.directory / "agent.toml"
    settings.write_text(settings.read_text() + 'more = "echo more"\n')
    assert comes_into_force(server, peer, "more", "ack_commit") == "more\n"


def test_a_file_that_breaks_changes_nothing_and_is_complained_of(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    file = add(agent, 'x = "echo x"\n')
    agent.start()
    peer = server.meet()
    assert ran(server, peer, "x") == "x\n"
    add(agent, 'y = "echo y"\nx = {command = "true"}\n')
    complaint = f"{file}, line 2: 'x': unknown key 'command'"
    agent.wait_for_log(complaint)
    report = server.expect("whitelist_report").body
    while complaint not in report.get("error", ""):
        report = server.expect("whitelist_report").body
    assert {entry["name"] for entry in report["entries"]} == {"hello", "x"}
    assert ran(server, peer, "x") == "x\n"
    assert nacked(server, peer, "y").startswith("not on the whitelist")
    add(agent, 'y = "echo y"\n')
    assert comes_into_force(server, peer, "y", "ack_commit") == "y\n"
    assert nacked(server, peer, "x").startswith("not on the whitelist")


@pytest.mark.parametrize("where", ["agent.toml", "whitelist.d"])
def test_an_agent_starts_with_a_whitelist_that_is_wrong(
    agent: AgentProcess, server: ScriptedServer, where: str
) -> None:
    add(agent, 'good = "echo good"\n')
    if where == "agent.toml":
        agent.write(server.url, {"bad": ""})
    else:
        add(agent, "not toml", "a.toml")
    agent.start()
    peer = server.meet()
    agent.wait_for_log("whitelist: ")
    assert ran(server, peer, "good") == "good\n"


def test_an_agent_without_its_own_files_reads_none(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    agent.write(server.url, {"hello": "echo hello"}, whitelist_source="server")
    agent.start()
    assert nacked(server, server.meet(), "hello").startswith("not on the whitelist")


def test_a_file_that_others_may_write_says_nothing(
    agent: AgentProcess, server: ScriptedServer
) -> None:
    file = add(agent, 'x = "echo x"\n')
    file.chmod(0o666)
    agent.start()
    peer = server.meet()
    assert nacked(server, peer, "x").startswith("not on the whitelist")
    file.chmod(0o644)
    assert comes_into_force(server, peer, "x", "ack_commit") == "x\n"
