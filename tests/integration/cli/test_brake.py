"""Freezing jobs, aborting all of them, pausing nodes: on a real server with a real agent."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pushcli import __version__
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ADMIN
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import assert_one_line
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, new_user, operator, superuser
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(90)
FREEZE = ("job", "freeze", "--reason", "storage is down, ask ann")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A server with one agent, `web01`."""
    directory = tmp_path_factory.mktemp("brake")
    settings = {"heartbeat_interval": 250}
    whitelist = {"true": "true", "sleep": "sleep 600"}
    with Fleet(directory, ["web01"], whitelist=whitelist, settings=settings) as fleet:
        yield Operated(fleet)


def test_while_frozen_no_job_starts_also_after_a_restart(one: Operated) -> None:
    assert one.ok(*FREEZE).startswith("Frozen: no job starts")
    refused = one.run("job", "start", "true", "web01")
    assert_one_line(refused, ExitStatus.FROZEN, "storage is down, ask ann", "job unfreeze")
    dry = one.run("job", "start", "true", "web01", "--dry-run")
    assert dry.status == ExitStatus.OK
    assert dry.stderr.startswith(f"no job starts: frozen by {ADMIN} since ")
    one.fleet.end_server()
    one.fleet.start_server()
    assert one.run("job", "start", "true", "web01").status == ExitStatus.FROZEN
    # An old client, which knows nothing of ours.
    answer = operator(one.fleet)("POST", "pushy/jobs", {"command": "true", "nodes": ["web01"]})
    assert (answer.status, answer.headers.get("retry-after")) == (503, None)
    assert answer.error == [f"no job starts: frozen by {ADMIN}: storage is down, ask ann"]
    job = {"command": "true", "nodes": ["web01"]}
    assert superuser(one.fleet)("POST", "pushy/jobs", job).status == 503
    assert one.ok("job", "unfreeze").startswith("Jobs may start again. They were frozen by ")
    assert one.ok("job", "unfreeze") == "Jobs were not frozen.\n"
    one.fleet.wait_available(["web01"])
    assert one.run("job", "start", "true", "web01").status == ExitStatus.OK
    actions = [record["action"] for record in one.json("audit")["records"]]
    # The second changed nothing.
    assert (actions.count("job freeze"), actions.count("job unfreeze")) == (1, 1)


def test_only_administrators_freeze(one: Operated) -> None:
    user = new_user(one.fleet, KEYS[2])
    for method, body in (("PUT", {"reason": "x"}), ("DELETE", None)):
        assert user(method, "pushy/freeze", body).status == 403
    assert user.get("pushy/freeze") == {"frozen": False}


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x1b[2J", "x" * 201, "a\u202eb"])
def test_a_reason_is_one_printable_line(one: Operated, reason: str) -> None:
    assert operator(one.fleet)("PUT", "pushy/freeze", {"reason": reason}).status == 400
    for command in (("job", "freeze"), ("node", "pause", "web01", "--for", "1h")):
        assert one.run(*command, "--reason", reason).status == ExitStatus.USAGE


def test_abort_all_says_how_many_and_asks(one: Operated) -> None:
    assert one.ok("job", "abort", "--all") == "No job is running.\n"
    job_id = one.fleet.api.start_job({"command": "sleep", "nodes": ["web01"]})
    until(lambda: one.fleet.api.job(job_id)["status"] == "running", "it runs")
    refused = one.run("job", "abort", "--all")
    assert_one_line(refused, ExitStatus.USAGE, "pass -y")
    status, written = one.typed("n\n", "job", "abort", "--all")
    assert (status, "Abort one job (sleep)?" in written) == (0, True)
    assert one.fleet.api.job(job_id)["status"] == "running"
    assert one.ok("job", "abort", "--all", "-y") == f"{job_id}: aborted\n"
    assert one.run("job", "abort").status == ExitStatus.USAGE
    assert one.run("job", "abort", "--all", job_id).status == ExitStatus.USAGE
    assert one.json("job", "abort", "--all") == []


def test_a_paused_node_votes_no_with_the_reason_also_after_a_restart(one: Operated) -> None:
    one.fleet.wait_available(["web01"])
    paused = one.ok("node", "pause", "web01", "--reason", "disk replaced", "--for", "2h")
    assert paused.startswith("Paused until ")
    assert paused.endswith(": web01\n")
    status, seen = one.typed("", "node", "status", "web01")
    assert (status, "paused, ends in " in seen, ": disk" in seen) == (0, True, True)
    for _ in range(2):
        failed = one.run("job", "start", "true", "web01")
        assert failed.status == ExitStatus.QUORUM_FAILED
        assert "nacked: web01 (paused by " in failed.stdout
        assert "disk replaced" in failed.stdout
        [shown] = one.json("node", "status", "web01")
        assert shown["availability"] == "unavailable"
        assert shown["paused"]["reason"] == "disk replaced"
        assert shown["agent"] == f"pushcli/{__version__}"
        assert "disk replaced" in one.ok("node", "status", "web01")
        left = datetime.fromisoformat(shown["paused"]["until"]) - datetime.now(UTC)
        assert 7100 < left.total_seconds() <= 7201
        one.fleet.end_server()
        one.fleet.start_server()
    dry = one.run("job", "start", "--dry-run", "true", "web01", "-F", "json")
    assert "disk replaced" in dry.stdout
    assert one.ok("node", "resume", "web[01-02]*", "web01") == "No longer paused: web01\n"
    assert one.ok("node", "resume", "-a") == "Was not paused: web01\n"
    one.fleet.wait_available(["web01"])
    assert one.run("job", "start", "true", "web01").status == ExitStatus.OK
    [record] = [
        record for record in one.json("audit")["records"] if record["action"] == "node pause"
    ]
    assert record["target"] == "web01"
    assert record["detail"]["reason"] == "disk replaced"


def test_node_status_tells_agents_and_who_was_not_seen(one: Operated) -> None:
    one.fleet.wait_available(["web01"])
    name, availability, agent, seen, opened, note = one.ok("node", "status").split("\t")
    assert (name, availability, agent) == ("web01", "available", __version__)
    assert seen.endswith(" s ago")
    assert note == "\n"
    assert opened == ""
    assert one.ok("node", "status", "--not-seen-for", "1h") == ""
    assert one.ok("node", "status", "ghost", "web01", "--not-seen-for", "1h").startswith(
        "ghost\tunavailable\t\tnever\t"
    )


def test_a_pause_ends_by_itself(one: Operated) -> None:
    one.ok("node", "pause", "web01", "--reason", "short", "--for", "1s")
    one.fleet.wait_available(["web01"])
    assert "paused" not in one.json("node", "status", "web01")[0]


def test_who_may_not_start_jobs_pauses_nothing_and_unknown_nodes_are_told(one: Operated) -> None:
    user = new_user(one.fleet, KEYS[2])
    asked = {"nodes": ["web01"], "reason": "x", "seconds": 60}
    assert user("POST", "pushy/pauses", asked).status == 403
    assert user("POST", "pushy/resumes", {"nodes": ["web01"]}).status == 403
    refused = one.run("node", "pause", "web01", "nosuch", "--reason", "x", "--for", "1h")
    assert_one_line(refused, ExitStatus.NOT_FOUND, "no such node: nosuch", "nothing was paused")
    refused = one.run("node", "resume", "web01", "nosuch")
    assert_one_line(refused, ExitStatus.NOT_FOUND, "no such node: nosuch", "nothing was resumed")
    ann = operator(one.fleet)
    wrongs: tuple[dict[str, object], ...] = (
        {"nodes": []}, {"seconds": 0}, {"seconds": 1e9}, {"reason": "a\nb"}, {"more": 1},
        {"nodes": ["n"] * 10_001}, {"nodes": ["n" * 256]},
    )  # fmt: skip
    for wrong in wrongs:
        assert ann("POST", "pushy/pauses", {**asked, **wrong}).status == 400, wrong
