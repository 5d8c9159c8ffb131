"""What the agent's process does not load stays out of every node's memory."""

import subprocess
import sys

import pytest

HEAVY = [
    "asyncio", "click", "cryptography", "email", "http", "requests", "rich", "ssl", "structlog",
    "urllib.request", "multiprocessing", "concurrent.futures",
]  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of an agent's process."""
    code = "import sys, pushcli_agent.main; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", HEAVY)
def test_the_agent_s_process_does_not_load(loaded: set[str], module: str) -> None:
    assert module not in loaded
