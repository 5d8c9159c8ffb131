"""Output that is read while its command writes it: nothing twice, nothing missing."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.support.feed_reader import FeedReader
from tests.support.fleet import Fleet
from tests.support.waiting import job_is, patient, start, until
from tests.support.writers import Writer, Writers, register, written

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
    with Fleet(directory, ["n1", "n2"], whitelist=WHITELIST, settings=settings) as fleet:
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


# --- the command line


class Running:
    """A command line that runs, its lines as they come, and when."""

    def __init__(self, fleet: Sandbox, *arguments: str) -> None:
        self.process = subprocess.Popen(
            fleet.command(*arguments), env=fleet.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def line(self) -> str:
        """The next line of standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> tuple[int, list[str], str]:
        """Its status, the rest of its lines, and what it noted."""
        out, err = self.process.communicate(timeout=patient(15))
        return self.process.returncode, out.splitlines(), err


def test_a_line_shows_soon_after_it_was_written(fleet: Sandbox, tmp_path: Path) -> None:
    marks = tmp_path / "m"
    running = Running(
        fleet, "job", "start", "--follow", "--env", f"MARKS={marks}", "--quiet", "steps", "n1"
    )
    seen = {running.line(), running.line()}
    assert seen == {"n1 | one", "n1 ! bad"}
    began = time.monotonic()
    Path(f"{marks}.1").touch()
    assert running.line() == "n1 | two"
    took = time.monotonic() - began
    print(f"a line showed after {took * 1000:.0f} ms")
    assert took < patient(1)
    Path(f"{marks}.2").touch()
    status, lines, _ = running.end()
    assert status == ExitStatus.OK
    assert lines[:2] == ["n1 | three", "n1 | no end"]
    assert "1 succeeded" in lines[2] or "1 ok" in lines[2]
    assert sum("one" in line for line in lines) == 0


def test_a_job_is_followed_from_elsewhere_and_when_it_is_over(
    fleet: Sandbox, tmp_path: Path
) -> None:
    marks = tmp_path / "m"
    job_id = begin(fleet, "steps", marks, "n1", "n2")
    job_is(fleet, job_id, "running")
    running = Running(fleet, "job", "output", job_id, "n2", "--follow", "-F", "ndjson")
    first = [json.loads(running.line()), json.loads(running.line())]
    head = {"event": "output", "job": job_id, "node": "n2"}
    assert {**head, "channel": "stdout", "line": "one"} in first
    assert {**head, "channel": "stderr", "line": "bad"} in first
    Path(f"{marks}.1").touch()
    Path(f"{marks}.2").touch()
    status, lines, _ = running.end()
    assert (status, [json.loads(line)["line"] for line in lines]) == (0, ["two", "three", "no end"])
    done = fleet.cli("job", "output", job_id, "--follow", "--channel", "stdout")
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{node} | {line}" for node in ("n1", "n2") for line in ("one", "two", "three", "no end")
    )


def test_following_survives_a_restart_of_the_server(fleet: Sandbox, tmp_path: Path) -> None:
    marks = tmp_path / "m"
    job_id = begin(fleet, "lines", marks, "n1")
    job_is(fleet, job_id, "running")
    running = Running(fleet, "job", "output", job_id, "--follow")
    assert [running.line() for _ in range(2000)][-1] == "n1 | line 2000"
    fleet.end_server(signal.SIGKILL)
    Path(f"{marks}.1").touch()
    fleet.start_server()
    status, lines, notes = running.end()
    assert (status, lines) == (0, [f"n1 | line {i}" for i in range(2001, 3001)]), notes
    fleet.wait_available(fleet.nodes)


def test_ctrl_c_leaves_the_job_running(fleet: Sandbox, tmp_path: Path) -> None:
    marks = tmp_path / "m"
    job_id = begin(fleet, "steps", marks, "n1")
    job_is(fleet, job_id, "running")
    running = Running(fleet, "job", "output", job_id, "--follow")
    running.line()
    running.process.send_signal(signal.SIGINT)
    status, _, notes = running.end()
    assert status == ExitStatus.INTERRUPTED
    assert "the job goes on" in notes
    assert fleet.api.job(job_id)["status"] == "running"
    Path(f"{marks}.1").touch()
    Path(f"{marks}.2").touch()
    job_is(fleet, job_id, "complete")


@pytest.mark.parametrize(
    "arguments",
    [
        ("output", "0" * 32, "--follow", "--raw"),
        ("output", "0" * 32, "--follow", "--outdir", "x"),
        ("output", "0" * 32, "--follow", "-F", "json"),
        ("start", "quick", "n1", "--follow", "-F", "yaml"),
    ],
)
def test_what_has_no_lines_is_not_followed(fleet: Sandbox, arguments: tuple[str, ...]) -> None:
    done = fleet.cli("job", *arguments)
    assert done.returncode == ExitStatus.USAGE, done.stderr
    assert "--follow" in done.stderr


def test_what_cannot_be_followed_is_told(fleet: Sandbox) -> None:
    assert fleet.cli("job", "output", "0" * 32, "--follow").returncode == ExitStatus.NOT_FOUND
    job_id = start(fleet, "quick", "n1", capture_output=True)
    job_is(fleet, job_id, "complete")
    done = fleet.cli("job", "output", job_id, "nosuch", "--follow")
    assert (done.returncode, "has no node 'nosuch'" in done.stderr) == (ExitStatus.NOT_FOUND, True)
    assert fleet.cli("job", "output", job_id, "--follow").stdout == "n1 | quick\n"
    matching = fleet.cli("job", "output", job_id, "--follow", "--grep", "^QUI", "-i")
    assert (matching.returncode, matching.stdout) == (0, "n1 | quick\n")
    without = fleet.cli("job", "output", job_id, "--follow", "--grep", "slow")
    assert (without.returncode, without.stdout) == (ExitStatus.NOT_FOUND, "")


def test_many_nodes_that_write_at_once_are_all_heard(tmp_path: Path) -> None:
    names = [f"w{number:03d}" for number in range(200)]
    key, size = keys.generate(), 10_000
    fleet = Fleet(tmp_path, [], settings={"voting_timeout": 60})
    try:
        fleet.make_server()
        register(fleet.server_directory, ORG, names, keys.public_pem(key))
        fleet.start_server()
        url = fleet.url.partition("/organizations/")[0]
        crew = [Writer(name, ORG, size) for name in names]
        with Writers(crew, url=url, key=key) as writers:
            fleet.wait_available(names)
            job_id = start(fleet, "x", *names, capture_output=True)
            parts = Follower(fleet, job_id).to_the_end()
            until(lambda: writers.are_done, "all results are acknowledged")
        assert parts == {(name, "stdout"): written(name, size) for name in names}
        digests = {part["stdout_digest"] for part in fleet.api.job_nodes(job_id)}
        assert digests == {hashlib.sha256(written(name, size)).hexdigest() for name in names}
    finally:
        fleet.stop()
