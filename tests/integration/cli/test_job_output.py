"""`pushcli job output` of many nodes: each distinct output fetched once, folded, or in files."""

import json
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.done_job import BAD, FINE, NONE, OFFERED, digest, part, show_done
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import (
    JOB_ID,
    Answer,
    Responder,
    job,
    json_answer,
)


@pytest.fixture
def done(responder: Responder) -> Responder:
    """A job in which two of three nodes did well, and a fourth had no part."""
    parts: list[dict[str, object]] = [
        part("web03", FINE, BAD, state="failed", exit_code=3, stderr_dropped=5),
        part("web01", FINE, NONE),
        part("web02", FINE, NONE),
        {"node": "web04", "state": "nacked", "reason": "busy"},
    ]
    show_done(responder, parts, FINE, BAD)
    return responder


def test_what_all_wrote_is_folded_and_fetched_once(home: Home, done: Responder) -> None:
    result = home.run("job", "output", JOB_ID)
    assert (result.status, result.stderr) == (ExitStatus.OK, "")
    assert result.stdout.splitlines() == [
        "web[01-02] (2 succeeded)",
        "  all is well",
        "web03 (failed, exit code 3, 5 bytes of output missing)",
        "  all is well",
        "web03 stderr",
        r"  \x1b[2Jno \xff space",
    ]
    assert sum("/output/" in path for _, path, _ in done.requests) == 2


def test_some_nodes_and_a_channel_may_be_chosen(home: Home, done: Responder) -> None:
    chosen = home.run("job", "output", JOB_ID, "web02", "web03", "--channel", "stdout")
    assert chosen.stdout.splitlines() == [
        "web02 (succeeded)", "  all is well",
        "web03 (failed, exit code 3, 5 bytes of output missing)", "  all is well",
    ]  # fmt: skip
    both = home.run("job", "output", JOB_ID, "web03", "--channel", "both", "-F", "json")
    assert json.loads(both.stdout) == [{
        "id": JOB_ID, "node": "web03", "stdout": "all is well\n",
        "stderr_base64": "G1sySm5vIP8gc3BhY2UK", "dropped": 5,
    }]  # fmt: skip


def test_raw_bytes_follow_each_other_in_the_order_of_the_job(home: Home, done: Responder) -> None:
    result = home.run("job", "output", JOB_ID, "--channel", "both", "--raw")
    assert result.stdout.encode("utf-8", "surrogateescape") == FINE + BAD + FINE + FINE


def test_it_goes_to_a_file_per_node_and_channel(
    home: Home, done: Responder, tmp_path: Path
) -> None:
    result = home.run("job", "output", JOB_ID, "--outdir", "results")
    assert (result.status, result.stdout) == (0, "6 files of 3 nodes in results\n")
    found = {
        str(path.relative_to(home.path / "results")): path.read_bytes()
        for path in (home.path / "results").rglob("*")
        if path.is_file()
    }
    assert found == {
        "web01/stdout": FINE, "web01/stderr": NONE, "web02/stdout": FINE, "web02/stderr": NONE,
        "web03/stdout": FINE, "web03/stderr": BAD,
    }  # fmt: skip
    one = home.run("job", "output", JOB_ID, "web03", "--outdir", "results", "-F", "json")
    assert json.loads(one.stdout)["nodes"] == {"web03": ["stderr", "stdout"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("web09", "web01"), "has no node 'web09': did you mean 'web01'?"),
        (("web04", "--channel", "both"), "did not run on web04 (nacked, busy)"),
    ],
)
def test_why_there_is_nothing_is_told(
    home: Home, done: Responder, arguments: tuple[str, ...], words: str
) -> None:
    assert_one_line(home.run("job", "output", JOB_ID, *arguments), ExitStatus.NOT_FOUND, words)


def test_another_output_than_was_asked_for_is_not_shown(home: Home, done: Responder) -> None:
    forged = Answer(200, b"all is lost\n", "application/octet-stream", OFFERED)
    done.say("GET", f"jobs/{JOB_ID}/output/{digest(FINE)}", forged)
    result = home.run("job", "output", JOB_ID)
    assert_one_line(result, ExitStatus.ERROR, "another output than was asked for")


def test_an_old_server_is_asked_node_by_node(home: Home, responder: Responder) -> None:
    shown = job("complete", nodes={"succeeded": ["web02", "web01"]}, capture_output=True)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(shown, old=True))
    for node in ("web01", "web02"):
        for channel, content in (("stdout", FINE), ("stderr", NONE)):
            responder.say("GET", f"jobs/{JOB_ID}/output/{node}/{channel}", Answer(200, content))
    result = home.run("job", "output", JOB_ID)
    assert result.stdout.splitlines() == ["web[01-02] (2 succeeded)", "  all is well"]


def test_a_job_without_capture_and_options_that_exclude_each_other(
    home: Home, responder: Responder
) -> None:
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("complete")))
    assert_one_line(home.run("job", "output", JOB_ID), ExitStatus.NOT_FOUND, "--capture")
    both = home.run("job", "output", JOB_ID, "--raw", "--outdir", "x")
    assert_one_line(both, ExitStatus.USAGE, "--outdir")


DELETED: dict[str, object] = {
    "output_deleted_at": 1.7e9, "output_deleted_by": "output_retention", "ended_at": 1.7e9 - 90,
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("web01",), "was deleted after 1 min (output_retention)"),
        (("web0[1-2]",), "was deleted after 1 min (output_retention)"),
        ((), "was deleted after 1 min (output_retention)"),
        (("web01", "--follow"), "was deleted after 1 min (output_retention)"),
        (("web02",), "the command did not run on web02 (nacked, busy)"),
        (("web03",), "the command did not run on web03"),
        (("web0[2-3]",), f"job {JOB_ID} keeps no output"),
    ],
)
def test_why_there_is_nothing_of_what_nobody_asked_for(
    home: Home, responder: Responder, arguments: tuple[str, ...], words: str
) -> None:
    parts: list[dict[str, object]] = [
        # Of nothing there is nothing to delete: its digest stays.
        {
            "node": "web01",
            "state": "failed",
            "stdout_size": 5,
            "stderr_size": 0,
            "stderr_digest": digest(NONE),
            **DELETED,
        },
        {"node": "web02", "state": "nacked", "reason": "busy"},
        {"node": "web03", "state": "ready"},
    ]
    show_done(responder, parts, asked=False)
    for node in ("web01", "web02", "web03"):
        missing = Answer(404, b"{}", headers=OFFERED)
        responder.say("GET", f"jobs/{JOB_ID}/output/{node}/stdout", missing)
    result = home.run("job", "output", JOB_ID, *arguments)
    assert_one_line(result, ExitStatus.NOT_FOUND, words)


def test_of_one_channel_only_its_own_is_missing(home: Home, done: Responder) -> None:
    for channel, dropped in (("stdout", None), ("stderr", 5)):
        shown = home.run("job", "output", JOB_ID, "web03*", "--channel", channel, "-F", "json")
        assert json.loads(shown.stdout)[0].get("dropped") == dropped
