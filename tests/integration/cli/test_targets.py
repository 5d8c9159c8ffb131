"""Which nodes a command is about, against the real server and against others."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.nodes.one_node import OneNode
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home, Result, assert_one_line
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer
from tests.support import in_process
from tests.support.commands_tree import all_commands, own_flags

pytestmark = pytest.mark.timeout(90)
"""The first test starts the server."""
NODES = ["db1", "node1", "node2", "node10"]
EVERY = [*NODES, "object1"]
START = ("job", "start", "uptime", "-q", "0", "-F", "json")


@pytest.fixture(scope="module", autouse=True)
def nodes(operated: Operated) -> None:
    """Four that are enrolled and down, and one that only has a node object."""
    operated.fleet.enroll(NODES)
    operated.fleet.api.post("nodes", {"name": "object1"})


def here(operated: Operated, *arguments: str) -> Result:
    """What the command does, in this process; that it does so in one of its own others show."""
    return here_with(operated.fleet.environment, *arguments)


def here_with(env: Mapping[str, str], *arguments: str) -> Result:
    return Result(*in_process.outcome(env, *arguments))


def started(result: Result) -> list[str]:
    """The nodes of the job that was started."""
    assert result.status == ExitStatus.OK, result
    return [entry["node"] for entry in json.loads(result.stdout)["results"]]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["node1", "db1"], ["node1", "db1"]),
        (["node[1-2]"], ["node1", "node2"]),
        (["node*"], ["node1", "node2", "node10"]),
        (["node*!node2", "db?"], ["node1", "node10", "db1"]),
        (["-a"], EVERY),
        (["-a", "-x", "node[2,10]", "-x", "x*"], ["db1", "node1", "object1"]),
        (["db1", "-s", "name:node*"], ["db1", "node1", "node2", "node10"]),
        (["-a", "--limit", "30%", "--limit-seed", "a"], ["db1", "node10"]),
        (["object1"], ["object1"]),
        (["ghost", "db1", "--allow-unknown"], ["ghost", "db1"]),
    ],
)
def test_a_job_runs_on_what_was_named(
    operated: Operated, arguments: list[str], names: list[str]
) -> None:
    assert started(here(operated, *START, *arguments)) == names


def test_a_misspelt_name_starts_nothing(operated: Operated) -> None:
    before = operated.json("job", "list")
    for arguments in (("nodeX",), ("db1", "nodeX", "--dry-run"), ("-s", "name:db1", "nodeX")):
        refused = operated.run("job", "start", "uptime", *arguments)
        assert_one_line(
            refused, ExitStatus.USAGE, "unknown node 'nodeX': did you mean 'node1'?",
            "--allow-unknown",
        )  # fmt: skip
    assert operated.json("job", "list") == before


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["zz*"], ExitStatus.NOT_FOUND, "no node matches 'zz*'"),
        (["db1", "-x", "db*"], ExitStatus.NOT_FOUND, "--exclude"),
        (["@/nosuch"], ExitStatus.USAGE, "cannot read /nosuch"),
        (["@/dev/zero"], ExitStatus.USAGE, "too large"),
        (["-"], ExitStatus.NOT_FOUND, "no node names in standard input"),
        (["web[1-99999999]"], ExitStatus.USAGE, "'web[1-99999999]' is 99,999,999 nodes"),
        (["db1", "--with-status", "failed"], ExitStatus.USAGE, "--from-job"),
        (["--from-job", JOB_ID, "--with-status", "bad"], ExitStatus.USAGE, "invalid status 'bad'"),
        (["--from-job", JOB_ID], ExitStatus.NOT_FOUND, "no such job"),
        (["db1", "--limit", "0"], ExitStatus.USAGE, "--limit 0"),
        (["db1", "--limit-seed", "a"], ExitStatus.USAGE, "--limit N"),
        (["-x", "db1"], ExitStatus.USAGE, "no nodes given"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    operated: Operated, arguments: list[str], status: ExitStatus, words: str
) -> None:
    assert_one_line(operated.run("job", "start", "uptime", *arguments), status, words)


def test_names_come_from_a_file_and_from_standard_input(operated: Operated) -> None:
    (operated.place / "names").write_text("node[1-2] # both\ndb*\n")
    assert started(operated.run(*START, "@names", "-x", "node1")) == ["node2", "db1"]
    done = subprocess.run(
        operated.fleet.command(*START, "-", "db1"), env=operated.fleet.environment,
        input="node10\nnode1\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    result = Result(done.returncode, done.stdout, done.stderr)
    assert started(result) == ["node10", "node1", "db1"]


def test_the_nodes_of_a_job_are_found_by_their_states(operated: Operated) -> None:
    first = json.loads(operated.run(*START, "node10", "node2").stdout)["id"]
    again = ("--from-job", first, "--with-status")
    assert started(operated.run(*START, *again, "failed,unavailable")) == ["node2", "node10"]
    nothing = operated.run(*START, *again, "failed,timed_out")
    assert_one_line(nothing, ExitStatus.NOT_FOUND, "no node of the job is failed or timed_out")


def test_what_a_limit_chose_can_be_chosen_again(operated: Operated) -> None:
    chosen = operated.run(*START, "-a", "--limit", "2")
    seed = chosen.stderr.split("--limit-seed ")[1].split()[0]
    again = operated.run(*START, "-a", "--limit", "2", "--limit-seed", seed)
    assert chosen.stderr.startswith("2 of 5 nodes")
    assert started(chosen) == started(again)


def test_all_commands_take_nodes_alike(operated: Operated) -> None:
    status = operated.ok("node", "status", "node*", "-x", "node10")
    rows = [line.split("\t")[:2] for line in status.splitlines()]
    assert rows == [["node1", "unavailable"], ["node2", "unavailable"]]
    everything = operated.ok("node", "status", "-x", "db*").splitlines()
    assert [line.split("\t")[0] for line in everything] == ["node1", "node2", "node10", "object1"]
    edit = operated.json("whitelist", "add", "x", "true", "node*!node1", "-s", "name:db1")
    assert edit["nodes"] == 3
    listed = operated.ok("whitelist", "list", "-x", "node1")
    assert "db1,node[2,10]" in listed
    removed = operated.run("whitelist", "remove", "x", "db1,node[2,10]")
    assert removed.status == ExitStatus.OK, removed
    operated.fleet.enroll(["old1", "old2"])
    assert operated.ok("node", "delete", "old[1-9]&old*", "-y").count("Deleted") == 2
    assert_one_line(operated.run("node", "delete", "-y"), ExitStatus.USAGE, "no nodes given")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        json_answer([], old=True),
        json_answer({"error": "no"}, 403),
        json_answer({"error": "no"}, 500),
        Answer(200, b"<html>"),
        json_answer([{"node_name": 1}]),
    ],
)
def test_where_it_cannot_be_known_who_is_there_the_job_starts(
    home: Home, responder: Responder, answer: Answer | None
) -> None:
    if answer is not None:
        responder.say("GET", "node_states", answer)
    responder.accept_job(job("complete", nodes={"succeeded": ["a"]}))
    assert here_with(home.env, "job", "start", "-b", "x", "a").status == ExitStatus.OK
    refused = here_with(home.env, "job", "start", "-b", "x", "a*")
    assert refused.status in {
        ExitStatus.NOT_FOUND, ExitStatus.NOT_ALLOWED, ExitStatus.ERROR
    }, refused  # fmt: skip
    assert responder.count("POST", "jobs") == 1


SELECTING = {
    "job start": ("true",),
    "node status": (),
    "node delete": ("-y",),
    "node pause": ("--reason", "x", "--for", "1h"),
    "node resume": (),
    "whitelist list": (),
    "whitelist show": ("x",),
    "whitelist add": ("x", "true"),
    "whitelist remove": ("x",),
    "whitelist edit": (),
    "whitelist diff": (),
    "whitelist copy": ("--from", "db1"),
    "whitelist test": ("x",),
}
"""Commands that are about any number of nodes, and what else they need."""
NODES_OF_A_JOB = {"job retry", "job output"}
"""Whose nodes are those of the job that they name."""
NOT_REGISTERED = {"agent enroll --node-name", "agent start --node-name"}
"""Where a node is given its name."""


def test_every_command_with_a_node_takes_all_ways_of_naming_them_or_says_that_it_is_one() -> None:
    several, one = set(), set()
    for path, command in all_commands():
        name = " ".join(path[1:])
        for parameter in command.params:
            words = {parameter.human_readable_name, *parameter.opts}
            if parameter.nargs == -1 and "NODE" in (parameter.metavar or ""):
                several.add(name)
                ways = {flag for _, flag in own_flags(command)}
                assert name in NODES_OF_A_JOB or ways >= {"-s", "-a", "-x", "--limit", "--from-job"}
            elif words & {"NODE", "--node", "--from", "--node-name"}:
                one.add(f"{name} {parameter.opts[-1]}")
                is_one = isinstance(parameter.type, OneNode)
                assert is_one != (f"{name} {parameter.opts[-1]}" in NOT_REGISTERED), name
    assert several == {*SELECTING, *NODES_OF_A_JOB}
    assert one > NOT_REGISTERED


@pytest.mark.parametrize("command", SELECTING)
def test_what_names_no_node_is_refused_alike_everywhere(operated: Operated, command: str) -> None:
    here(operated, "job", "start", "-q", "0", "x", "db1")
    words = [*command.split(), *SELECTING[command]]
    place = len(command.split()) if command in ("whitelist show", "whitelist test") else len(words)
    for named, status, expected in (
        (["zz*"], ExitStatus.NOT_FOUND, "no node matches 'zz*'"),
        (["@/nosuch"], ExitStatus.USAGE, "cannot read /nosuch"),
        (["-a", "-x", "*"], ExitStatus.NOT_FOUND, "no nodes are left after --exclude"),
        (["-s", "name:zz*"], ExitStatus.NOT_FOUND, "no node matches"),
        (["db1", "--limit", "x"], ExitStatus.USAGE, "invalid limit 'x'"),
        (["--from-job", "@last", "--with-status", "x"], ExitStatus.USAGE, "invalid status 'x'"),
    ):
        refused = here(operated, *words[:place], *named, *words[place:])
        assert_one_line(refused, status, expected)


def test_a_command_about_one_node_says_so(operated: Operated) -> None:
    for words in (("node", "show"), ("job", "list", "--node"), ("whitelist", "copy", "--from")):
        for named, counted in (("web[01-12]", "12"), ("a,b", "2"), ("web*", "'web*'")):
            refused = here(operated, *words, named)
            assert_one_line(refused, ExitStatus.USAGE, f"expected one node, got {counted}")
    refused = operated.run("whitelist", "diff", "node[1-2]", "db1")
    assert_one_line(refused, ExitStatus.USAGE, "expected two nodes, got 3")


def test_names_alone_load_no_library_for_sets() -> None:
    code = (
        "import sys; from pushcli.commands.job import start; from pushcli.nodes import targets; "
        "targets.parse('a,b'); print('ClusterShell' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
