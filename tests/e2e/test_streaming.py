"""Output that is read while its command writes it: nothing twice, nothing missing."""

import base64
import hashlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.support.feed_reader import FeedReader
from tests.support.waiting import job_is, start

pytestmark = pytest.mark.timeout(90)
MARKS = ["MARKS"]


def steered(command: str) -> dict[str, object]:
    """A command that a test leads on by files whose common name the job says."""
    return {"command_line": command, "env": MARKS}


WAIT = 'while [ ! -e "$MARKS.{0}" ]; do sleep 0.02; done; '
WHITELIST = {
    "steps": steered(
        "echo one; echo bad >&2; "
        + WAIT.format(1)
        + "printf 'two\\nthr'; "
        + WAIT.format(2)
        + "echo ee; printf 'no end'"
    ),
    "lines": steered(
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; "
        '[ $i -ge 2000 ] && [ ! -e "$MARKS.1" ] && ' + WAIT.format(1) + "done"
    ),
    "binary": steered("cat $MARKS.in; " + WAIT.format(1)),
    "much": "head -c 100000000 /dev/zero | tr '\\0' x; echo end >&2",
    "quick": "echo quick",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory = tmp_path_factory.mktemp("stream")
    settings = {"heartbeat_interval": 250, "voting_timeout": 10}
    with Sandbox(directory, ["n1", "n2"], whitelist=WHITELIST, settings=settings) as fleet:
        yield fleet


class Follower:
    """What a reader of a job's feed has of each part; an offset twice, or a gap, is an error."""

    def __init__(self, fleet: Sandbox, job_id: str, query: str = "") -> None:
        self.path = f"jobs/{job_id}/output_feed{query}"
        self.fleet = fleet
        self.parts: dict[tuple[str, str], bytes] = {}
        self.last: str | None = None
        self.over = False
        self.events = 0
        self.again = 0
        self.reader = FeedReader(fleet.profile, self.path)

    def resume(self) -> None:
        """Another connection, from the last event on."""
        self.reader.close()
        self.reader = FeedReader(self.fleet.profile, self.path, self.last)

    def take(self) -> None:
        """The next event."""
        event = self.reader.event()
        assert event is not None, "the feed broke off"
        self.last = event["id"]
        self.events += 1
        if event["event"] == "end":
            self.over = True
            return
        data: dict[str, Any] = event["data"]
        piece = data["text"].encode() if "text" in data else base64.b64decode(data["base64"])
        part = data["node"], data["channel"]
        held = self.parts.get(part, b"")
        assert data["offset"] <= len(held), "a gap"
        known = len(held) - data["offset"]
        assert held[data["offset"] :] == piece[:known] or len(piece) < known
        self.again += min(known, len(piece))
        self.parts[part] = held + piece[known:]

    def until(self, part: tuple[str, str], text: bytes) -> None:
        while not self.parts.get(part, b"").endswith(text):
            self.take()

    def to_the_end(self) -> dict[tuple[str, str], bytes]:
        while not self.over:
            self.take()
        return self.parts


def begin(fleet: Sandbox, command: str, marks: Path, *nodes: str) -> str:
    return start(fleet, command, *nodes, capture_output=True, env={"MARKS": str(marks)})


def test_output_is_read_while_the_command_runs(fleet: Sandbox, tmp_path: Path) -> None:
    marks = tmp_path / "m"
    job_id = begin(fleet, "steps", marks, "n1", "n2")
    job_is(fleet, job_id, "running")
    follower = Follower(fleet, job_id)
    for node in ("n1", "n2"):
        follower.until((node, "stdout"), b"one\n")
        follower.until((node, "stderr"), b"bad\n")
    Path(f"{marks}.1").touch()
    for node in ("n1", "n2"):
        follower.until((node, "stdout"), b"thr")
    assert fleet.api.job(job_id)["status"] == "running"
    only = Follower(fleet, job_id, "?nodes=n2")
    only.until(("n2", "stdout"), b"two\nthr")
    Path(f"{marks}.2").touch()
    whole = {
        (node, channel): text
        for node in ("n1", "n2")
        for channel, text in (("stdout", b"one\ntwo\nthree\nno end"), ("stderr", b"bad\n"))
    }
    assert follower.to_the_end() == whole
    assert follower.again == 0
    assert only.to_the_end().keys() == {("n2", "stdout"), ("n2", "stderr")}
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"one\ntwo\nthree\nno end"
    # Of a job that is over all of it can be had, too.
    assert Follower(fleet, job_id).to_the_end() == whole


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_that_restarts_goes_on_from_its_spool(
    fleet: Sandbox, tmp_path: Path, number: int
) -> None:
    marks = tmp_path / "m"
    job_id = begin(fleet, "lines", marks, "n1")
    job_is(fleet, job_id, "running")
    follower = Follower(fleet, job_id)
    follower.until(("n1", "stdout"), b"line 2000\n")
    fleet.end_agent("n1", number)
    Path(f"{marks}.1").touch()
    fleet.start_agent("n1")
    expected = b"".join(b"line %d\n" % i for i in range(1, 3001))
    assert follower.to_the_end() == {("n1", "stdout"): expected}
    assert follower.again == 0
    assert fleet.api.job_output(job_id, "n1", "stdout") == expected
    fleet.wait_available(["n1"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_restarts_goes_on_where_it_was(
    fleet: Sandbox, tmp_path: Path, number: int
) -> None:
    marks = tmp_path / "m"
    job_id = begin(fleet, "lines", marks, "n1")
    job_is(fleet, job_id, "running")
    follower = Follower(fleet, job_id)
    follower.until(("n1", "stdout"), b"line 2000\n")
    fleet.end_server(number)
    Path(f"{marks}.1").touch()
    fleet.start_server()
    follower.resume()
    expected = b"".join(b"line %d\n" % i for i in range(1, 3001))
    assert follower.to_the_end() == {("n1", "stdout"): expected}
    assert fleet.api.job_output(job_id, "n1", "stdout") == expected
    fleet.wait_available(fleet.nodes)


def test_a_reader_that_comes_back_gets_what_it_has_not_seen(fleet: Sandbox, tmp_path: Path) -> None:
    marks = tmp_path / "m"
    job_id = begin(fleet, "steps", marks, "n1")
    job_is(fleet, job_id, "running")
    follower = Follower(fleet, job_id)
    follower.until(("n1", "stdout"), b"one\n")
    follower.until(("n1", "stderr"), b"bad\n")
    Path(f"{marks}.1").touch()
    follower.resume()
    follower.until(("n1", "stdout"), b"thr")
    assert follower.again == 0
    Path(f"{marks}.2").touch()
    assert follower.to_the_end()["n1", "stdout"] == b"one\ntwo\nthree\nno end"


def test_bytes_that_are_no_text_arrive_unchanged(fleet: Sandbox, tmp_path: Path) -> None:
    marks, data = tmp_path / "m", os.urandom(300_000)
    Path(f"{marks}.in").write_bytes(data)
    job_id = begin(fleet, "binary", marks, "n1")
    job_is(fleet, job_id, "running")
    follower = Follower(fleet, job_id)
    follower.until(("n1", "stdout"), data[-40:])
    assert follower.parts["n1", "stdout"] == data
    Path(f"{marks}.1").touch()
    follower.to_the_end()
    assert fleet.api.job_output(job_id, "n1", "stdout") == data


def test_a_hundred_megabytes_are_capped_marked_and_digested(fleet: Sandbox) -> None:
    job_id = start(fleet, "much", "n1", capture_output=True)
    job_is(fleet, job_id, "complete", limit=30)
    [part] = fleet.api.job_nodes(job_id)
    output = fleet.api.job_output(job_id, "n1", "stdout")
    assert part["stdout_size"] == len(output) < 11 * 2**20
    assert hashlib.sha256(output).hexdigest() == part["stdout_digest"]
    assert output.count(b"x") + part["stdout_dropped"] == 100_000_000
    assert re.search(rb"\n.*[0-9,]+.* bytes.*\n", output)
    assert fleet.api.job_output(job_id, "n1", "stderr") == b"end\n"
    assert Follower(fleet, job_id).to_the_end()["n1", "stdout"] == output
