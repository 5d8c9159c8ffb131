"""Jobs are found again: lists, what became of one, and ending several."""

import json
from typing import Any

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ADMIN
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer
from tests.integration.cli.terminal import on_terminal

pytestmark = pytest.mark.timeout(90)
"""The first test starts the server."""
PAGED = {"X-Pushcli-Extensions": "abort,job-nodes,job-pages,own-jobs"}
SECOND = "bbbbbbbbbbbb25fd67fa8715fd547d3d"


def paged(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), headers=PAGED)


def listed(job_id: str = JOB_ID, **more: Any) -> dict[str, Any]:
    entry = {
        **job("complete", id=job_id), "requestor": "ann", "requestor_kind": "user",
        "origin": "192.0.2.7", "quorum": 371, "node_count": 412, "duration": 14.0,
        "states": {"succeeded": 397, "failed": 3, "unavailable": 12}, **more,
    }  # fmt: skip
    del entry["nodes"]
    return entry


@pytest.fixture(scope="module")
def started(operated: Operated) -> list[str]:
    """Three jobs, the newest first."""
    for command, nodes in (("deploy 1", ["db1"]), ("uptime", ["db1", "db2"]), ("deploy 2", ["x"])):
        operated.run("job", "start", command, *nodes, "-q", "0", "--allow-unknown")
    return [found["id"] for found in operated.json("job", "list")]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], [0, 1, 2]),
        (["--max", "2"], [0, 1]),
        (["--command", "deploy*"], [0, 2]),
        (["--node", "db1"], [1, 2]),
        (["--by", "me"], [0, 1, 2]),
        (["--by", ADMIN, "--since", "1h", "--status", "complete,running"], [0, 1, 2]),
        (["--by", "bob"], []),
        (["--status", "voting"], []),
        (["--status", "failed,voting"], [0, 1, 2]),
        (["--status", "succeeded"], []),
        (["--since", "2099-01-01"], []),
    ],
    ids=str,
)
def test_the_list_has_what_is_looked_for(
    operated: Operated, started: list[str], options: list[str], found: list[int]
) -> None:
    shown = operated.json("job", "list", *options)
    assert [entry["id"] for entry in shown] == [started[place] for place in found]


def test_more_than_is_shown_is_said(operated: Operated, started: list[str]) -> None:
    result = operated.run("job", "list", "--max", "2")
    assert result.stderr == "These are the newest 2; --max shows more\n"
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [[one, "complete"] for one in started[:2]]
    assert [line[4:] for line in lines] == [
        [ADMIN, "1", "0 ok, 1 absent", "127.0.0.1", "0", ""],
        [ADMIN, "2", "0 ok, 2 absent", "127.0.0.1", "0", ""],
    ]
    assert operated.run("job", "list", "--max", "3").stderr == ""
    assert operated.run("job", "list", "--node", "nowhere").stderr == "No job matches\n"


@pytest.mark.parametrize("options", [["--status", "ok"], ["--max", "0"], ["--node", "a b"]])
def test_what_cannot_be_looked_for_is_refused(home: Home, options: list[str]) -> None:
    assert home.run("job", "list", *options).status == ExitStatus.USAGE


def test_pages_are_asked_for_until_there_are_enough(home: Home, responder: Responder) -> None:
    first = {"jobs": [listed()], "next": f"1.5,{JOB_ID}"}
    responder.say("GET", "jobs", paged(first), paged({"jobs": [listed(SECOND)], "next": None}))
    shown = json.loads(home.run("job", "list", "--max", "300", "-F", "json").stdout)
    assert [entry["id"] for entry in shown] == [JOB_ID, SECOND]
    assert shown[0]["states"] == {"succeeded": 397, "failed": 3, "unavailable": 12}
    queries = [path.partition("?")[2] for _, path, _ in responder.requests]
    assert queries == ["limit=200", f"limit=200&after=1.5%2C{JOB_ID}"]


def test_a_row_of_the_list_fits_eighty_columns_with_its_id(
    home: Home, responder: Responder
) -> None:
    jobs = [
        listed(command="chef-client --once " * 5),
        listed(SECOND, status="running", requestor="deployment-robot", requestor_kind="client",
               states={"succeeded": 31, "running": 9}),
    ]  # fmt: skip
    responder.say("GET", "jobs", paged({"jobs": jobs, "next": None}))
    with on_terminal(home, "job", "list", width=80) as terminal:
        assert terminal.end() == ExitStatus.OK
    title, one, other = terminal.lines
    assert title.split() == ["JOB", "AGE", "WHO", "COMMAND", "NODES", "OUTCOME"]
    assert one.startswith("aaaaaaaa  ")
    assert one.endswith("397 ok, 3 failed, 12 absent")
    assert other.startswith("bbbbbbbb  ")
    assert "running: 31 ok, 9 to go" in other
    assert b"\x1b[31m397 ok" in terminal.raw
    with on_terminal(home, "job", "list", "-o", "wide", width=250) as terminal:
        assert terminal.end() == ExitStatus.OK
    assert terminal.lines[1].split()[0] == JOB_ID
    assert terminal.lines[1].split()[-2:] == ["192.0.2.7", "371"]


def test_an_older_server_gives_all_and_what_it_cannot_look_for_is_refused(
    home: Home, responder: Responder
) -> None:
    entries = [job("complete"), job("running", id=SECOND, command="deploy 1")]
    responder.say("GET", "jobs", Answer(200, json.dumps(entries).encode()))
    for options in (["--command", "dep*"], ["--status", "running"]):
        shown = json.loads(home.run("job", "list", *options, "-F", "json").stdout)
        assert [entry["id"] for entry in shown] == [SECOND]
    for options in (["--node", "a"], ["--by", "ann"], ["--by", "me"], ["--status", "failed"]):
        refused = home.run("job", "list", *options)
        assert_one_line(refused, ExitStatus.NOT_OFFERED, "look for jobs with", options[0])


SQUARES = [n * n for n in range(1, 22)]
RESULTS: list[dict[str, Any]] = [
    *({"node": f"web{n:02}", "state": "succeeded", "exit_code": 0, "started_at": 1.0,
       "ended_at": 4.0 + n} for n in range(1, 11)),
    *({"node": f"web{n}", "state": "failed", "exit_code": 1, "started_at": 1.0, "ended_at": 5.0}
      for n in (21, 22)),
    {"node": "db1", "state": "nacked", "reason": "not on the whitelist: no entry 'chef-client', "
     "the nearest is 'chef_client'"},
    *({"node": f"far{n}.example.com", "state": "unavailable", "reason": "offline"}
      for n in SQUARES),
]  # fmt: skip
STATES = {
    "succeeded": [r["node"] for r in RESULTS[:10]], "failed": ["web21", "web22"],
    "nacked": ["db1"], "unavailable": [r["node"] for r in RESULTS[13:]],
}  # fmt: skip


@pytest.fixture
def told(responder: Responder) -> None:
    """A job of which the server tells all."""
    shown = job("complete", nodes=STATES, capture_output=True, user="deploy", env={"A": "b"})
    responder.say("GET", f"jobs/{JOB_ID}", paged(shown))
    responder.say("GET", f"jobs/{JOB_ID}/nodes", paged(RESULTS))
    responder.say("GET", "jobs", paged({"jobs": [listed()], "next": None}))


@pytest.mark.usefixtures("told")
def test_a_job_is_shown_with_who_and_how_and_its_nodes_folded(home: Home) -> None:
    lines = home.run("job", "status", JOB_ID).stdout.splitlines()
    assert lines[0] == f"Job {JOB_ID}   uptime"
    assert lines[1] == "  complete with failures in 14 s, by ann from 192.0.2.7"
    assert lines[2].startswith("  started 2012-09-0")
    assert lines[3:5] == [
        "  371 nodes needed, 34 named, timeout 1 h, as deploy, captured",
        '  env {"A": "b"}',
    ]
    assert [line.split("\t") for line in lines[5:8]] == [
        ["web[01-10] (10)", "succeeded", "0", "4-13 s", ""],
        ["web[21-22] (2)", "failed", "1", "4 s", ""],
        ["db1", "nacked", "", "", RESULTS[12]["reason"]],
    ]
    assert lines[8].endswith(" (21)\tunavailable\t\t\toffline")
    each = home.run("job", "status", JOB_ID, "-V").stdout.splitlines()
    assert "web21\tfailed\t1\t4.0 s\t" in each
    told = json.loads(home.run("job", "status", JOB_ID, "-F", "json").stdout)
    assert (told["requestor"], told["quorum"], len(told["results"])) == ("ann", 371, 34)


@pytest.mark.usefixtures("told")
def test_on_a_terminal_names_and_reasons_go_on_below_and_nothing_is_lost(home: Home) -> None:
    with on_terminal(home, "job", "status", JOB_ID, width=80) as terminal:
        assert terminal.end() == ExitStatus.OK
    head = next(n for n, line in enumerate(terminal.lines) if line.startswith("NODES"))
    assert terminal.lines[head].split() == ["NODES", "STATE", "EXIT", "TIME", "WHY"]
    rows = terminal.lines[head + 1 :]
    at = terminal.lines[head].index("STATE")
    names = "".join(row[:at].strip() for row in rows)
    assert f"far[{','.join(map(str, SQUARES))}].example.com" in names
    why = " ".join(row[terminal.lines[head].index("WHY") :].strip() for row in rows)
    assert RESULTS[12]["reason"] in why
    assert b"\x1b[31mfailed" in terminal.raw


def test_offline_since_many_moments_is_one_row(home: Home, responder: Responder) -> None:
    results: list[dict[str, Any]] = [
        {"node": f"db{n:02}", "state": "unavailable", "reason":
         f"offline since 2020-01-01T09:{n:02}Z"} for n in range(14, 44)
    ]  # fmt: skip
    shown = job("quorum_failed", nodes={"unavailable": [r["node"] for r in results]})
    responder.say("GET", f"jobs/{JOB_ID}", paged(shown))
    responder.say("GET", f"jobs/{JOB_ID}/nodes", paged(results))
    responder.say("GET", "jobs", paged({"jobs": [listed()], "next": None}))
    rows = home.run("job", "status", JOB_ID, TZ="UTC").stdout.splitlines()[4:]
    assert [row.split("\t") for row in rows] == [
        ["db[14-43] (30)", "unavailable", "", "",
         "offline since 2020-01-01 09:14 to 2020-01-01 09:43"],
    ]  # fmt: skip
    assert len(home.run("job", "status", JOB_ID, "-V").stdout.splitlines()) == 4 + 30


def test_a_batch_is_shown_with_its_siblings(operated: Operated) -> None:
    operated.run("job", "start", "x", "b1", "b2", "b3", "--batch", "1", "-q", "0",
                 "--allow-unknown")  # fmt: skip
    third, second, first = operated.json("job", "list", "--command", "x")
    assert len({one["batch"] for one in (first, second, third)}) == 1
    others = f"{first['id'][:8]} (0 ok, 1 absent), {third['id'][:8]} (0 ok, 1 absent)"
    shown = operated.ok("job", "status", second["id"])
    assert f"  batch 2 of the 3 that were started: {others}\n" in shown
    told = operated.json("job", "status", second["id"])
    assert told["batch"] == first["batch"]
    assert told["batch_jobs"] == [first["id"], second["id"], third["id"]]
    assert operated.ok("job", "list", "--max", "1").endswith(f"\t{first['batch']}\n")


def test_watching_ends_with_what_became_of_it(operated: Operated, started: list[str]) -> None:
    shown = operated.ok("job", "status", started[1][:8], "--watch")
    assert f"Job {started[1]}   uptime\n" in shown
    assert "db[1-2] (2)\tunavailable\t" in shown


def running(responder: Responder, job_id: str, *parts: list[dict[str, Any]]) -> None:
    """A job that is aborted; its nodes' parts before, and from then on one after the other."""
    responder.say("GET", f"jobs/{job_id}", paged(job("running", id=job_id)))
    responder.say("GET", f"jobs/{job_id}/nodes", *map(paged, parts))
    responder.say("POST", f"jobs/{job_id}/abort", paged({"status": "aborted"}))


def ended(node: str) -> dict[str, Any]:
    """Its part after it told how the command ended."""
    return {"node": node, "state": "aborted", "late_result": {"succeeded": False, "signal": 15}}


def test_an_abort_is_confirmed_by_the_nodes(home: Home, responder: Responder) -> None:
    running(
        responder,
        JOB_ID,
        [{"node": f"a{n}", "state": "running"} for n in (1, 2)]
        + [{"node": "b", "state": "failed"}],
        [{"node": f"a{n}", "state": "aborted", "ending": True} for n in (1, 2)],
        [ended("a1"), {"node": "a2", "state": "aborted", "ending": True}],
        [ended("a1"), ended("a2")],
    )
    result = home.run("job", "abort", JOB_ID)
    assert (result.stdout, result.stderr) == ("Aborted.  Confirmed by a[1-2] (2)\n", "")


def test_a_node_that_goes_away_while_it_ends_the_command_has_confirmed_nothing(
    home: Home, responder: Responder
) -> None:
    running(
        responder,
        JOB_ID,
        [{"node": f"a{n}", "state": "running"} for n in (1, 2)],
        [{"node": f"a{n}", "state": "aborted", "ending": True} for n in (1, 2)],
        [ended("a1"), {"node": "a2", "state": "aborted"}],
    )
    result = home.run("job", "abort", JOB_ID)
    assert result.stdout == "Aborted.  Confirmed by a1\n"
    told = "NOT CONFIRMED by a2 after 8 s: the command may still be ending there"
    assert result.stderr.startswith(told)


def test_several_are_aborted_and_each_is_told_of(home: Home, responder: Responder) -> None:
    running(responder, JOB_ID, [{"node": "a", "state": "running", "out_of_contact": True}])
    responder.say("GET", f"jobs/{SECOND}", paged(job("complete", id=SECOND)))
    responder.say("POST", f"jobs/{SECOND}/abort", paged({"status": "complete"}))
    result = home.run("job", "abort", JOB_ID, SECOND, JOB_ID)
    assert result.stdout.splitlines() == [
        f"{JOB_ID}: Aborted.",
        f"{SECOND}: Not aborted: the job was already over (complete).",
    ]
    assert f"{JOB_ID}: NOT CONFIRMED by a, out of contact" in result.stderr
    told = json.loads(home.run("job", "abort", JOB_ID, SECOND, "-F", "json").stdout)
    assert told == [
        {"id": JOB_ID, "status": "aborted", "unconfirmed": ["a"]},
        {"id": SECOND, "status": "complete"},
    ]


def test_one_that_cannot_be_aborted_does_not_keep_the_others(
    home: Home, responder: Responder
) -> None:
    running(responder, JOB_ID, [])
    responder.say("POST", f"jobs/{SECOND}/abort", json_answer({"error": ["not found"]}, 404))
    result = home.run("job", "abort", SECOND, JOB_ID)
    assert result.stdout == f"{JOB_ID}: Aborted.\n"
    assert result.status == ExitStatus.NOT_FOUND
    assert f"1 not aborted ({SECOND}: " in result.stderr
