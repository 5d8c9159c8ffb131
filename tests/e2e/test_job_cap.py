"""More output than a job may have: of each node the beginning and the end, whatever happens."""

import hashlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.waiting import job_is, start, until

pytestmark = pytest.mark.timeout(90)
CAP = 400_000
LINES = 20_000
WHOLE = b"".join(b"line %06d\n" % number for number in range(LINES))
"""240,000 bytes: more than a node's half of the cap."""
MARK = re.compile(rb"\n\.\.\. ([0-9,]+) bytes left out \.\.\.\n")
COUNT = "awk 'BEGIN{for(i=0;i<20000;i++)printf \"line %06d\\n\",i}'"
WAIT = "; while [ ! -e $MARKS ]; do sleep 0.05; done"
WHITELIST = {
    "much": COUNT,
    "both": f"{COUNT}; {COUNT} >&2",
    "little": "echo little",
    "slow": {"command_line": f"{COUNT}{WAIT}; echo the end", "env": ["MARKS"]},
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    settings = {"heartbeat_interval": 250, "voting_timeout": 10, "max_job_output_bytes": CAP}
    directory = tmp_path_factory.mktemp("cap")
    with Fleet(directory, ["n1", "n2"], whitelist=WHITELIST, settings=settings) as fleet:
        yield fleet


def checked(fleet: Sandbox, job_id: str, node: str, channel: str, whole: bytes) -> int:
    """Beginning, mark and end are as written and as told; gives how much is left out."""
    [part] = [part for part in fleet.api.job_nodes(job_id) if part["node"] == node]
    output = fleet.api.job_output(job_id, node, channel)
    assert part[f"{channel}_size"] == len(output)
    assert hashlib.sha256(output).hexdigest() == part[f"{channel}_digest"]
    mark = MARK.search(output)
    if mark is None:
        assert output == whole
        assert f"{channel}_dropped" not in part
        return 0
    left_out = int(mark[1].replace(b",", b""))
    assert part[f"{channel}_dropped"] == left_out
    assert part[f"{channel}_cut_at"] == mark.start()
    beginning, end = output[: mark.start()], output[mark.end() :]
    assert (whole.startswith(beginning), whole.endswith(end)) == (True, True)
    assert len(beginning) + left_out + len(end) == len(whole)
    assert len(end) > 1000
    return left_out


def run(fleet: Sandbox, command: str, *nodes: str) -> str:
    job_id = start(fleet, command, *nodes, capture_output=True)
    job_is(fleet, job_id, "complete")
    return job_id


def test_each_node_keeps_its_beginning_and_its_end(fleet: Sandbox) -> None:
    job_id = run(fleet, "much", "n1", "n2")
    left_out = {node: checked(fleet, job_id, node, "stdout", WHOLE) for node in ("n1", "n2")}
    assert sum(left_out.values()) >= 2 * len(WHOLE) - CAP
    node = max(left_out, key=lambda name: left_out[name])
    shown = fleet.cli("job", "output", job_id, node)
    assert re.search(
        rf"CUT: {left_out[node]:,} more bytes were not kept, from line \d", shown.stderr
    )
    assert shown.stdout.endswith("line 019999\n")
    told = json.loads(fleet.cli("job", "output", job_id, node, "-F", "json").stdout)
    assert told["dropped"] == left_out[node]
    assert told["stdout"].encode()[told["cut_at"] :].startswith(b"\n... ")


def test_both_channels_have_their_ends(fleet: Sandbox) -> None:
    job_id = run(fleet, "both", "n1")
    sizes = [checked(fleet, job_id, "n1", channel, WHOLE) for channel in ("stdout", "stderr")]
    assert sum(sizes) >= 2 * len(WHOLE) - CAP


def test_a_node_alone_has_all_of_it(fleet: Sandbox) -> None:
    assert checked(fleet, run(fleet, "much", "n1"), "n1", "stdout", WHOLE) == 0


@pytest.mark.parametrize("who", ["agent", "server"])
def test_who_is_killed_meanwhile_begins_the_end_again(
    fleet: Sandbox, tmp_path: Path, who: str
) -> None:
    mark, whole = tmp_path / "mark", WHOLE + b"the end\n"
    job_id = start(fleet, "slow", "n1", "n2", capture_output=True, env={"MARKS": str(mark)})
    job_is(fleet, job_id, "running")
    incoming = fleet.server_directory / "blobs" / "incoming"

    def has_enough() -> bool:
        sizes = [path.stat().st_size for path in incoming.iterdir()]
        return len(sizes) == 2 and min(sizes) >= CAP // 4

    until(has_enough, "all of the beginning is there")
    if who == "agent":
        fleet.end_agent("n1", signal.SIGKILL)
        mark.touch()
        fleet.start_agent("n1")
    else:
        fleet.end_server(signal.SIGKILL)
        mark.touch()
        fleet.start_server()
    job_is(fleet, job_id, "complete", limit=30)
    for node in ("n1", "n2"):
        checked(fleet, job_id, node, "stdout", whole)
        assert fleet.api.job_output(job_id, node, "stdout").endswith(b"the end\n")
    until(lambda: not list(incoming.iterdir()), "nothing lies about")
    fleet.wait_available(fleet.nodes)


def test_whoever_follows_sees_the_end_behind_the_mark(fleet: Sandbox) -> None:
    job_id = run(fleet, "much", "n1", "n2")
    followed = fleet.cli("job", "output", job_id, "n1", "--follow").stdout
    output = fleet.api.job_output(job_id, "n1", "stdout").decode()
    assert followed == "".join(f"n1 | {line}\n" for line in output.splitlines())
