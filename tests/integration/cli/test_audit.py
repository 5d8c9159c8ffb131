"""`pushcli audit` against the real server."""

import json
import re
import time
from datetime import datetime

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import Responder, json_answer

pytestmark = pytest.mark.timeout(60)


def test_what_was_done_is_told_the_newest_last(operated: Operated) -> None:
    operated.ok("client", "create", "one")
    operated.ok("client", "create", "two")
    operated.ok("client", "delete", "one", "-y")
    lines = [line.split("\t") for line in operated.ok("audit").splitlines()]
    told = [(actor, action, target) for _, actor, action, target, *_ in lines]
    assert told[-3:] == [
        ("user operator", "client create", "one"), ("user operator", "client create", "two"),
        ("user operator", "client delete", "one"),
    ]  # fmt: skip
    at = datetime.fromisoformat(lines[-1][0])
    assert abs(at.timestamp() - time.time()) < 60
    assert at.utcoffset() is not None
    assert lines[-1][4] == "127.0.0.1"


def test_an_older_server_tells_it_elsewhere(home: Home, responder: Responder) -> None:
    records = [{"at": 1_795_464_000, "actor": "ann", "action": "group delete", "target": "ops"}]
    responder.say("GET", "/audit", json_answer({"records": records, "truncated": False}))
    responder.say("GET", "/pushy/audit", json_answer({"error": ["not found"]}, 404))
    done = home.run("audit", "-F", "json")
    assert done.status == 0, done.stderr
    assert [one["target"] for one in json.loads(done.stdout)["records"]] == ["ops"]
    asked = [path.partition("?")[0] for _, path, _ in responder.requests]
    assert [path.endswith("/pushy/audit") for path in asked] == [True, False]


def test_an_older_server_behind_the_nginx_of_another_is_to_be_upgraded(
    home: Home, responder: Responder
) -> None:
    responder.say("GET", "/pushy/audit", json_answer({"error": ["not found"]}, 404))
    responder.say("GET", "/audit", json_answer({"error": ["not found"]}, 404, old=True))
    done = home.run("audit")
    assert_one_line(done, ExitStatus.NOT_OFFERED)
    assert done.stderr == "pushcli: error: this server cannot tell who did what: upgrade it\n"


def test_no_record_that_fits_is_said(operated: Operated) -> None:
    none = operated.run("audit", "--user", "nobody")
    assert (none.status, none.stdout, none.stderr) == (0, "", "No record matches\n")
    assert operated.json("audit", "--user", "nobody")["records"] == []


def test_it_is_told_by_time_actor_and_target(operated: Operated) -> None:
    operated.ok("client", "create", "three")
    operated.ok("client", "create", "four", *operated.superuser)

    def targets(*options: str) -> list[str]:
        return [record["target"] for record in operated.json("audit", *options)["records"]]

    assert targets("--node", "three") == ["three"]
    assert targets("--user", "pivotal")[-1] == "four"
    assert "three" not in targets("--user", "pivotal")
    assert targets("--kind", "client") == []
    assert targets("--kind", "user", "--user", "pivotal")[-1] == "four"
    assert targets("--since", "1h")[-2:] == ["three", "four"]
    assert targets("--since", "2999-01-01") == []
    last = operated.run("audit", "--limit", "1")
    assert len(last.stdout.splitlines()) == 1
    assert "--limit" in last.stderr


def test_an_edit_of_many_whitelists_is_told_shortly_and_found_by_each_node(
    operated: Operated,
) -> None:
    names = [f"web{number:02d}" for number in range(1, 22)]
    for name in names:
        operated.fleet.api.post("nodes", {"name": name})
    operated.ok("whitelist", "add", "greet", "echo hi", *names)
    operated.ok("whitelist", "remove", "greet", *names[:2])
    [line] = operated.ok("audit", "--node", "web07", "--since", "1m").splitlines()[1:]
    *_, target, _, detail = line.split("\t")
    assert target == "21 nodes"
    assert detail.startswith('changes=greet = "echo hi", nodes=web[01-21], key=SHA256:')
    removed = operated.ok("audit", "--node", "web02").splitlines()[-1]
    assert removed.split("\t")[5].startswith("changes=-greet, key=SHA256:")
    [record] = operated.json("audit", "--node", "web21")["records"][1:]
    assert record["detail"]["nodes"] == names


def test_the_start_of_a_job_is_told_with_its_command_and_nodes(operated: Operated) -> None:
    many = [f"db{number:03d}" for number in range(1, 112)]
    for command, nodes in (
        ("uptime", ["web31", "web32", "web33"]), ("x" * 300, many), ("uptime", ["cache1"]),
    ):  # fmt: skip
        operated.fleet.api.post("pushy/jobs", {"command": command, "nodes": nodes})
    [line] = operated.ok("audit", "--node", "web32").splitlines()
    assert line.split("\t")[2] == "job start"
    assert line.split("\t")[5] == "uptime on web[31-33]"
    [record] = operated.json("audit", "--node", "db107")["records"]
    assert record["detail"] == {"command": "x" * 200, "count": 111}
    [found] = operated.json("audit", "--node", "cache1")["records"]
    assert found["detail"] == {"command": "uptime", "count": 1, "nodes": ["cache1"]}
    assert {*found} == {"at", "actor_kind", "actor", "action", "target", "origin", "detail"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", found["at"])


def test_what_concerns_no_organization_is_for_superusers(operated: Operated) -> None:
    operated.ok("user", "create", "zoe", "--no-associate", *operated.superuser)
    told = operated.json("audit", "--of-server", *operated.superuser)["records"]
    assert ("user create", "zoe") in {(record["action"], record["target"]) for record in told}
    assert_one_line(operated.run("audit", "--of-server"), ExitStatus.NOT_ALLOWED)


@pytest.mark.parametrize(("since", "remedy"), [("yesterday", "2h"), ("24", "24h"), ("-1h", "2h")])
def test_a_moment_that_is_none_is_refused(operated: Operated, since: str, remedy: str) -> None:
    assert_one_line(operated.run("audit", "--since", since), ExitStatus.USAGE, remedy)
