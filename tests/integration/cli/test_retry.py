"""`pushcli job retry`: the same job again, where it did not succeed."""

import json
from typing import Any

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import JOB_ID, Responder, job, json_answer

NODES = {
    "succeeded": ["ok1"], "failed": ["web2", "web10"], "crashed": ["db1"], "timed_out": ["slow1"],
    "nacked": ["no1"], "unavailable": ["gone1"], "aborted": ["ab1"],
}  # fmt: skip
RAN = job(
    "complete", nodes=NODES, command="deploy 118", run_timeout=30, user="www", dir="/srv",
    env={"A": "b"}, capture_output=True,
)  # fmt: skip
RETRY = ("job", "retry", JOB_ID)


def asked(responder: Responder) -> dict[str, Any]:
    """The body of the last request."""
    *_, (method, _, body) = responder.requests
    assert method == "POST"
    wanted: dict[str, Any] = json.loads(body)
    return wanted


def ran(responder: Responder, **more: object) -> None:
    """There was a job; a POST starts another."""
    responder.accept_job({**RAN, **more})


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        ([], ["ab1", "db1", "gone1", "no1", "slow1", "web2", "web10"]),
        (["--failed"], ["db1", "web2", "web10"]),
        (["--timed-out", "--nacked"], ["no1", "slow1"]),
        (["--unavailable"], ["gone1"]),
        (["--all"], ["ab1", "db1", "gone1", "no1", "ok1", "slow1", "web2", "web10"]),
        (["web*"], ["web2", "web10"]),
        (["--all", "web[2,10],ok1!web10"], ["web2", "ok1"]),
    ],
)
def test_the_same_is_run_on_the_nodes_that_are_meant(
    home: Home, responder: Responder, options: list[str], nodes: list[str]
) -> None:
    ran(responder)
    result = home.run(*RETRY, *options, "-b", "-q", "50%")
    assert result.status == ExitStatus.OK, result
    assert asked(responder) == {
        "command": "deploy 118", "nodes": nodes, "quorum": -(-len(nodes) // 2), "run_timeout": 30,
        "user": "www", "dir": "/srv", "env": {"A": "b"}, "capture_output": True,
        "pushcli": {"exact_env": True},
    }  # fmt: skip
    assert result.stderr.startswith(f"Again on {len(nodes)}: ")


def test_what_was_left_out_then_stays_so(home: Home, responder: Responder) -> None:
    responder.accept_job(job("complete", nodes={"failed": ["a"]}))
    assert home.run("job", "rerun", JOB_ID, "--quiet", "-b").stdout == f"{JOB_ID}\n"
    assert asked(responder) == {"command": "uptime", "nodes": ["a"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--nacked", "web2"], "'web2' is not one of the nodes meant"),
        (["web*", "--nacked"], "no node matches 'web*'"),
    ],
)
def test_only_nodes_of_the_job_are_meant(
    home: Home, responder: Responder, options: list[str], words: str
) -> None:
    ran(responder)
    assert words in home.run(*RETRY, *options).stderr
    assert responder.count("POST", "jobs") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [([], "left to retry"), (["--failed", "--timed-out"], "failed or timed out")],
)
def test_nothing_to_retry_is_said(
    home: Home, responder: Responder, options: list[str], words: str
) -> None:
    responder.accept_job(job("complete", nodes={"succeeded": ["a"]}))
    assert_one_line(home.run(*RETRY, *options), ExitStatus.NOT_FOUND, words)


def test_nodes_at_work_are_left_out(home: Home, responder: Responder) -> None:
    responder.accept_job(job("running", nodes={"running": ["a", "b"], "failed": ["c"]}))
    result = home.run(*RETRY, "--all", "-b")
    assert asked(responder)["nodes"] == ["c"]
    assert "left out: 2 that are not done" in result.stderr


def test_a_file_that_the_server_has_no_more_is_asked_for(home: Home, responder: Responder) -> None:
    ran(responder, file_specified=True)
    refused = home.run(*RETRY, "-b")
    assert_one_line(refused, ExitStatus.USAGE, "give it again: --file FILE")
    failed = json_answer({"error": ["damaged"]}, 500)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer({**RAN, "file_specified": True}), failed)
    assert_one_line(home.run(*RETRY, "-b"), ExitStatus.USAGE, "cannot be read", "--file FILE")
    ran(responder, file_specified=True)
    (home.path / "f").write_bytes(b"#!")
    assert home.run(*RETRY, "-b", "--file", "f").status == ExitStatus.OK
    assert asked(responder)["file"] == "base64:IyE="


def test_a_job_with_failures_ends_with_the_line_that_retries(
    home: Home, responder: Responder
) -> None:
    responder.accept_job(RAN, old=True)
    start = ("job", "start", "x", "a", "--profile", "default")
    wanted = (
        f"  again for the 4     pushcli job retry {JOB_ID} --failed --timed-out --profile default"
    )
    assert home.run(*start).stderr.splitlines()[-1] == wanted
    assert "again" not in home.run(*start, "--quiet").stderr
    responder.accept_job(
        job("complete", nodes={"failed": ["web2"], "unavailable": ["web3"]}), old=True
    )
    line = home.run("job", "start", "x", "a").stderr.splitlines()[-1]
    assert line == f"  again for web2     pushcli job retry {JOB_ID} --failed"
    responder.accept_job(
        job("complete", nodes={"succeeded": ["a"], "unavailable": ["web3"]}), old=True
    )
    assert "again" not in home.run(*start).stderr


def test_the_real_server_gives_the_file_back(operated: Operated) -> None:
    operated.fleet.enroll(["down1"])
    (operated.place / "script").write_bytes(b"#!/bin/sh\n\xff")
    start = (
        "job",
        "start",
        "x",
        "down1",
        "-q",
        "0",
        "--file",
        "script",
        "--env",
        "A=b",
        "-F",
        "json",
    )
    first = json.loads(operated.run(*start).stdout)
    second = json.loads(operated.run("job", "retry", first["id"], "-q", "0", "-F", "json").stdout)
    api = operated.fleet.api
    one, two = (api.job(each["id"], include_file=True) for each in (first, second))
    same = ("command", "run_timeout", "env", "file", "nodes")
    assert {key: one[key] for key in same} == {key: two[key] for key in same}
    assert two["file"].startswith("base64:")
