"""The agent as the first process of a container."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_process import AgentProcess
from tests.support.scripted_server import ScriptedServer, decoded
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a process the first one"),
]
WHITELIST = {
    # Orphans of the job and of its service, before and after the job's end.
    "spawn": "(sleep 0.1 & sleep 0.2 &) & (sleep 0.4 & (sleep 0.5 & exec sleep 0.3) &) & echo up",
}


@pytest.fixture
def first(tmp_path: Path, key_file: Path, server: ScriptedServer) -> Iterator[int]:
    """The agent's number as seen from here; all that it started ends with it."""
    # Nobody acknowledges output here: it comes with the result.
    AgentProcess(tmp_path, server.url, WHITELIST)
    with (tmp_path / "log").open("w") as log:
        outside = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-m",
             "pushcli", "agent", "start", "--dir", str(tmp_path)],
            stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        found = until(lambda: children(outside.pid) or outside.poll(), "it starts")
        if not isinstance(found, list):
            pytest.skip("a process namespace cannot be made here")
        yield found[0]
    finally:
        outside.kill()
        outside.wait()


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def zombies(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        stat = Path(f"/proc/{child}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            found.append(child)
    return found


def test_it_reaps_orphans_and_learns_how_its_own_children_ended(
    first: int, server: ScriptedServer
) -> None:
    peer = server.meet()
    for _ in range(3):
        job_id = uuid.uuid4().hex
        server.run(peer, job_id, "spawn", capture=True)
        body = server.expect("succeeded", job_id=job_id).body
        assert (body["exit_code"], decoded(body["stdout_base64"])) == (0, b"up\n")
        server.send(peer, "ack_result", job_id=job_id)
    # The supervisors and fetches were its own; whatever was left came to it, and is gone.
    until(lambda: not children(first), "everything has ended and been reaped")
    assert zombies(first) == []
