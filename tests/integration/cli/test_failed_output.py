"""What failed nodes wrote is shown without having been asked for, on a real fleet."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import zmq

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.program import Home
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, Signer, new_user, operator
from tests.support.old_agent import OldAgent
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(90)
WHITELIST = {
    "fine": "echo fine",
    "mixed": (
        "case $CHEF_PUSH_NODE_NAME in n1) echo healthy;; "
        "*) seq 40; echo 'cannot reach the repository' >&2; exit 3;; esac"
    ),
    "each": "echo $CHEF_PUSH_JOB_ID; echo $CHEF_PUSH_NODE_NAME >&2; exit 1",
    "secret": {"command_line": "echo hidden; exit 1", "capture": False},
    "grumble": "echo wrong >&2; exit 1",
    "slow": "echo said; exec sleep 60",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory, settings = tmp_path_factory.mktemp("failed"), {"heartbeat_interval": 250}
    with Fleet(directory, ["n1", "n2", "n3"], whitelist=WHITELIST, settings=settings) as fleet:
        fleet.wait_available(fleet.nodes)
        yield fleet


@pytest.fixture(autouse=True)
def idle(fleet: Sandbox) -> None:
    fleet.wait_available(fleet.nodes)


def test_the_end_shows_what_failed_nodes_wrote_and_counts_the_others(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "mixed", "n[1-3]")
    assert done.returncode == ExitStatus.NODE_FAILED
    job_id = done.stdout.partition("ID: ")[2][:32]
    shown = [
        "n[2-3] (2 failed, exit code 3)", "  ... 31 more lines",
        *(f"  {number}" for number in range(32, 41)),
        "n[2-3] stderr", "  cannot reach the repository",
    ]  # fmt: skip
    assert done.stdout.splitlines()[1:] == [
        *shown, "Complete with failures.  1 succeeded, 2 failed",
        "  2 failed: n[2-3] (exit code 3)",
    ]  # fmt: skip
    rest = f"  all that is kept     pushcli job output {job_id[:8]} --with-status failed"
    assert rest in done.stderr
    assert "healthy" not in done.stdout
    again = fleet.cli("job", "watch", job_id)
    assert done.stdout.endswith("\n".join(again.stdout.splitlines()[-len(shown) :]) + "\n")
    status = fleet.cli("job", "status", job_id)
    assert status.stdout.splitlines()[-len(shown) :] == shown
    assert rest in status.stderr
    output = fleet.cli("job", "output", job_id)
    assert output.stdout.startswith("n1 (succeeded)\n  healthy\n")
    assert output.stdout.count("  cannot reach the repository\n") == 1
    assert "  1\n  2\n" in output.stdout
    followed = fleet.cli("job", "output", job_id, "n1", "--follow")
    assert followed.stdout == "n1 | healthy\n"


def test_who_asks_for_the_empty_channel_is_pointed_to_the_other(fleet: Sandbox) -> None:
    job_id = fleet.cli("job", "start", "grumble", "n1", "--quiet", "-F", "json").stdout
    job_id = json.loads(job_id)["id"]
    empty = fleet.cli("job", "output", job_id, "n1")
    assert (empty.returncode, empty.stdout) == (ExitStatus.OK, "")
    assert empty.stderr == "No stdout, but 6 bytes of stderr: --channel stderr prints them\n"
    whole = fleet.cli("job", "output", job_id, "n1", "--channel", "stderr")
    assert (whole.stdout, whole.stderr) == ("wrong\n", "")


def test_programs_get_what_failed_nodes_wrote_whole(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "mixed", "n[1-3]", "-F", "json")
    told = json.loads(done.stdout)
    assert "capture_output" not in told
    first, *failed = told["results"]
    assert "stdout" not in first
    assert first["stdout_size"] == len("healthy\n")
    for result in failed:
        assert result["stdout"] == "".join(f"{number}\n" for number in range(1, 41))
        assert result["stderr"] == "cannot reach the repository\n"


@pytest.mark.parametrize(
    ("options", "command"), [(["--no-capture"], "mixed"), ([], "secret"), (["--capture"], "secret")]
)
def test_nothing_is_kept_where_somebody_says_so(
    fleet: Sandbox, options: list[str], command: str
) -> None:
    done = fleet.cli("job", "start", *options, command, "n2")
    assert done.returncode == ExitStatus.NODE_FAILED
    assert "hidden" not in done.stdout
    assert "repository" not in done.stdout
    job_id = done.stdout.partition("ID: ")[2][:32]
    [part] = fleet.api.job_nodes(job_id)
    assert "stdout_size" not in part
    missing = fleet.cli("job", "output", job_id)
    assert missing.returncode == ExitStatus.NOT_FOUND


def test_a_retry_keeps_what_the_job_kept(fleet: Sandbox) -> None:
    fleet.cli("job", "start", "each", "n2")
    again = fleet.cli("job", "retry", "@last")
    assert "n2 stderr\n  n2\n" in again.stdout
    fleet.cli("job", "start", "--no-capture", "each", "n2")
    again = fleet.cli("job", "rerun", "@last")
    assert "stderr" not in again.stdout


def test_batches_show_it_each(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "each", "n[1-2]", "--batch", "1")
    for node in ("n1", "n2"):
        assert f"{node} stderr\n  {node}\n" in done.stdout


def test_what_a_command_wrote_until_its_time_was_over_is_shown(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "--timeout", "1s", "slow", "n3")
    assert done.returncode == ExitStatus.TIMED_OUT
    assert "  said\n" in done.stdout


def test_follow_captures_all_and_does_not_go_with_no_capture(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "--follow", "fine", "n1")
    assert "n1 | fine\n" in done.stdout
    job_id = fleet.api.get("pushy/own_jobs")[-1]["id"]
    assert fleet.api.job(job_id)["capture_output"] is True
    done = fleet.cli("job", "start", "--follow", "--no-capture", "fine", "n1")
    assert done.returncode == ExitStatus.USAGE


def test_an_old_agent_runs_it_as_ever(fleet: Sandbox) -> None:
    with zmq.Context() as context, ThreadPoolExecutor() as pool:
        agent = OldAgent(fleet, context, "ruby")
        try:
            agent.come_online()
            fleet.wait_available(["ruby"])
            started = pool.submit(fleet.cli, "job", "start", "mixed", "ruby")
            commit = committed(agent)
            assert commit["capture"] is False
            agent.send("ack_commit", commit["job_id"])
            agent.expect("run")
            agent.send("ack_run", commit["job_id"])
            agent.send("failed", commit["job_id"], stdout="unasked", stderr="")
            done = started.result()
        finally:
            agent.close()
    assert done.returncode == ExitStatus.NODE_FAILED
    assert "unasked" not in done.stdout


def committed(agent: OldAgent) -> dict[str, Any]:
    """The commit, until which it sends heartbeats."""

    def there() -> dict[str, Any] | None:
        agent.heartbeat()
        message = agent.receive(0.1)
        return message if message is not None and message["type"] == "commit" else None

    return until(there, "it is asked to commit")


def test_whose_output_it_is_not_is_told_so(fleet: Sandbox) -> None:
    ann = operator(fleet)
    fleet.cli("job", "start", "each", "n2")
    job_id = fleet.api.get("pushy/own_jobs")[-1]["id"]
    bob = new_user(fleet, KEYS[1])
    key = fleet.directory / f"{bob.name}.pem"
    key.touch(0o600)
    key.write_bytes(keys.private_pem(bob.raw.key))
    me = ("-u", bob.name, "-k", str(key))
    ann("DELETE", "groups/pushy_job_readers")
    try:
        assert Signer(fleet, bob.name, bob.raw.key).get(f"pushy/jobs/{job_id}")["id"] == job_id
        seen = fleet.cli("job", "status", job_id, *me)
        assert seen.returncode == 0
        assert "stderr" not in seen.stdout
        for nodes in ([], ["n2"]):
            refused = fleet.cli("job", "output", job_id, *nodes, *me)
            assert refused.returncode == ExitStatus.NOT_ALLOWED
            assert "administrator" in refused.stderr
    finally:
        ann.post("groups", {"groupname": "pushy_job_readers"})
        ann.post("groups/pushy_job_readers/members", {"users": [ann.name]})


@pytest.mark.parametrize("old", [True, False])
def test_a_server_that_does_not_know_it_is_not_asked(
    home: Home, responder: Responder, old: bool
) -> None:
    responder.accept_job(job("complete", nodes={"failed": ["web01"]}), old=old)
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer([]))
    assert home.run("job", "start", "uptime", "web01").status == ExitStatus.NODE_FAILED
    bodies = [json.loads(body) for method, _, body in responder.requests if method == "POST"]
    assert bodies == [{"command": "uptime", "nodes": ["web01"]}]


def failed(responder: Responder, wrote: dict[str, str]) -> None:
    """A job in which all of these nodes failed, and what each wrote."""
    responder.accept_job(job("complete", nodes={"failed": list(wrote)}))
    offered = {"X-Pushcli-Extensions": "job-nodes,output-digests"}
    results = []
    for node, text in wrote.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        sizes = {"stdout_size": len(text), "stdout_digest": digest, "stderr_size": 0}
        results.append({"node": node, "state": "failed", "exit_code": 1, **sizes})
        content = Answer(200, text.encode(), "application/octet-stream", headers=offered)
        responder.say("GET", f"jobs/{JOB_ID}/output/{digest}", content)
    responder.say("GET", f"jobs/{JOB_ID}/nodes", replace(json_answer(results), headers=offered))


def test_of_many_distinct_outputs_a_dozen_is_fetched(home: Home, responder: Responder) -> None:
    nodes = [f"web{number:02}" for number in range(1, 41)]
    # The last ten wrote the same, and come first for it.
    failed(responder, {n: "the same\n" if n > "web30" else f"{n} says\n" for n in nodes})
    done = home.run("job", "start", "uptime", *nodes)
    asked = [path for method, path, _ in responder.requests if "/output/" in path]
    assert len(asked) == 12
    assert done.stdout.count(" says\n") == 11
    assert "web[31-40] (10 failed, exit code 1)\n  the same\n" in done.stdout
    assert f"pushcli job output {JOB_ID} --with-status failed" in done.stderr


def test_nodes_that_wrote_nothing_are_not_among_the_dozen(home: Home, responder: Responder) -> None:
    says = {f"web{number:02}": f"{number} says\n" for number in range(1, 13)}
    failed(responder, says | {"db1": "", "db2": ""})
    done = home.run("job", "start", "uptime", *says, "db1", "db2")
    assert done.stdout.count(" says\n") == 12
    assert "all that is kept" not in done.stderr
