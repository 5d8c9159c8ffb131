"""The program against the real server and a real agent."""

import hashlib
import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.program import Result, assert_one_line
from tests.integration.cli.responder import JOB_ID
from tests.support.fleet import Fleet
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
"""The first test starts the fleet."""

WHITELIST = {
    "nasty": r"printf '\033[2Jx\377\r\n'",
    "sleep": "sleep 600",
    "read": {"command_line": "wc -c", "stdin": True},
    "read nothing": "cat",
    "secret": {"command_line": 'printf %s "$TOKEN" | sha256sum', "env": ["TOKEN"]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with one agent, `web01`."""
    with Fleet(tmp_path_factory.mktemp("fleet"), ["web01"], whitelist=WHITELIST) as fleet:
        yield fleet


def run(server: Sandbox, *arguments: str) -> Result:
    done = server.cli(*arguments, timeout=patient(15))
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_job_on_a_node_that_nobody_knows_fails_its_vote_and_says_why(server: Sandbox) -> None:
    result = run(server, "job", "start", "uptime", "ghost", "--allow-unknown")
    assert result.status == ExitStatus.QUORUM_FAILED
    started, end, why = result.stdout.splitlines()
    assert started.startswith("Started.  Job ID: ")
    assert end == "Quorum failed: 1 needed, 0 ready. Nothing was run."
    assert why.startswith("  unavailable: ghost (")
    job_id = started.split()[-1]
    assert f"{job_id}\tquorum_failed\t" in run(server, "job", "list").stdout
    shown = json.loads(run(server, "job", "status", job_id, "-F", "json").stdout)
    assert shown["nodes"] == {"unavailable": ["ghost"]}
    assert [entry["node"] for entry in shown["results"]] == ["ghost"]
    assert run(server, "job", "abort", job_id).stdout.startswith("Not aborted")
    output = run(server, "job", "output", job_id, "ghost")
    assert_one_line(output, ExitStatus.NOT_FOUND, "ran on no node: its quorum failed")


def test_a_quorum_of_none_is_complete(server: Sandbox) -> None:
    start = ("job", "start", "uptime", "ghost", "--allow-unknown")
    assert run(server, *start, "-q", "0").status == ExitStatus.OK


def test_all_that_can_be_given_is_accepted_and_echoed(server: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\x00")
    result = run(
        server, "job", "start", "x", "ghost", "--allow-unknown", "-F", "json", "--capture",
        "--timeout", "0.5",
        "--with-env", '{"A": "b"}', "--in-dir", "/", "--as-user", "www", "--file", str(file),
    )  # fmt: skip
    answer = json.loads(result.stdout)
    assert answer["run_timeout"] == 0.5
    assert answer["env"] == {"A": "b"}
    assert (answer["dir"], answer["user"]) == ("/", "www")
    assert answer["capture_output"] is answer["file_specified"] is True


def test_bytes_travel_unchanged_and_are_shown_safely(server: Sandbox) -> None:
    result = run(server, "job", "start", "--capture", "nasty", "web01")
    started, *rest = result.stdout.splitlines()
    assert rest == ["web01 (succeeded)", r"  \x1b[2Jx\xff\r", "Complete.  1 succeeded"]
    command = server.command("job", "output", started.split()[-1], "web01", "--raw")
    done = subprocess.run(command, env=server.environment, capture_output=True, check=True)
    assert done.stdout == b"\x1b[2Jx\xff\r\n"


def test_a_command_reads_what_was_given_where_its_entry_allows_it(server: Sandbox) -> None:
    content = b"a\0\xff\n" * 25_000

    def given(name: str) -> Any:
        done = subprocess.run(
            server.command(
                "job", "start", "--capture", "-F", "json", name, "web01", "--stdin", "-"
            ),
            env=server.environment, input=content, capture_output=True, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)

    def read(answer: Any) -> bytes:
        result = answer["results"][0]
        assert result["state"] == "succeeded"
        return server.api.job_output(answer["id"], "web01", "stdout")

    job = given("read")
    assert read(job) == b"100000\n"
    again = run(server, "job", "retry", job["id"], "--all", "-F", "json")
    assert read(json.loads(again.stdout)) == b"100000\n"
    assert "stdin" not in json.dumps(server.api.job(job["id"]))
    own = server.api.get(f"pushy/own_jobs/{job['id']}")
    assert own["pushcli"] == {"stdin": True}
    for name, state in (("read", "ready"), ("read nothing", "nacked")):
        start = ("job", "start", name, "web01", "--stdin", "/dev/null", "--dry-run", "-F", "json")
        assert json.loads(run(server, *start).stdout)["nodes"]["web01"]["state"] == state
    refused = given("read nothing")["results"][0]
    assert refused["reason"] == "standard input is not allowed: the entry lacks stdin = true"
    silent = run(server, "job", "start", "--capture", "read nothing", "web01", "-F", "json")
    assert read(json.loads(silent.stdout)) == b""


def test_a_secret_comes_to_the_command_and_nowhere_else(server: Sandbox) -> None:
    value = f"hidden-{JOB_ID}"

    def given(*arguments: str) -> Any:
        done = subprocess.run(
            server.command("job", *arguments, "-F", "json", "-VV"),
            env={**server.environment, "TOKEN": value}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert value not in done.stdout + done.stderr
        return json.loads(done.stdout)

    job = given("start", "secret", "web01", "--capture", "--secret-env", "TOKEN")
    for each in (job, given("retry", job["id"], "--all")):
        output = server.api.job_output(each["id"], "web01", "stdout").decode()
        assert output.split()[0] == hashlib.sha256(value.encode()).hexdigest()
    own = server.api.get(f"pushy/own_jobs/{job['id']}", {"include_file": "true"})
    assert own["pushcli"] == {"exact_env": True, "secret_env": ["TOKEN"]}
    dry = given("start", "secret", "web01", "--secret-env", "TOKEN", "--dry-run")
    assert dry["ready"] == 1
    files = [path for path in server.directory.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if value.encode() in path.read_bytes()] == []
    missing = run(server, "job", "retry", job["id"], "--all")
    assert_one_line(missing, ExitStatus.USAGE, "the secret 'TOKEN' has no value")
    refused = run(server, "job", "start", "x", "web01", "--secret-env", "HOME", "--env", "HOME=x")
    assert_one_line(refused, ExitStatus.USAGE, "'HOME' was given twice")


def test_the_command_that_an_interrupt_prints_aborts_the_job(server: Sandbox) -> None:
    with subprocess.Popen(
        server.command("job", "start", "sleep", "web01"), env=server.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        while not process.stderr.readline().startswith("Running"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(10)) == ExitStatus.INTERRUPTED
        _, _, last = process.stderr.read().rpartition("STILL RUNNING: pushcli ")
        command, watch = last.splitlines()
        assert watch.strip() == f"to watch it: pushcli {command.replace('abort', 'watch')}"
    result = run(server, *shlex.split(command))
    assert (result.status, result.stdout) == (ExitStatus.OK, "Aborted.  Confirmed by web01\n")
    shown = json.loads(run(server, "job", "status", command.split()[2], "-F", "json").stdout)
    assert (shown["status"], shown["nodes"]) == ("aborted", {"aborted": ["web01"]})


def test_an_unknown_node_is_unavailable(server: Sandbox) -> None:
    result = run(server, "node", "status", "ghost")
    assert (result.status, result.stdout) == (
        ExitStatus.OK,
        "ghost\tunavailable\t\tnever\t\tunknown: it never connected\n",
    )
    assert result.stderr == "unknown node 'ghost': `pushcli node list` lists all\n"


@pytest.mark.parametrize("command", [("status",), ("abort",)])
def test_an_unknown_job_is_not_found(server: Sandbox, command: tuple[str, ...]) -> None:
    assert_one_line(run(server, "job", *command, JOB_ID), ExitStatus.NOT_FOUND)


def test_an_unknown_user_and_a_wrong_key_are_not_allowed(server: Sandbox, key_file: Path) -> None:
    unknown = run(server, "job", "list", "-u", "nobody")
    assert_one_line(unknown, ExitStatus.NOT_ALLOWED, "nobody")
    wrong = run(server, "job", "list", "-k", str(key_file))
    assert_one_line(wrong, ExitStatus.NOT_ALLOWED, "Invalid signature")


def test_an_unknown_organization_is_not_found(server: Sandbox) -> None:
    url = server.url.replace("/sandbox", "/nosuch")
    result = run(server, "job", "list", "--server-url", url)
    assert_one_line(result, ExitStatus.NOT_FOUND, "nosuch")
