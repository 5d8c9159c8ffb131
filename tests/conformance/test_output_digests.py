"""Each distinct output of a job is known by its digest, and fetched once."""

import hashlib
import select
import subprocess

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.support.identities import operator
from tests.support.old_agent import MakeAgent, OldAgent
from tests.support.raw_http import Raw
from tests.support.waiting import patient, start, until

pytestmark = pytest.mark.timeout(patient(60))
SAME, OTHER = "all is well\n", "no space left\n"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def take_part(agents: list[OldAgent], job: str) -> None:
    """All run it; the last one fails with another output."""
    for agent in agents:
        agent.expect("commit")
        agent.send("ack_commit", job)
    for agent in agents:
        agent.expect("run")
        agent.send("ack_run", job)
        is_last = agent is agents[-1]
        kind, written = ("failed", OTHER) if is_last else ("succeeded", SAME)
        agent.send(kind, job, stdout=written, stderr="")


@pytest.fixture
def agents(server: Sandbox, make_agent: MakeAgent) -> list[OldAgent]:
    agents = [make_agent() for _ in range(4)]
    for agent in agents:
        agent.come_online()
    server.wait_available([agent.name for agent in agents])
    return agents


@pytest.fixture
def job(server: Sandbox, agents: list[OldAgent]) -> str:
    job = start(server, "x", *(agent.name for agent in agents), capture_output=True)
    take_part(agents, job)
    until(lambda: server.api.job(job)["status"] == "complete", "the job is complete")
    return job


def test_nodes_are_paged_in_the_order_of_the_request(
    server: Sandbox, agents: list[OldAgent], job: str
) -> None:
    names = [agent.name for agent in agents]
    path = f"pushy/jobs/{job}/nodes"
    whole = server.api.get(path)
    assert [part["node"] for part in whole] == names
    assert [part["stdout_digest"] for part in whole] == [digest(SAME)] * 3 + [digest(OTHER)]
    assert whole[0]["stderr_digest"] == digest("")
    assert server.api.get(path, {"limit": "3"}) == whole[:3]
    assert server.api.get(path, {"after": names[1], "limit": "1"}) == whole[2:3]
    assert server.api.get(path, {"after": names[2]}) == whole[3:]
    assert server.api.get(path, {"after": names[3], "limit": "9"}) == []
    refused = Raw(server)(path=path, query="?after=nosuch")
    assert (refused.status, refused.error) == (400, ["after must be a node of the job"])


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "10001", "9" * 20, "%d9%a1"])
def test_what_is_no_limit_is_refused(server: Sandbox, job: str, limit: str) -> None:
    answer = Raw(server)(path=f"pushy/jobs/{job}/nodes", query=f"?limit={limit}")
    assert (answer.status, answer.error) == (400, ["limit must be 1 to 10000"])


def test_troubled_nodes_alone_may_be_asked_for(server: Sandbox, job: str) -> None:
    path = f"pushy/jobs/{job}/nodes"
    whole = server.api.get(path)
    failed = [part for part in whole if part["state"] == "failed"]
    assert len(failed) == 1
    assert server.api.get(path, {"troubled": "true"}) == failed
    assert len(server.api.get(path, {"troubled": "false"})) == 4
    refused = Raw(server)(path=path, query="?troubled=1")
    assert (refused.status, refused.error) == (400, ["troubled must be true or false"])


def test_an_output_is_there_for_jobs_whose_nodes_wrote_it(
    server: Sandbox, agents: list[OldAgent], job: str
) -> None:
    raw = Raw(server)

    def output(of: str, wanted: str) -> tuple[int, bytes]:
        answer = raw(path=f"pushy/jobs/{of}/output/{wanted}", Accept="*/*")
        return answer.status, answer.body

    assert output(job, digest(SAME)) == (200, SAME.encode())
    assert server.api.output_of(job, digest(OTHER)) == OTHER.encode()
    # Another job is told the same of what is there and of what is nowhere.
    silent = start(server, "x", "nosuch", capture_output=True)
    assert output(silent, digest(SAME)) == output(silent, digest("never written"))
    assert output(silent, digest(SAME))[0] == 404
    assert output("f" * 32, digest(SAME))[0] == 404
    assert output(job, digest(SAME).upper())[0] == 404
    assert output(job, digest(SAME)[:-1])[0] == 404


def test_a_part_of_an_output_may_be_asked_for(server: Sandbox, job: str) -> None:
    client = operator(server)
    path = f"pushy/jobs/{job}/output/{digest(SAME)}"
    answer = client("GET", path, Accept="*/*", Range="bytes=4-5")
    assert (answer.status, answer.body) == (206, b"is")
    assert answer.headers["content-range"] == f"bytes 4-5/{len(SAME)}"
    assert client("GET", path, Accept="*/*", Range="bytes=99-").status == 416


def test_the_command_line_shows_each_output_once(server: Sandbox, agents: list[OldAgent]) -> None:
    names = [agent.name for agent in agents]
    with subprocess.Popen(
        server.command("job", "start", "--capture", "x", *names),
        env=server.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        # The command line may take longer to start than the server bears their silence.
        while not select.select([process.stdout], [], [], 0.2)[0]:
            for agent in agents:
                agent.heartbeat()
        job = process.stdout.readline().split()[-1]
        take_part(agents, job)
        rest = process.stdout.read().splitlines()
    healthy, written, failed, other, end, why = rest
    assert healthy.endswith(" (3 succeeded)")
    assert (written, other) == ("  all is well", "  no space left")
    assert failed == f"{names[-1]} (failed)"
    assert end == "Complete with failures.  3 succeeded, 1 failed"
    assert why == f"  failed: {names[-1]}"
