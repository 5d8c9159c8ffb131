"""`pushcli migrate history`: the original server's jobs in ours, over REST.

Its answers have the shapes that were recorded (vectors/original_server.txt).
"""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pushcli.errors import StartError
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG
from pushcli_server import listener, settings
from pushcli_server.importing.history import bring_in
from pushcli_server.importing.original_rest import OriginalRest
from pushcli_server.importing.source import Named
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import Answer, Responder, json_answer
from tests.support.fleet import Fleet
from tests.support.history_import import ONE, TWO, command, remarks, stopped_server, told
from tests.support.postgresql import on_sqlite
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with stopped_server(tmp_path / "fleet") as fleet:
        yield fleet


@pytest.fixture
def home(fleet: Fleet) -> Home:
    """The home of its operator."""
    return Home(fleet.credentials.parent.parent)


@pytest.fixture
def original(responder: Responder) -> Responder:
    """The original server with two jobs."""
    one = {
        "id": ONE, "command": "show-env", "status": "complete", "run_timeout": 30,
        "created_at": "Mon, 23 Nov 2026 22:04:48 GMT",
        "updated_at": "Mon, 23 Nov 2026 22:04:48 GMT", "user": "root".ljust(32), "dir": "/tmp",
        "env": {"FOO": "bar", "FOOTWO": "x y"}, "capture_output": True,
    }  # fmt: skip
    two = {
        "id": TWO, "command": "sleep5", "status": "running", "run_timeout": 3600,
        "created_at": "2026-11-23 22:05:29", "updated_at": "soon", "env": {},
    }  # fmt: skip
    responder.say("GET", "jobs", json_answer([one | {"file_specified": True}, two, two], old=True))
    nodes = {"nacked": ["web3"], "succeeded": ["web1"], "failed": ["web2"]}
    whole = one | {"file": "raw:x", "nodes": nodes}
    responder.say("GET", f"jobs/{ONE}", json_answer(whole, old=True))
    responder.say("GET", f"jobs/{TWO}", json_answer(two | {"nodes": {"running": ["web1"]}}))
    for node, channel, data in (
        ("web1", "stdout", b"bar\0\xff"), ("web1", "stderr", b""),
        ("web2", "stdout", b"y" * (5 * 2**20)), ("web2", "stderr", b"no"),
    ):  # fmt: skip
        octets = Answer(body=data, content_type="application/octet-stream")
        responder.say("GET", f"jobs/{ONE}/output/{node}/{channel}", octets)
    return responder


@pytest.fixture
def signed(key_file: Path) -> tuple[str, ...]:
    """As whom the original is asked."""
    return "-u", "admin", "-k", str(key_file)


def rename_organization(fleet: Fleet) -> None:
    """The responder's is called acme."""
    with closing(sqlite3.connect(fleet.server_directory / "pushcli.db")) as ours, ours:
        ours.execute("INSERT INTO organizations VALUES ('acme')")


@on_sqlite("the organization is put into the file")
def test_jobs_come_over_rest_too(
    fleet: Fleet, home: Home, original: Responder, signed: tuple[str, ...]
) -> None:
    rename_organization(fleet)
    answer = told(fleet, home.env, original.url, *signed)
    assert remarks(answer) == {
        "the quorum is not known: the number of nodes, which is the default": ("changed", 2),
        "output is cut: there is too much of it": ("changed", 1),
        "created_at names no zone: UTC": ("changed", 1),
        "was running when it was imported: aborted": ("changed", 1),
        "updated_at is not a time: the same as created_at": ("changed", 1),
    }
    assert (answer["jobs"], answer["nodes"], answer["outputs"]) == (2, 4, 2)
    with closing(sqlite3.connect(fleet.server_directory / "pushcli.db")) as ours:
        jobs = ours.execute(
            "SELECT id, status, quorum, created_at, env, user, requestor FROM jobs ORDER BY id"
        ).fetchall()
        parts = ours.execute(
            "SELECT job_id, node, state, stdout_size, stdout_dropped FROM job_nodes"
            " ORDER BY job_id, position"
        ).fetchall()
        [stdout] = ours.execute(
            "SELECT data FROM blobs JOIN job_nodes ON digest = stdout_digest WHERE node = 'web1'"
        ).fetchone()
        [kept] = ours.execute(
            "SELECT data FROM blobs JOIN jobs ON digest = file_digest WHERE id = ?", [ONE]
        ).fetchone()
        told_of = ours.execute(
            "SELECT command, dir, run_timeout, capture FROM jobs WHERE id = ?", [ONE]
        ).fetchone()
    assert jobs == [
        (ONE, "complete", 3, 1795471488.0, '{"FOO": "bar", "FOOTWO": "x y"}', "root", ""),
        (TWO, "aborted", 1, 1795471529.0, "{}", None, ""),
    ]
    assert parts == [
        (ONE, "web3", "nacked", None, None), (ONE, "web1", "succeeded", 5, 0),
        (ONE, "web2", "failed", 4 * 2**20, 2**20), (TWO, "web1", "crashed", None, None),
    ]  # fmt: skip
    assert (kept, told_of) == (b"raw:x", ("show-env", "/tmp", 30.0, 1))
    asked = [path for _, path, _ in original.requests
             if path.partition("?")[0].endswith(f"jobs/{ONE}")]  # fmt: skip
    assert {path.partition("?")[2] for path in asked} == {"include_file=true"}
    # Of a job whose output nobody kept none is asked for.
    assert original.count("GET", f"jobs/{TWO}/output/web1/stdout") == 0
    assert stdout == b"bar\0\xff"
    assert told(fleet, home.env, original.url, *signed)["there"] == 2


@on_sqlite("the organization is put into the file")
def test_whoever_interrupts_it_does_not_wait_for_a_silent_server(
    fleet: Fleet, home: Home, original: Responder, signed: tuple[str, ...]
) -> None:
    rename_organization(fleet)
    answered = threading.Event()
    original.say("GET", f"jobs/{TWO}", Answer(until=answered))
    process = home.start(*command(fleet, original.url, *signed, "-y"))
    try:
        original.wait_for("GET", f"jobs/{TWO}")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=patient(3))
    finally:
        answered.set()
        process.kill()
        process.wait()
    assert (process.returncode, said) == (
        ExitStatus.INTERRUPTED,
        "INTERRUPTED: what was taken over stays; run it again: it goes on\n",
    )


@on_sqlite("the organization is put into the file")
def test_what_a_hostile_server_says_of_one_job_costs_that_job(
    fleet: Fleet, home: Home, original: Responder, signed: tuple[str, ...]
) -> None:
    rename_organization(fleet)
    ids = [f"{number:032x}" for number in range(8)]
    listed = [{"id": one} for one in [*ids, ONE]] + [{"id": 5}, 7, None, {"id": "../x"}, {}]
    original.say("GET", "jobs", json_answer(listed, old=True))
    for job_id, said_of_it in zip(ids, (
        json_answer({"error": "no"}, 500), json_answer([1]), Answer(body=b"\0\xff"),
        json_answer({"id": ONE}), json_answer({"id": ids[4], "status": ["complete"]}),
        json_answer({"id": ids[5], "status": "complete", "created_at": "Mon, 23 Nov 2026 22:04:48"
                     " GMT", "command": "a\0b", "nodes": 7}),
        json_answer({"id": ids[6], "status": "complete", "created_at": "Mon, 23 Nov 2026 22:04:48"
                     " GMT", "command": "x", "run_timeout": 10**40, "env": {"A": 7}, "user": 5,
                     "nodes": {"succeeded": [5, "ok", "../..", "ok"], "odd": ["x"], "failed": 3}}),
    ), strict=False):  # fmt: skip
        original.say("GET", f"jobs/{job_id}", said_of_it)
    answer = told(fleet, home.env, original.url, *signed)
    assert (answer["jobs"], answer["nodes"], answer["left_out"]) == (2, 4, 6 + 5)
    said = remarks(answer)
    for why, count in (
        ("the server's answer is another thing than this job", 2),
        ("there is no job status ['complete']", 1), ("the command holds a NUL", 1),
        ("the id is not 32 hex digits", 5), ("no node can have the name", 1),
        ("the job has the node twice", 1), ("there is no node state odd", 1),
        ("the user is not text: left out", 1), ("the server failed (500): no", 1),
        ("the server's answer is not JSON", 1),
        ("run_timeout is not known: 3600, which is the default", 1),
        ("the environment is not one of strings: left out", 1),
    ):  # fmt: skip
        assert said[why][1] == count, (why, said)


def test_a_server_that_refuses_or_is_away_is_one_line(
    fleet: Fleet, home: Home, responder: Responder, signed: tuple[str, ...]
) -> None:
    responder.say("GET", "jobs", json_answer({"error": ["Invalid signature"]}, 401))
    refused = home.run(*command(fleet, responder.url, *signed, "-y"))
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, "Invalid signature")
    responder.say("GET", "jobs", json_answer({"jobs": 5}))
    odd = home.run(*command(fleet, responder.url, *signed, "-y"))
    assert_one_line(odd, ExitStatus.ERROR, "list of jobs is not one")
    away = home.run(*command(fleet, "http://127.0.0.1:1/organizations/acme", *signed, "-y"))
    assert_one_line(away, ExitStatus.UNREACHABLE, "cannot")


def test_a_server_that_is_started_meanwhile_finds_its_port_taken(
    fleet: Fleet, original: Responder
) -> None:
    config = settings.load(fleet.server_directory)

    tried: list[str] = []

    class Asked(OriginalRest):
        """Somebody starts the server once the first jobs are looked at."""

        def jobs(self) -> tuple[int, Iterator[list[Named]]]:
            return 0, self._batches()

        def _batches(self) -> Iterator[list[Named]]:
            with pytest.raises(StartError, match="cannot listen") as caught:
                listener.listen(config.listen_host, config.api_port, ("", ""))
            tried.append(str(caught.value))
            yield []

    source = Asked(fleet.api, "", ORG)
    assert bring_in(fleet.server_directory, source, {}, lambda *_: None).jobs == 0
    assert len(tried) == 1


def test_what_nobody_answers_is_told_though_it_is_our_own_port(fleet: Fleet, home: Home) -> None:
    done = home.run(*command(fleet, fleet.url, "--profile", ORG, "-y"))
    assert_one_line(done, ExitStatus.UNREACHABLE, "connection refused")


@on_sqlite("the organization is put into the file")
def test_output_that_a_proxy_did_not_get_comes_with_the_next_run(
    fleet: Fleet, home: Home, original: Responder, signed: tuple[str, ...]
) -> None:
    rename_organization(fleet)
    way = f"jobs/{ONE}/output/web2/stderr"
    original.say("GET", way, Answer(502, b"<html></html>", "text/html"))
    answer = told(fleet, home.env, original.url, *signed)
    assert (answer["jobs"], answer["left_out"]) == (1, 1)
    assert any("import again later: output of web2" in why for why in remarks(answer))
    original.say("GET", way, Answer(body=b"no", content_type="application/octet-stream"))
    answer = told(fleet, home.env, original.url, *signed)
    assert (answer["jobs"], answer["there"], answer["outputs"]) == (1, 1, 2)


@on_sqlite("the organization is put into the file")
def test_output_that_the_server_fails_to_give_costs_that_output(
    fleet: Fleet, home: Home, original: Responder, signed: tuple[str, ...]
) -> None:
    rename_organization(fleet)
    original.say("GET", f"jobs/{ONE}/output/web2/stderr", json_answer({"error": "no"}, 500))
    answer = told(fleet, home.env, original.url, *signed)
    why = "its output, or a part of it, cannot be read: of web2: the server failed (500): no"
    assert remarks(answer)[why] == ("changed", 1)
    assert (answer["jobs"], answer["outputs"]) == (2, 1)


@on_sqlite("the organization is put into the file")
def test_jobs_of_several_batches_come_once_each(
    fleet: Fleet, home: Home, responder: Responder, signed: tuple[str, ...]
) -> None:
    rename_organization(fleet)
    ids = [f"{number:032x}" for number in range(1, 152)]
    # The last one of the first batch is named once more: it is the first of the next.
    listed = [*ids[:100], ids[99], *ids[100:]]
    responder.say("GET", "jobs", json_answer([{"id": one} for one in listed], old=True))
    at = "Mon, 23 Nov 2026 22:04:48 GMT"
    for job_id in ids:
        whole = {"id": job_id, "command": "x", "status": "complete", "run_timeout": 1,
                 "created_at": at, "updated_at": at, "nodes": {}}  # fmt: skip
        responder.say("GET", f"jobs/{job_id}", json_answer(whole, old=True))
    answer = told(fleet, home.env, responder.url, *signed)
    assert (answer["jobs"], answer["there"], answer["left_out"]) == (151, 1, 0)
