"""The commands that look at jobs and nodes, and the shared options."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pushcli.durations import local
from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer

OTHER_ID = JOB_ID.replace("a", "b")
IN_UTC = {"created_at": "2012-09-04T23:01:02Z", "updated_at": "2012-09-04T23:17:56Z"}
"""The dates of the responder's jobs, as programs get them."""


def test_job_status_of_an_older_server_shows_what_it_tells(
    home: Home, responder: Responder
) -> None:
    shown = job("complete", nodes={"succeeded": ["a"], "unavailable": ["b"]}, env={"A": "b"})
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(shown))
    results: list[dict[str, Any]] = [
        {"node": "a", "state": "succeeded", "started_at": 1.0, "ended_at": 2.5},
        {"node": "b", "state": "unavailable", "reason": "offline"},
    ]
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer(results))
    first, second, third, *others = home.run("job", "status", JOB_ID).stdout.splitlines()
    assert first == f"Job {JOB_ID}   uptime"
    assert second == "  complete"
    assert third.startswith(f"  started {local(1_346_799_662)} (")
    assert others == [
        "  2 nodes, timeout 1 h",
        '  env {"A": "b"}',
        "a\tsucceeded\t0\t1.5 s\t",
        "b\tunavailable\t\t\toffline",
    ]
    assert json.loads(home.run("job", "status", JOB_ID, "-F", "json").stdout) == {
        **shown, **IN_UTC,
        "results": [
            {**results[0], "started_at": "1970-01-01T00:00:01Z",
             "ended_at": "1970-01-01T00:00:02.500Z"},
            results[1],
        ],
    }  # fmt: skip


def test_job_list_has_the_newest_first(home: Home, responder: Responder) -> None:
    old = job("complete")
    new = job("running", id=OTHER_ID, created_at="Tue, 04 Sep 2012 23:01:03 GMT")
    for entry in (old, new):
        del entry["nodes"]
    responder.say("GET", "jobs", json_answer([old, new]))
    assert home.run("job", "list").stdout.splitlines() == [
        f"{OTHER_ID}\trunning\t{local(1_346_799_663)}\tuptime\t\t\trunning\t\t\t",
        f"{JOB_ID}\tcomplete\t{local(1_346_799_662)}\tuptime\t\t\tcomplete\t\t\t",
    ]
    assert json.loads(home.run("job", "list", "-F", "json").stdout) == [
        {**new, **IN_UTC, "created_at": "2012-09-04T23:01:03Z"},
        {**old, **IN_UTC},
    ]


OF_A = job("complete", capture_output=True, nodes={"succeeded": ["a"]})


def test_output_is_shown_safely_and_given_raw_on_request(home: Home, responder: Responder) -> None:
    data = b"\x1b[31mred\xff\r\n"
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(OF_A))
    path = f"jobs/{JOB_ID}/output/a/stderr"
    responder.say("GET", path, Answer(200, data, "application/octet-stream"))
    command = ("job", "output", JOB_ID, "a", "--channel", "stderr")
    assert home.run(*command).stdout == "\\x1b[31mred\\xff\\r\n"
    assert home.run(*command, "--raw").stdout.encode("utf-8", "surrogateescape") == data
    assert json.loads(home.run(*command, "-F", "json").stdout) == {
        "id": JOB_ID, "node": "a", "stderr_base64": "G1szMW1yZWT/DQo=",
    }  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("shown", "node", "words"),
    [
        (None, {}, "there is no job"),
        (job("complete"), {"state": "succeeded"}, "start it with --capture"),
        (job("complete", capture_output=True), {"node": "b", "state": "succeeded"}, "no node 'a'"),
        (job("running", capture_output=True), {"state": "running"}, "yet (running)"),
        (job("complete", capture_output=True), {"state": "nacked"}, "did not run on a (nacked)"),
        (job("timed_out", capture_output=True), {"state": "timed_out"}, "has arrived (timed_out)"),
    ],
)
def test_why_there_is_no_output_is_told(
    home: Home,
    responder: Responder,
    shown: dict[str, object] | None,
    node: dict[str, str],
    words: str,
    old: bool,
) -> None:
    part = {"node": "a", **node}
    if shown is not None:
        nodes = {part["state"]: [part["node"]]}
        responder.say("GET", f"jobs/{JOB_ID}", json_answer({**shown, "nodes": nodes}, old=old))
    if not old:
        responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer([part]))
    result = home.run("job", "output", JOB_ID, "a")
    assert_one_line(result, ExitStatus.NOT_FOUND, words)
    assert ("--capture" in result.stderr) is ("--capture" in words)


def test_what_is_missing_of_output_is_told(home: Home, responder: Responder) -> None:
    marks = {"X-Pushcli-Output-Partial": "1", "X-Pushcli-Output-Dropped": "1234"}
    answer = Answer(200, b"said\n", "application/octet-stream", marks)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(OF_A))
    responder.say("GET", f"jobs/{JOB_ID}/output/a/stdout", answer)
    result = home.run("job", "output", JOB_ID, "a")
    assert result.stdout == "said\n"
    assert "PARTIAL" in result.stderr
    assert "1,234 more bytes" in result.stderr
    assert json.loads(home.run("job", "output", JOB_ID, "a", "-F", "json").stdout) == {
        "id": JOB_ID, "node": "a", "stdout": "said\n", "partial": True, "dropped": 1234,
    }  # fmt: skip


def test_where_output_is_cut_is_told(home: Home, responder: Responder) -> None:
    marks = {"X-Pushcli-Output-Dropped": "70", "X-Pushcli-Output-Cut-At": "7"}
    answer = Answer(200, b"one\ntwo\n...\nend\n", "application/octet-stream", marks)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(OF_A))
    responder.say("GET", f"jobs/{JOB_ID}/output/a/stdout", answer)
    result = home.run("job", "output", JOB_ID, "a")
    assert "CUT: 70 more bytes were not kept, from line 2 (byte 7) on" in result.stderr
    shown = json.loads(home.run("job", "output", JOB_ID, "a", "-F", "json").stdout)
    assert (shown["dropped"], shown["cut_at"]) == (70, 7)


@pytest.mark.parametrize(("at", "place"), [(4, ", from line 2 (byte 4) on"), (5, "")])
def test_a_place_beyond_what_was_kept_is_not_told(
    home: Home, responder: Responder, at: int, place: str
) -> None:
    marks = {"X-Pushcli-Output-Dropped": "70", "X-Pushcli-Output-Cut-At": str(at)}
    answer = Answer(200, b"one\n", "application/octet-stream", marks)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(OF_A))
    responder.say("GET", f"jobs/{JOB_ID}/output/a/stdout", answer)
    result = home.run("job", "output", JOB_ID, "a")
    assert result.stderr == f"CUT: 70 more bytes were not kept{place}\n"


@pytest.mark.parametrize("dropped", ["-1", "x", "9" * 30, "\u0661"])
def test_a_header_that_makes_no_sense_is_ignored(
    home: Home, responder: Responder, dropped: str
) -> None:
    header = dropped.encode().decode("latin-1")
    marks = {"X-Pushcli-Output-Dropped": header, "X-Pushcli-Output-Cut-At": header}
    answer = Answer(200, b"x", "application/octet-stream", marks)
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(OF_A))
    responder.say("GET", f"jobs/{JOB_ID}/output/a/stdout", answer)
    assert home.run("job", "output", JOB_ID, "a").stderr == ""


def test_missing_pending_and_late_news_stand_with_their_node(
    home: Home, responder: Responder
) -> None:
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("complete", capture_output=True)))
    results: list[dict[str, Any]] = [
        {"node": "a", "state": "succeeded", "stdout_dropped": 1000, "stderr_dropped": 234},
        {"node": "b", "state": "aborted", "partial": True},
        {"node": "c", "state": "aborted", "output_pending": True},
        {"node": "d", "state": "crashed", "reason": "went away", "late_result": {"exit_code": 3}},
        {"node": "e", "state": "aborted", "late_result": {"signal": 15, "aborted": True}},
    ]
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer(results))
    assert home.run("job", "status", JOB_ID).stdout.splitlines()[4:] == [
        "a\tsucceeded\t\t\t1,234 bytes of output missing",
        "b\taborted\t\t\tpartial output",
        "c\taborted\t\t\toutput still to come",
        "e\taborted\t\t\t",
        "d\tcrashed\t\t\twent away, ended later: exit code 3",
    ]


@pytest.mark.parametrize(
    ("status", "line"),
    [("aborted", "Aborted."), ("complete", "Not aborted: the job was already over (complete).")],
)
def test_abort_says_what_became_of_the_job(
    home: Home, responder: Responder, status: str, line: str
) -> None:
    responder.say("POST", f"jobs/{JOB_ID}/abort", json_answer({"status": status}))
    result = home.run("job", "abort", JOB_ID.upper())
    assert (result.status, result.stdout) == (ExitStatus.OK, f"{line}\n")
    result = home.run("job", "abort", JOB_ID, "-F", "json")
    assert json.loads(result.stdout) == {"id": JOB_ID, "status": status}


def test_a_second_abort_says_that_the_job_was_over(home: Home, responder: Responder) -> None:
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("aborted")))
    responder.say("POST", f"jobs/{JOB_ID}/abort", json_answer({"status": "aborted"}))
    result = home.run("job", "abort", JOB_ID)
    assert result.stdout == "Not aborted: the job was already over (aborted).\n"


def test_abort_names_the_nodes_that_cannot_have_heard_of_it(
    home: Home, responder: Responder
) -> None:
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("running")))
    parts = [
        {"node": "a1", "state": "running"},
        {"node": "a2", "state": "running", "out_of_contact": True},
        {"node": "a3", "state": "running", "out_of_contact": True},
    ]
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer(parts))
    responder.say("POST", f"jobs/{JOB_ID}/abort", json_answer({"status": "aborted"}))
    result = home.run("job", "abort", JOB_ID)
    assert result.stdout == "Aborted.  Confirmed by a1\n"
    assert result.stderr.startswith("NOT CONFIRMED by a[2-3], out of contact: the command may run")
    shown = json.loads(home.run("job", "abort", JOB_ID, "-F", "json").stdout)
    assert shown == {"id": JOB_ID, "status": "aborted", "confirmed": ["a1"],
                     "unconfirmed": ["a2", "a3"]}  # fmt: skip


def state(name: str, availability: str) -> dict[str, str]:
    status = "online" if availability == "available" else "offline"
    return {"node_name": name, "status": status, "availability": availability}


def test_node_status_prints_what_knife_prints(home: Home, responder: Responder) -> None:
    states = [state("web02", "unavailable"), state("web01", "available")]
    responder.say("GET", "node_states", json_answer(states))
    assert home.run("node", "status").stdout == "web01\tavailable\nweb02\tunavailable\n"
    assert json.loads(home.run("node", "status", "-F", "json").stdout) == states[::-1]


def test_node_status_asks_for_names_that_the_list_leaves_out(
    home: Home, responder: Responder
) -> None:
    responder.say("GET", "node_states", json_answer([state("web01", "available")]))
    nosuch = json_answer(state("nosuch", "unavailable"))
    responder.say("GET", "node_states/nosuch", nosuch)
    result = home.run("node", "status", "nosuch", "web01", "nosuch")
    assert result.stdout == "nosuch\tunavailable\nweb01\tavailable\n"
    assert result.status == ExitStatus.OK
    assert home.run("node", "status", "nosuch").stdout == "nosuch\tunavailable\n"


@pytest.mark.parametrize(
    ("arguments", "load"),
    [
        (("-F", "json", "job", "list"), json.loads),
        (("job", "-F", "json", "list"), json.loads),
        (("job", "list", "-F", "json"), json.loads),
        (("-F", "json", "job", "-F", "json", "list", "-F", "yaml"), yaml.safe_load),
        (("-F", "yaml", "job", "list", "--format=json"), json.loads),
    ],
)
def test_shared_options_stand_anywhere_and_the_later_wins(
    home: Home, responder: Responder, arguments: tuple[str, ...], load: Callable[[str], Any]
) -> None:
    entries = [job("complete")]
    responder.say("GET", "jobs", json_answer(entries))
    output = home.run(*arguments).stdout
    assert load(output) == [entries[0] | IN_UTC]
    assert output.startswith("[") is (load is json.loads)


def test_options_reach_a_server_without_any_file(
    home: Home, responder: Responder, key_file: Path
) -> None:
    (home.path / ".pushcli" / "credentials").unlink()
    responder.say("GET", "jobs", json_answer([]))
    options = ("--server-url", responder.url, "-u", "admin", "-k", str(key_file))
    result = home.run("job", "list", *options)
    assert (result.status, result.stdout, result.stderr) == (0, "", "No jobs yet\n")


def test_a_profile_and_a_file_can_be_chosen(
    home: Home, responder: Responder, key_file: Path
) -> None:
    home.write_profile(responder.url, key_file, name="staging")
    file = (home.path / ".pushcli" / "credentials").rename(home.path / "elsewhere")
    responder.say("GET", "jobs", json_answer([]))
    result = home.run("job", "list", "-c", str(file), "--profile", "staging")
    assert (result.status, result.stderr) == (0, "No jobs yet\n")


def test_version(home: Home) -> None:
    assert home.run("--version").stdout.startswith("pushcli 0.")
    assert home.run("-v").stdout == home.run("--version").stdout


def test_very_verbose_shows_the_requests_without_their_secrets(
    home: Home, responder: Responder
) -> None:
    responder.accept_job(job("complete", nodes={"succeeded": ["a"]}, env={"PASSWORD": "hush"}))
    command = ("job", "start", "x\x1b[2J", "a", "--with-env", '{"PASSWORD": "hush"}')
    result = home.run(*command, "-VV")
    lines = result.stderr.splitlines()
    assert "> POST /organizations/acme/pushy/jobs" in lines
    assert "> X-Ops-Userid: admin" in lines
    assert "> X-Ops-Authorization-1: ***" in lines
    assert any(line.startswith("< 201 in ") for line in lines)
    assert any('"PASSWORD": "***"' in line for line in lines)
    assert "hush" not in result.stderr
    assert "\x1b" not in result.stderr
    assert "> " not in home.run(*command, "-V").stderr
