"""A writer that is killed: what it reported is there, and nothing is half there."""

import subprocess
import sys
from pathlib import Path

import pytest

from pushcli_server.store import Store, reads
from tests.integration.store.conftest import Database
from tests.integration.store.kill_writer import content
from tests.integration.store.writing import JOB, kept_output

pytestmark = pytest.mark.timeout(60)


def killed_after(database: Database, enough: int) -> int:
    """Have a process write, and kill it; the last number that it reported as committed."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.store.kill_writer",
         database.url, str(database.root)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert writer.stdout is not None
    reported = -1
    while reported < enough:
        reported = int(writer.stdout.readline())
    writer.kill()
    rest, _ = writer.communicate()
    # Whole lines only: the last one may have been cut.
    return max([reported, *(int(line) for line in rest.split("\n")[:-1])])


@pytest.mark.parametrize("enough", [0, 200])
def test_what_was_reported_committed_survives_a_kill(database: Database, enough: int) -> None:
    reported = killed_after(database, enough)

    async def scenario(store: Store) -> None:
        numbers = [number for _, number, _, _ in await store.ask(reads.feed_events)]
        assert numbers == list(range(len(numbers))), "nothing is missing in between"
        assert len(numbers) > reported
        parts = await store.ask(reads.job_nodes, "acme", JOB)
        assert len(parts) >= len(numbers) > 0
        for part in parts:
            number = int(part.node)
            written = number < len(numbers)
            assert part.state == ("succeeded" if written else "new"), "all of a group or nothing"
            output = await kept_output(store, "acme", JOB, part.node, "stdout")
            assert output == (content(number) if written else None)
            held = store.incoming(f"{number}.stdout")
            assert not held.exists() or content(number).startswith(held.read_bytes())

    database.run(scenario)
