"""A child of the agent that takes its time: the agent goes on with everything else."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pushcli_agent.child import Child
from tests.support.agent_process import agent_process
from tests.support.waiting import until


def children(pid: int, module: str) -> list[int]:
    """Those of a process that run this module."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in found if module in Path(f"/proc/{one}/cmdline").read_text()]


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile, not even end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("module", ["first_use.take", "link.fetch"])
def test_the_agent_obeys_signals_while_a_child_waits_for_a_server(
    key_file: Path, module: str
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        agent_process(key_file.parent, "", {}) as agent,
    ):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/organizations/acme"
        agent.write(url, {}, trust_editors_on_first_use=module == "first_use.take")
        agent.start()
        until(lambda: bool(children(agent.pid, module)), "it asks")
        [child] = children(agent.pid, module)
        with halted(child):
            assert agent.end() == 0
    assert not Path(f"/proc/{child}").exists()


def test_what_is_not_there_yet_is_not_waited_for() -> None:
    child = Child("pushcli_agent.first_use.take", b"{}")
    with halted(child.pid):
        assert child.receive() is None
        child.end(kill=True)
