"""The agent as a service: what it tells the service manager, and what its commands do not get."""

import signal
import uuid
from pathlib import Path

import pytest

from tests.support.agent_process import agent_process
from tests.support.scripted_server import ScriptedServer, decoded
from tests.support.service_manager import service_manager

pytestmark = pytest.mark.slow
WHITELIST = {
    # Of the command and of its supervisor.
    "env": "env; tr '\\0' '\\n' < /proc/$PPID/environ",
}


def test_it_is_ready_feeds_its_watchdog_and_says_that_it_ends(
    tmp_path: Path, key_file: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        service_manager(tmp_path, watchdog=0.6) as manager,
        agent_process(tmp_path, server.url, WHITELIST) as agent,
    ):
        for name, value in manager.environment.items():
            monkeypatch.setenv(name, value)
        agent.start()
        assert manager.hear() == ["READY=1", "STATUS=running"]
        assert {manager.hear()[0] for _ in range(3)} == {"WATCHDOG=1"}
        job = uuid.uuid4().hex
        server.run(server.meet(), job, "env", capture=True)
        out = decoded(server.expect("succeeded", job_id=job).body["stdout_base64"])
        assert b"CHEF_PUSH_JOB_ID" in out
        assert b"NOTIFY_SOCKET" not in out
        assert b"WATCHDOG" not in out
        agent.end()
        assert {*manager.hear_until("STOPPING=1")} <= {"WATCHDOG=1", "STOPPING=1"}


def test_what_the_watchdog_kills_leaves_a_traceback(
    tmp_path: Path, key_file: Path, server: ScriptedServer
) -> None:
    with agent_process(tmp_path, server.url, WHITELIST) as agent:
        agent.start()
        server.meet()
        assert agent.end(signal.SIGABRT) == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in agent.said()
        assert "loop.py" in agent.said()
