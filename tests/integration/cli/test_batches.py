"""`job start --batch`: a job for each batch, until something speaks against the next."""

import json
import shlex
import signal
from typing import Any

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import EXTENSIONS, Responder, job, json_answer
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
"""The first test against the real server starts it."""
START = ("job", "start", "restart", "web[01-06]")
DOWN = [f"down{i}" for i in range(1, 6)]


@pytest.fixture(scope="module")
def down(operated: Operated) -> Operated:
    """The real server, with five nodes that are down."""
    operated.fleet.enroll(DOWN)
    return operated


def play(responder: Responder, *jobs: dict[str, object]) -> None:
    """One job after the other, each over at once."""
    ids = [f"{i:032x}" for i in range(len(jobs))]
    uris = [f"{responder.url}/pushy/jobs/{job_id}" for job_id in ids]
    responder.say("POST", "jobs", *(json_answer({"uri": uri}, 201, old=True) for uri in uris))
    for job_id, each in zip(ids, jobs, strict=True):
        responder.say("GET", f"jobs/{job_id}", json_answer({**each, "id": job_id}, old=True))


def asked(responder: Responder) -> list[dict[str, Any]]:
    """The bodies of all jobs that were started."""
    return [json.loads(body) for method, _, body in responder.requests if method == "POST"]


def done(*nodes: str) -> dict[str, object]:
    return job("complete", nodes={"succeeded": [*nodes]})


def test_each_batch_is_a_job_and_all_have_their_id_in_common(
    home: Home, responder: Responder
) -> None:
    play(responder, done("web01", "web02"), done("web03", "web04"), done("web05", "web06"))
    result = home.run(*START, "--batch", "2", "-q", "50%")
    assert result.status == ExitStatus.OK, result
    bodies = asked(responder)
    assert [body["nodes"] for body in bodies] == [
        ["web01", "web02"], ["web03", "web04"], ["web05", "web06"]
    ]  # fmt: skip
    assert [body["quorum"] for body in bodies] == [1, 1, 1]
    assert len({body["pushcli"]["batch"] for body in bodies}) == 1
    assert result.stdout.splitlines()[-1] == "3 of 3 batches ran.  6 succeeded"
    batches = [line for line in result.stderr.splitlines() if line.startswith("Batch")]
    assert batches[1] == "Batch 2 of 3: web[03-04] (2)"


def test_what_failed_too_often_stops_the_rest(home: Home, responder: Responder) -> None:
    failing = job("complete", nodes={"failed": ["web03"], "succeeded": ["web04"]})
    play(responder, done("web01", "web02"), failing)
    result = home.run(
        *START, "-x", "web09", "--batch", "33%", "--max-failures", "10%", "--env", "A=b c",
        "--timeout", "2m", "--profile", "default",
    )  # fmt: skip
    assert result.status == ExitStatus.NODE_FAILED
    assert result.stdout.splitlines()[-1] == "2 of 3 batches ran.  3 succeeded, 1 failed"
    assert result.stderr.splitlines()[-4:] == [
        "Stopped after batch 2: 1 node failed, and --max-failures is 0",
        "  ran            web[01-04] (4)",
        "  not started    web[05-06] (2)",
        "  for the rest   pushcli job start restart --timeout 120 --env 'A=b c' --batch 2 "
        "--max-failures 0 --profile default 'web[05-06]'",
    ]
    command = shlex.split(result.stderr.splitlines()[-1].partition("pushcli ")[2])
    play(responder, done("web05", "web06"))
    assert home.run(*command).status == ExitStatus.OK
    assert asked(responder)[-1]["nodes"] == ["web05", "web06"]
    assert asked(responder)[-1]["env"] == {"A": "b c"}


def test_a_failed_quorum_stops_the_rest_and_programs_get_all_of_it(down: Operated) -> None:
    start = ("job", "start", "x", "down*", "--batch", "2", "-F")
    failed = down.run(*start, "json")
    assert failed.status == ExitStatus.QUORUM_FAILED
    answer = json.loads(failed.stdout)
    assert [each["status"] for each in answer["jobs"]] == ["quorum_failed"]
    assert answer["not_started"] == DOWN[2:]
    assert "for the rest   pushcli job start x --batch 2 -" not in failed.stderr
    assert "for the rest   pushcli job start x --batch 2 'down[3-5]'" in failed.stderr
    whole = down.run(*start, "ndjson", "-q", "0")
    assert whole.status == ExitStatus.OK
    *lines, last = map(json.loads, whole.stdout.splitlines())
    jobs = [line for line in lines if line["event"] == "end"]
    assert [len(each["results"]) for each in jobs] == [2, 2, 1]
    assert last["not_started"] == []
    for each in jobs:
        assert "pushcli" not in down.fleet.api.job(each["id"])
        told = down.fleet.api.get(f"pushy/own_jobs/{each['id']}")
        assert told["pushcli"] == {"batch": last["batch"], "capture": "default"}
        assert down.fleet.api.job(each["id"]) == {k: told[k] for k in told if k != "pushcli"}


def test_ctrl_c_tells_what_ran_and_how_to_run_the_rest(home: Home, responder: Responder) -> None:
    running = job("running", nodes={"running": ["web03", "web04"]})
    play(responder, done("web01", "web02"), running)
    second = f"jobs/{1:032x}"
    with home.start(*START, "--batch", "2") as process:
        responder.wait_for("GET", second, 2)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=patient(10))
    assert process.returncode == ExitStatus.INTERRUPTED
    assert stderr.splitlines()[-4:] == [
        "  ran            web[01-02] (2)",
        "  started        web[03-04] (2)",
        "  not started    web[05-06] (2)",
        "  for the rest   pushcli job start restart --batch 2 'web[05-06]'",
    ]


def test_a_batch_that_is_refused_was_not_started(home: Home, responder: Responder) -> None:
    play(responder, done("web01", "web02"))
    accepted = json_answer({"uri": f"{responder.url}/pushy/jobs/{0:032x}"}, 201, old=True)
    refused = json_answer({"error": ["no access"]}, 403)
    responder.say("POST", "jobs", accepted, refused)
    result = home.run(*START, "--batch", "2")
    assert result.status == ExitStatus.NOT_ALLOWED
    assert "  not started    web[03-06] (4)" in result.stderr.splitlines()


def test_a_pause_is_kept_between_batches(home: Home, responder: Responder) -> None:
    play(responder, done("web01"), done("web02"), done("web03"))
    result = home.run("job", "start", "x", "web[01-03]", "--batch", "1", "--batch-wait", "0.2s")
    assert result.stderr.count("Waiting for 0.2 s ...") == 2


def test_retries_come_in_batches_too(home: Home, responder: Responder) -> None:
    nodes = {"failed": ["a1", "a2"], "nacked": ["a3"], "crashed": ["a4"]}
    play(responder, job("complete", nodes=nodes), job("quorum_failed", nodes={"nacked": ["a1"]}))
    old = f"{0:032x}"
    uri = f"{responder.url}/pushy/jobs/{1:032x}"
    responder.say("POST", "jobs", json_answer({"uri": uri}, 201, old=True))
    result = home.run("job", "retry", old, "--failed", "--batch", "1")
    assert result.status == ExitStatus.QUORUM_FAILED
    last = result.stderr.splitlines()[-1]
    assert last == f"  for the rest   pushcli job retry {old} --failed --batch 1 'a[2,4]'"


def test_a_server_without_batches_gets_jobs_without_their_id(
    home: Home, responder: Responder
) -> None:
    offered = {"X-Pushcli-Extensions": f"{EXTENSIONS['X-Pushcli-Extensions']},job-options"}
    play(responder, done("web01"))
    accepted = json_answer({"uri": f"{responder.url}/pushy/jobs/{0:032x}"}, 201)
    refused = json_answer({"error": "invalid pushcli options supplied"}, 400)
    responder.say("POST", "jobs", *(
        type(answer)(answer.status, answer.body, headers=offered) for answer in (refused, accepted)
    ))  # fmt: skip
    start = ("job", "start", "x", "web01", "--batch", "1", "--env", "A=b")
    assert home.run(*start).status == ExitStatus.OK
    assert [sorted(body["pushcli"]) for body in asked(responder)] == [
        ["batch", "exact_env"], ["exact_env"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--batch-wait", "1"], "give --batch too"),
        (["--max-failures", "1"], "give --batch too"),
        (["--batch", "2", "-b"], "leave out --nowait"),
        (["--batch", "0"], "--batch 0 leaves a batch empty"),
        (["--batch", "2", "-q", "3"], "cannot reach a quorum of 3"),
    ],
)
def test_what_cannot_be_meant_starts_nothing(
    home: Home, responder: Responder, options: list[str], words: str
) -> None:
    assert_one_line(home.run(*START, *options), ExitStatus.USAGE, words)
    assert responder.count("POST", "jobs") == 0
