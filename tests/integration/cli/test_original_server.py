"""The original Push Jobs server, as it was recorded to answer: what it lacks is one line."""

import json
import signal

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer
from tests.integration.cli.terminal import on_terminal

_PAGE = (
    "<HTML><HEAD><TITLE>{0}</TITLE></HEAD><BODY><H1>{0}</H1><P><HR>"
    "<ADDRESS>mochiweb+webmachine web server</ADDRESS></BODY></HTML>"
)
ORIGINAL = "not offered by the original Push Jobs server: only a pushcli server can"


def page(status: int) -> Answer:
    """What it says of a path or method that it does not have."""
    title = {404: "404 Not Found", 405: "405 Method Not Allowed"}[status]
    return Answer(status, _PAGE.format(title).encode(), "text/html")


@pytest.fixture(params=[404, 405])
def lacking(request: pytest.FixtureRequest, responder: Responder) -> Responder:
    """It has none of what ours adds."""
    said = page(request.param)
    responder.say("POST", f"jobs/{JOB_ID}/abort", said)
    responder.say("GET", f"own_jobs/{'0' * 32}", page(404))
    for path in ("pauses", "resumes", "checks"):
        responder.say("POST", path, said)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("running"), old=True))
    responder.say("GET", "jobs", json_answer([job("running")], old=True))
    return responder


@pytest.mark.parametrize("arguments", [(JOB_ID,), (JOB_ID, JOB_ID[:-1] + "e"), ("--all", "-y")])
def test_a_job_cannot_be_aborted_there(
    home: Home, lacking: Responder, arguments: tuple[str, ...]
) -> None:
    refused = home.run("job", "abort", *arguments)
    assert_one_line(refused, ExitStatus.NOT_OFFERED, f"{ORIGINAL} abort jobs")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("node", "pause", "a", "--for", "1h", "--reason", "x"), "pause nodes"),
        (("node", "resume", "a"), "pause nodes"),
        (("job", "start", "--dry-run", "true", "a"), "ask agents"),
        (("job", "status", "@last"), "tell which job"),
        (("job", "list", "--by", "me"), "look for jobs"),
    ],
)
def test_what_only_ours_does_says_so(
    home: Home, lacking: Responder, arguments: tuple[str, ...], what: str
) -> None:
    lacking.say("GET", "node_states", json_answer([], old=True))
    lacking.say("GET", "/nodes", json_answer({"a": ""}, old=True))
    refused = home.run(*arguments)
    assert_one_line(refused, ExitStatus.NOT_OFFERED, "original Push Jobs server", what)


def test_jobs_cannot_be_frozen_there(home: Home, responder: Responder) -> None:
    refused = home.run("job", "unfreeze")
    assert_one_line(refused, ExitStatus.NOT_OFFERED, f"{ORIGINAL} freeze jobs")


def test_a_404_of_what_it_has_is_no_lack(home: Home, responder: Responder) -> None:
    responder.say("GET", f"jobs/{JOB_ID}", page(404))
    assert_one_line(home.run("job", "status", JOB_ID), ExitStatus.NOT_FOUND, "not found")


def test_a_node_that_it_resets_is_unavailable(home: Home, responder: Responder) -> None:
    states = [
        {"node_name": "a", "availability": "undefined"},
        {"node_name": "b", "availability": "available"},
    ]
    responder.say("GET", "node_states", json_answer(states, old=True))
    assert home.run("node", "status").stdout == "a\tunavailable\nb\tavailable\n"
    assert home.run("node", "status", "--troubled").stdout == "a\tunavailable\n"
    told = json.loads(home.run("node", "status", "-F", "json").stdout)
    assert [one["availability"] for one in told] == ["unavailable", "available"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--timeout", "1.5"), ("whole seconds only, not 1.5", "--timeout")),
        (("--as-user", "u" * 33), ("at most 32 characters, not 33", "--as-user")),
    ],
)
@pytest.mark.parametrize("capture", [(), ("--capture",)])
def test_what_it_answers_with_500_is_not_sent(
    home: Home, responder: Responder, options: tuple[str, ...], words: tuple[str, ...],
    capture: tuple[str, ...],
) -> None:  # fmt: skip
    refused = home.run("job", "start", *options, *capture, "true", "a")
    assert_one_line(refused, ExitStatus.USAGE, "the original Push Jobs server takes", *words)
    assert responder.count("POST", "jobs") == 0


@pytest.mark.parametrize("options", [("--timeout", "2m"), ("--as-user", "u" * 32)])
def test_what_it_takes_is_sent(home: Home, responder: Responder, options: tuple[str, ...]) -> None:
    responder.accept_job(job("complete"), old=True)
    assert home.run("job", "start", "-b", *options, "true", "a").status == ExitStatus.OK
    [body] = [body for method, path, body in responder.requests if method == "POST"]
    assert json.loads(body)["nodes"] == ["a"]


def test_nobody_who_leaves_is_told_to_abort(home: Home, responder: Responder) -> None:
    responder.accept_job(job("running", nodes={"running": ["a"]}), old=True)
    process = home.start("job", "start", "true", "a")
    responder.wait_for("GET", f"jobs/{JOB_ID}")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert process.returncode == ExitStatus.INTERRUPTED
    assert "STILL RUNNING: aborting it is not offered here" in errors
    assert "job abort" not in errors
    assert f"pushcli job watch {JOB_ID}" in errors


def test_the_question_does_not_offer_it(home: Home, responder: Responder) -> None:
    responder.accept_job(job("running", nodes={"running": ["a"]}), old=True)
    with on_terminal(home, "job", "start", "true", "a") as terminal:
        responder.wait_for("GET", f"jobs/{JOB_ID}", 2)
        terminal.settle(0.5)
        terminal.child.sendintr()
        terminal.expect("Aborting is not offered here: [d]etach")
        terminal.settle(0.5)
        terminal.child.sendline("a")
        terminal.expect("Aborting is not offered here: [d]etach")
        terminal.settle(0.5)
        terminal.child.sendline("")
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert not any(path.endswith("/abort") for _, path, _ in responder.requests)


def test_on_interrupt_abort_says_that_it_cannot(home: Home, lacking: Responder) -> None:
    lacking.accept_job(job("running", nodes={"running": ["a"]}), old=True)
    process = home.start("job", "start", "--on-interrupt", "abort", "true", "a")
    lacking.wait_for("GET", f"jobs/{JOB_ID}")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert process.returncode == ExitStatus.NOT_OFFERED
    assert f"pushcli: error: {ORIGINAL} abort jobs" in errors


def test_what_fails_before_it_says_nothing_of_it(home: Home, responder: Responder) -> None:
    bad_gateway = Answer(502, b"<html>Bad Gateway</html>", "text/html")
    for path in ("node_states", f"own_jobs/{'0' * 32}"):
        responder.say("GET", path, bad_gateway)
    responder.say("POST", "jobs", json_answer({"uri": f"http://x/{JOB_ID}"}, 201))
    assert home.run("job", "start", "-b", "--timeout", "1.5", "true", "a").status == ExitStatus.OK


def test_a_refusal_without_the_header_is_no_other_server(home: Home, responder: Responder) -> None:
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("complete")))
    responder.say("POST", f"jobs/{JOB_ID}/abort", page(404))
    refused = home.run("job", "abort", JOB_ID)
    assert_one_line(refused, ExitStatus.NOT_FOUND, "not found")


def test_an_older_server_of_ours_is_to_be_upgraded(home: Home, responder: Responder) -> None:
    older = {"X-Pushcli-Extensions": "abort,job-nodes"}
    responder.say("DELETE", "freeze", Answer(404, b'{"error": ["not found"]}', headers=older))
    refused = home.run("job", "unfreeze")
    assert_one_line(refused, ExitStatus.NOT_OFFERED, "this server cannot freeze jobs: upgrade it")
