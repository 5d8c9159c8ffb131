"""`pushcli job start` from the first request to the exit status."""

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import PUSHCLI, Home, Result, assert_one_line
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer
from tests.support.waiting import patient

VOTING = job("voting", nodes={"new": ["web01", "web02"]})
RUNNING = job("running", nodes={"running": ["web01", "web02"]})
COMPLETE = job("complete", nodes={"succeeded": ["web02", "web01"]})
START = ("job", "start", "uptime", "web01", "web02")


def say_results(responder: Responder, *results: dict[str, object]) -> None:
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer(list(results)))


def test_off_a_terminal_each_phase_is_a_line_beside_the_answer(
    home: Home, responder: Responder
) -> None:
    responder.accept_job(VOTING, VOTING, RUNNING, RUNNING, COMPLETE)
    say_results(
        responder,
        {"node": "web01", "state": "succeeded", "exit_code": 0},
        {"node": "web02", "state": "succeeded", "exit_code": 0},
    )
    result = home.run(*START)
    assert result.status == ExitStatus.OK
    assert result.stdout == f"Started.  Job ID: {JOB_ID}\nComplete.  2 succeeded\n"
    assert result.stderr == "Voting (0/2 ready) ...\nRunning (2/2 in progress) ...\n"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (job("complete", nodes={"succeeded": ["a"], "nacked": ["b"]}), ExitStatus.OK),
        (job("complete", nodes={"failed": ["a"]}), ExitStatus.NODE_FAILED),
        (job("complete", nodes={"crashed": ["a"]}), ExitStatus.NODE_FAILED),
        (job("quorum_failed", nodes={"nacked": ["a"]}), ExitStatus.QUORUM_FAILED),
        (job("timed_out", nodes={"timed_out": ["a"]}), ExitStatus.TIMED_OUT),
        (job("aborted", nodes={"aborted": ["a"]}), ExitStatus.ABORTED),
    ],
)
def test_the_exit_status_tells_how_the_job_ended(
    home: Home, responder: Responder, end: dict[str, object], status: ExitStatus
) -> None:
    responder.accept_job(end, old=True)
    assert home.run("job", "start", "x", "a").status == status


def test_a_failure_names_the_nodes_and_why(home: Home, responder: Responder) -> None:
    responder.accept_job(job("complete", nodes={"failed": ["web01"], "nacked": ["web02"]}))
    say_results(
        responder,
        {"node": "web01", "state": "failed", "exit_code": 3, "reason": None},
        {"node": "web02", "state": "nacked", "reason": "not on the whitelist: uptime"},
    )
    assert home.run(*START).stdout.splitlines()[1:] == [
        "Complete with failures.  1 failed, 1 nacked",
        "  nacked: web02 (not on the whitelist: uptime)",
        "  failed: web01 (exit code 3)",
    ]


def test_with_an_old_server_the_nodes_are_named_without_reasons(
    home: Home, responder: Responder
) -> None:
    responder.accept_job(job("quorum_failed", nodes={"nacked": ["web02", "web01"]}), old=True)
    assert home.run(*START).stdout.splitlines()[1:] == [
        "Quorum failed: 2 needed, 0 ready. Nothing was run.",
        "  2 nacked: web[01-02]",
    ]
    assert responder.count("GET", f"jobs/{JOB_ID}/nodes") == 0


def test_the_request_says_what_was_asked_for(
    home: Home, responder: Responder, tmp_path: Path
) -> None:
    responder.accept_job(COMPLETE, old=True)
    file = tmp_path / "f"
    file.write_bytes(b"#!")
    home.run(
        "job", "start", "chef-client -o x", "a", "b", "a", "-q", "51%", "--timeout", "30",
        "--with-env", '{"A": "b"}', "--env", "C=d", "--in-dir", "/tmp", "--as-user", "www",
        "--file", str(file), "-b", "--capture",
    )  # fmt: skip
    *_, (_, _, body) = responder.requests
    assert json.loads(body) == {
        "command": "chef-client -o x", "nodes": ["a", "b"], "quorum": 2, "run_timeout": 30,
        "env": {"A": "b", "C": "d"}, "dir": "/tmp", "user": "www", "file": "base64:IyE=",
        "capture_output": True, "pushcli": {"exact_env": True},
    }  # fmt: skip


@pytest.mark.parametrize("old", [True, False])
def test_a_server_without_options_gets_the_job_without_them(
    home: Home, responder: Responder, old: bool
) -> None:
    refused = json_answer({"error": "invalid key supplied"}, 400, old=old)
    accepted = json_answer({"uri": f"{responder.url}/pushy/jobs/{JOB_ID}"}, 201, old=old)
    responder.say("POST", "jobs", refused, accepted)
    result = home.run(*START, "--nowait", "--with-env", '{"A": "b"}')
    assert result.status == ExitStatus.OK, result
    bodies = [json.loads(body) for method, _, body in responder.requests if method == "POST"]
    assert bodies[0].pop("pushcli") == {"exact_env": True}
    assert bodies[1:] == [bodies[0]]


def test_a_refusal_of_a_server_that_knows_options_stands(home: Home, responder: Responder) -> None:
    offered = {"X-Pushcli-Extensions": "job-options"}
    refused = Answer(400, b'{"error": "invalid command supplied"}', headers=offered)
    responder.say("POST", "jobs", refused)
    assert_one_line(
        home.run(*START, "--with-env", '{"A": "b"}'), ExitStatus.USAGE, "invalid command"
    )
    assert responder.count("POST", "jobs") == 1


@pytest.mark.parametrize("options", [(), ("--with-env", "{}")])
def test_a_job_without_variables_is_what_old_clients_send(
    home: Home, responder: Responder, options: tuple[str, ...]
) -> None:
    responder.accept_job(COMPLETE)
    home.run(*START, "--nowait", *options)
    *_, (_, _, body) = responder.requests
    assert "pushcli" not in json.loads(body)


def test_nowait_returns_with_the_id(home: Home, responder: Responder) -> None:
    responder.accept_job(RUNNING)
    assert home.run(*START, "-b").stdout == f"Started.  Job ID: {JOB_ID}\n"
    assert json.loads(home.run(*START, "--nowait", "-F", "json").stdout) == {"id": JOB_ID}
    assert responder.count("GET", f"jobs/{JOB_ID}") == 0


def test_quiet_is_results_and_errors_only(home: Home, responder: Responder) -> None:
    responder.accept_job(VOTING, RUNNING, COMPLETE)
    say_results(responder, {"node": "web01", "state": "succeeded"})
    result = home.run(*START, "--quiet")
    assert (result.stdout, result.stderr) == ("Complete.  2 succeeded\n", "")
    assert home.run(*START, "--quiet", "-b", "--timestamps").stdout == f"{JOB_ID}\n"


def test_lines_have_the_local_time(home: Home, responder: Responder) -> None:
    capture(responder)
    result = home.run(*START, "--capture", "--timestamps", TZ="UTC-1")
    lines = [*result.stdout.splitlines(), *result.stderr.splitlines()]
    assert len(lines) == 12
    for line in lines:
        when, blank, _ = line.partition(" ")
        assert (datetime.fromisoformat(when).utcoffset(), blank) == (timedelta(hours=1), " ")
    assert result.stdout.splitlines()[3].endswith("00 web01 (failed, exit code 1)")


def test_the_file_comes_from_standard_input(home: Home, responder: Responder) -> None:
    responder.accept_job(RUNNING)
    start = home.start(*START, "-b", "--file", "-")
    assert start.wait(patient(10)) == ExitStatus.OK
    start.communicate()
    *_, (_, _, body) = responder.requests
    assert json.loads(body)["file"] == "base64:"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("job", "start", "uptime", "-", "--file", "-"), "asked for twice: name a file: --file"),
        (("job", "start", "uptime", "-", "--stdin", "-"), "asked for twice: name a file: --stdin"),
        ((*START, "-x", "-", "--stdin", "-"), "asked for twice: name a file: --stdin"),
        ((*START, "--file", "-", "--stdin", "-"), "asked for twice: name a file: --stdin"),
        (("job", "retry", JOB_ID, "-", "--file", "-"), "asked for twice: name a file: --file"),
        ((*START, "--file", "-", "--follow", "-b"), "--follow"),
        (("job", "start", "uptime", "-", "--batch-wait", "1"), "--batch"),
    ],
)
def test_what_cannot_be_is_refused_before_standard_input_is_read(
    home: Home, responder: Responder, arguments: tuple[str, ...], words: str
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as theirs, os.fdopen(writing, "wb") as ours:
        ours.write(b"web01\n")
        ours.flush()
        done = subprocess.run(
            [*PUSHCLI, *arguments], env=home.env, stdin=theirs, capture_output=True, text=True,
            timeout=patient(15), check=False,
        )  # fmt: skip
        assert_one_line(Result(done.returncode, done.stdout, done.stderr), ExitStatus.USAGE, words)
        ours.close()
        assert theirs.read() == b"web01\n"
    assert not responder.requests


def capture(responder: Responder) -> None:
    """A job that captured, of which one node wrote something nasty."""
    responder.accept_job(
        job("complete", nodes={"succeeded": ["web02"], "failed": ["web01"]}, capture_output=True)
    )
    say_results(
        responder,
        {"node": "web02", "state": "succeeded", "stdout_size": 9, "stderr_size": 0},
        {"node": "web01", "state": "failed", "exit_code": 1, "stdout_size": 3, "stderr_size": 1},
    )
    nasty = Answer(200, b"\x1b[2Jevil\n", "application/octet-stream")
    responder.say("GET", f"jobs/{JOB_ID}/output/web02/stdout", nasty)
    responder.say("GET", f"jobs/{JOB_ID}/output/web01/stdout", Answer(200, b"a\nb"))
    responder.say("GET", f"jobs/{JOB_ID}/output/web01/stderr", Answer(200, b"\xff"))


def test_captured_output_is_printed_with_what_failed_at_the_end(
    home: Home, responder: Responder
) -> None:
    capture(responder)
    result = home.run(*START, "--capture")
    assert result.stdout.splitlines()[1:] == [
        "web02 (succeeded)",
        r"  \x1b[2Jevil",
        "web01 (failed, exit code 1)",
        "  a",
        "  b",
        "web01 stderr",
        r"  \xff",
        "Complete with failures.  1 succeeded, 1 failed",
        "  failed: web01 (exit code 1)",
    ]
    assert responder.count("GET", f"jobs/{JOB_ID}/output/web02/stderr") == 0


def digests(responder: Responder, answer: Answer) -> str:
    """A job whose one node wrote something that is known by its digest; the digest."""
    digest = hashlib.sha256(b"what was written").hexdigest()
    responder.accept_job(job("complete", nodes={"succeeded": ["web01"]}, capture_output=True))
    wrote = {"stdout_size": 16, "stdout_digest": digest, "stderr_size": 0}
    say_results(responder, {"node": "web01", "state": "succeeded", **wrote})
    responder.say("GET", f"jobs/{JOB_ID}/output/{digest}", answer)
    return digest


def test_another_output_than_was_asked_for_is_not_shown(home: Home, responder: Responder) -> None:
    digests(responder, Answer(200, b"something else", "application/octet-stream"))
    result = home.run("job", "start", "uptime", "web01", "--capture")
    assert result.status == ExitStatus.ERROR
    assert result.stdout.endswith("\nComplete.  1 succeeded\n")
    assert "another output than was asked for" in result.stderr
    assert "something else" not in result.stdout + result.stderr


def test_output_that_was_deleted_meanwhile_did_not_arrive(home: Home, responder: Responder) -> None:
    gone = Answer(404, b'{"error": ["no node of this job wrote this"]}')
    digest = digests(responder, gone)
    result = home.run("job", "start", "uptime", "web01", "--capture")
    assert result.stdout.splitlines()[1:] == [
        "web01 (succeeded): no output arrived", "Complete.  1 succeeded",
    ]  # fmt: skip
    assert responder.count("GET", f"jobs/{JOB_ID}/output/{digest}") == 1
    # What did arrive is shown, and that it is not all.
    errors = hashlib.sha256(b"errors").hexdigest()
    wrote = {"stdout_size": 16, "stdout_digest": digest, "stderr_size": 6, "stderr_digest": errors}
    say_results(responder, {"node": "web01", "state": "succeeded", **wrote})
    responder.say("GET", f"jobs/{JOB_ID}/output/{errors}", Answer(200, b"errors"))
    result = home.run("job", "start", "uptime", "web01", "--capture")
    assert result.stdout.splitlines()[1:-1] == [
        "web01 (succeeded, stdout did not arrive)", "web01 stderr", "  errors",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_the_job_and_each_nodes_result(
    home: Home, responder: Responder, name: str, load: Callable[[str], Any]
) -> None:
    capture(responder)
    result = home.run(*START, "--capture", "-F", name)
    answer = load(result.stdout)
    assert answer["status"] == "complete"
    assert answer["results"] == [
        {"node": "web01", "state": "failed", "exit_code": 1, "stdout_size": 3, "stderr_size": 1,
         "stdout": "a\nb", "stderr_base64": "/w=="},
        {"node": "web02", "state": "succeeded", "stdout_size": 9, "stderr_size": 0,
         "stdout": "\x1b[2Jevil\n", "stderr": ""},
    ]  # fmt: skip
    assert result.stderr.startswith(f"Started.  Job ID: {JOB_ID}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_the_job_alone_and_says_how_to_end_it(
    home: Home, responder: Responder, number: signal.Signals
) -> None:
    responder.accept_job(RUNNING)
    with home.start(*START, "--profile", "default") as process:
        responder.wait_for("GET", f"jobs/{JOB_ID}", 2)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=patient(10))
    assert process.returncode == ExitStatus.INTERRUPTED
    assert stdout == f"Started.  Job ID: {JOB_ID}\n"
    assert stderr.splitlines()[-3:] == [
        "Running (2/2 in progress): 2 running",
        f"STILL RUNNING: pushcli job abort {JOB_ID} --profile default",
        f"  to watch it: pushcli job watch {JOB_ID} --profile default",
    ]
    assert responder.count("POST", f"jobs/{JOB_ID}/abort") == 0


def test_a_server_that_is_away_for_a_while_is_waited_for(home: Home, responder: Responder) -> None:
    responder.accept_job(COMPLETE, old=True)
    away = json_answer({"error": ["restarting"]}, 503)
    responder.say("GET", f"jobs/{JOB_ID}", away, json_answer(COMPLETE, old=True))
    result = home.run(*START)
    assert result.status == ExitStatus.OK
    assert result.stderr.count("retrying for") == 1


def test_a_right_that_is_taken_away_meanwhile_is_said_with_the_jobs_id(
    home: Home, responder: Responder
) -> None:
    responder.accept_job(RUNNING)
    refused = json_answer({"error": ["no access"]}, 403)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(RUNNING), refused)
    result = home.run(*START)
    assert result.status == ExitStatus.NOT_ALLOWED
    assert f"UNWATCHED: pushcli job status {JOB_ID}\n" in result.stderr


def test_the_end_is_told_even_if_the_rest_cannot_be_had(home: Home, responder: Responder) -> None:
    responder.accept_job(COMPLETE)
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer({"error": ["boom"]}, 500))
    result = home.run(*START)
    assert result.status == ExitStatus.ERROR
    assert result.stderr.splitlines()[-1].startswith("pushcli: error: the server failed")
    assert result.stdout.endswith("\nComplete.  2 succeeded\n")


def test_a_refused_request_is_the_servers_text(home: Home, responder: Responder) -> None:
    responder.say("POST", "jobs", json_answer({"error": "invalid command supplied"}, 400))
    assert_one_line(home.run(*START), ExitStatus.USAGE, "invalid command supplied")


def test_a_command_is_not_run_without_what_it_is_to_read(home: Home, responder: Responder) -> None:
    offered = {"X-Pushcli-Extensions": "job-options"}
    responder.say("POST", "jobs", Answer(400, b'{"error": "invalid key"}', headers=offered))
    (home.path / "f").write_bytes(b"x")
    refused = home.run(*START, "--stdin", "f")
    assert_one_line(refused, ExitStatus.USAGE, "cannot give commands standard input")
    assert responder.count("POST", "jobs") == 1
    twice = home.run(*START, "--stdin", "-", "--file", "-")
    assert_one_line(twice, ExitStatus.USAGE, "asked for twice", "--stdin FILE")


def test_a_server_that_keeps_no_secrets_is_sent_none(home: Home, responder: Responder) -> None:
    responder.accept_job(COMPLETE)
    result = home.run(*START, "--secret-env", "TOKEN", TOKEN="hidden")
    assert_one_line(result, ExitStatus.NOT_OFFERED, "can keep variables secret")
    assert responder.count("POST", "jobs") == 0
    assert not any(b"hidden" in body for _, _, body in responder.requests)
