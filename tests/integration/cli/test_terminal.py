"""On a terminal (a pseudo-terminal, drawn by pyte): the live display and tables."""

import json
import re

import pytest

from pushcli.durations import local
from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import Home
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer
from tests.integration.cli.terminal import on_terminal

RUNNING = job("running", nodes={"running": ["web01", "web02"], "failed": ["[red]web03[/red]"]})
COMPLETE = job("complete", nodes={"succeeded": ["web01", "web02"], "failed": ["web03"]})


def start(*nodes: str) -> tuple[str, ...]:
    return ("job", "start", "uptime", "--poll-interval", "0.1", *nodes)


def test_the_display_shows_the_job_while_it_runs_and_then_goes(
    home: Home, responder: Responder
) -> None:
    responder.accept_job(RUNNING, old=True)
    with on_terminal(home, *start("web01", "web02", "web03")) as terminal:
        terminal.expect("[red]web03[/red]")
        assert terminal.screen.cursor.hidden
        assert terminal.lines[1] == "Job aaaaaaaa · uptime · 3 nodes"
        assert re.fullmatch("Running     ━{10}─{20}  1 of 3 done   [0-9] s", terminal.lines[2])
        assert terminal.lines[3] == "  1 failed · 2 running"
        responder.accept_job(COMPLETE, old=True)
        assert terminal.end() == ExitStatus.NODE_FAILED
    assert terminal.lines == [
        f"Started.  Job ID: {JOB_ID}",
        "Complete with failures.  2 succeeded, 1 failed",
        "  failed: web03",
        f"  again for web03     pushcli job retry {JOB_ID} --failed",
    ]
    assert not terminal.screen.cursor.hidden


def test_ctrl_c_gives_the_terminal_back_and_says_what_becomes_of_the_job(
    home: Home, responder: Responder
) -> None:
    responder.accept_job(RUNNING, old=True)
    with on_terminal(home, *start("web01", "web02"), "--on-interrupt", "detach") as terminal:
        terminal.expect("2 running")
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert terminal.lines[-2:] == [
        # The original server cannot abort.
        "STILL RUNNING: aborting it is not offered here",
        f"  to watch it: pushcli job watch {JOB_ID}",
    ]
    assert not terminal.screen.cursor.hidden


@pytest.mark.parametrize(
    ("typed", "status"), [("101", 0), ("1,01", 0), ("100", 2), ("y", 2), ("", 2)]
)
def test_a_job_on_many_nodes_is_confirmed_with_their_number(
    home: Home, responder: Responder, typed: str, status: int
) -> None:
    responder.accept_job(job("complete", nodes={"succeeded": ["web001"]}), old=True)
    with on_terminal(home, *start("web[001-101]")) as terminal:
        terminal.expect("runs on 101 nodes: type 101:")
        terminal.child.sendline(typed)
        assert terminal.end() == status
    assert responder.count("POST", "jobs") == (status == 0)
    if status:
        assert terminal.lines[-1].startswith("pushcli: error: nothing was started: 101 was not")


@pytest.mark.parametrize(
    ("limit", "arguments"),
    [(100, ("web[001-100]",)), (2, ("web[1-3]", "-y")), (2, ("web[1-3]", "--dry-run"))],
)
def test_few_nodes_and_what_is_agreed_ahead_are_not_asked_about(
    home: Home, responder: Responder, limit: int, arguments: tuple[str, ...]
) -> None:
    home.add_to_profile(f"confirm_above = {limit}")
    responder.accept_job(job("complete", nodes={"succeeded": ["web001"]}), old=True)
    with on_terminal(home, *start(*arguments)) as terminal:
        terminal.end()
    assert b"runs on" not in terminal.raw


def test_a_retry_and_batches_are_asked_about_once_for_the_whole(
    home: Home, responder: Responder
) -> None:
    home.add_to_profile("confirm_above = 2")
    ended = job("complete", nodes={"failed": ["web1", "web2", "web3"]})
    responder.accept_job(ended, old=True)
    for arguments in (("job", "retry", JOB_ID), start("web[1-3]")):
        with on_terminal(home, *arguments, "--batch", "1") as terminal:
            terminal.expect("runs on 3 nodes: type 3:")
            terminal.child.sendline("3")
            assert terminal.end() == ExitStatus.NODE_FAILED
        assert terminal.raw.count(b"runs on") == 1
    assert responder.count("POST", "jobs") == 6


def test_all_nodes_are_always_asked_about(home: Home, responder: Responder) -> None:
    responder.say(
        "GET", "node_states", json_answer([{"node_name": "a", "availability": "available"}])
    )
    with on_terminal(home, *start("-a")) as terminal:
        terminal.expect("runs on one node: type 1:")
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert responder.count("POST", "jobs") == 0


def test_a_secret_is_asked_for_without_an_echo(home: Home, responder: Responder) -> None:
    accepted = json_answer({"uri": f"{responder.url}/pushy/jobs/{JOB_ID}"}, 201)
    offered = {"X-Pushcli-Extensions": "job-options,secrets"}
    responder.say("POST", "jobs", Answer(201, accepted.body, headers=offered))
    responder.say("GET", "node_states", Answer(200, b"[]", headers=offered))
    with on_terminal(home, *start("web01", "-b", "--secret-env", "TOKEN")) as terminal:
        terminal.expect("TOKEN:")
        terminal.child.sendline("hidden")
        assert terminal.end() == ExitStatus.OK
    assert b"hidden" not in terminal.raw
    *_, (_, _, body) = responder.requests
    assert json.loads(body)["pushcli"] == {"exact_env": True, "secret_env": {"TOKEN": "hidden"}}


def test_a_short_job_has_no_display(home: Home, responder: Responder) -> None:
    responder.accept_job(COMPLETE, old=True)
    with on_terminal(home, *start("web01")) as terminal:
        assert terminal.end() == ExitStatus.NODE_FAILED
    assert b"\x1b[?25l" not in terminal.raw


def test_a_list_is_a_table_with_titles(home: Home, responder: Responder) -> None:
    entry = job("complete", command="[bold]\x1b[2Jrm[/bold]")
    responder.say("GET", "jobs", json_answer([entry]))
    with on_terminal(home, "job", "list") as terminal:
        assert terminal.end() == ExitStatus.OK
    title, line = terminal.lines
    assert title.split() == ["JOB", "AGE", "WHO", "COMMAND", "NODES", "OUTCOME"]
    assert r"[bold]\x1b[2Jrm[/bold]" in line
    assert b"\x1b[32mcomplete" in terminal.raw


def test_a_whitelist_that_differs_stands_out(home: Home, responder: Responder) -> None:
    def whitelist(node: str, command: str) -> dict[str, object]:
        signed = {"level": "normal", "signer": "ann", "version": 1}
        entries = [{"name": "same", "value": "x", **signed}, {"name": "a", "value": command}]
        report = {**signed, "source": "server", "since": 1.0}
        in_force = [{**report, "name": "same", "value": "x"}]
        return {"node": node, "entries": entries, "in_force": {"at": 1.0, "entries": in_force}}

    lists = [whitelist("web01", "[b]one"), whitelist("web02", "two"), whitelist("web03", "two")]
    responder.say("GET", "whitelist", json_answer({"whitelists": lists}))
    with on_terminal(home, "whitelist", "list", "web01", "web02", "web03") as terminal:
        assert terminal.end() == ExitStatus.OK
    title, two, one, same = (line.split() for line in terminal.lines)
    assert title == ["ENTRY", "COMMAND", "OPTIONS", "STATE", "NODES"]
    assert (two[-1], one[:2], same[-1]) == ("web[02-03]", ["a", "[b]one"], "web[01-03]")
    assert re.search(rb"\x1b\[33ma ", terminal.raw)
    assert not re.search(rb"\x1b\[33msame", terminal.raw)


@pytest.mark.parametrize(("options", "no_color"), [((), "1"), (("--no-color",), "")])
def test_no_color_means_no_colour(
    home: Home, responder: Responder, options: tuple[str, ...], no_color: str
) -> None:
    responder.say("GET", "jobs", json_answer([job("complete")]))
    responder.accept_job(COMPLETE, old=True)
    for arguments in (("job", "list"), start("web01")):
        with on_terminal(home, *arguments, *options, NO_COLOR=no_color) as terminal:
            terminal.end()
        assert not any(b"\x1b[3%d" % colour in terminal.raw for colour in range(8))


RECORDS = [
    {"at": 1_795_464_000.0, "actor_kind": "user", "actor": "a-very-long-name-of-an-operator",
     "action": "job start", "target": JOB_ID, "origin": "192.0.2.7",
     "detail": {"command": "chef-client --once", "nodes": ["web01", "web02", "web03"]}},
    {"at": 1_795_464_060.0, "actor_kind": "user", "actor": "ann", "action": "token create",
     "target": "7Qm3xK2b9aZZ", "origin": "192.0.2.7", "detail": {"uses": 20}},
    {"at": 1_795_464_120.0, "actor_kind": "user", "actor": "ann",
     "action": "organization create", "target": "an-organization-with-a-name-that-is-long",
     "origin": "2001:db8::1:2:3:4", "detail": {"why": "\u8a9e" * 60}},
]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_audit_trail_has_a_row_a_record(home: Home, responder: Responder, width: int) -> None:
    responder.say("GET", "/pushy/audit", json_answer({"records": RECORDS, "truncated": False}))
    with on_terminal(home, "audit", width=width) as terminal:
        assert terminal.end() == ExitStatus.OK
    title, started, token, created = terminal.lines
    assert title.split() == ["AGE", "ACTOR", "ACTION", "TARGET", "DETAIL"]
    assert JOB_ID[:8] in started
    assert "7Qm3xK2b9aZZ" in token
    assert "organiz" in created


def test_wide_tables_have_all_columns_whole(home: Home, responder: Responder) -> None:
    responder.say("GET", "/pushy/audit", json_answer({"records": RECORDS, "truncated": False}))
    with on_terminal(home, "audit", "-o", "wide", width=400) as terminal:
        assert terminal.end() == ExitStatus.OK
    title, started, _, created = terminal.lines
    assert title.split() == ["TIME", "ACTOR", "ACTION", "TARGET", "FROM", "DETAIL"]
    assert started.split()[0] == local(1_795_464_000)
    assert JOB_ID in started
    assert "an-organization-with-a-name-that-is-long" in created
