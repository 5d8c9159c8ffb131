"""`GET jobs` with what is looked for: pages for our command line, nothing else for old clients."""

from collections.abc import Iterator
from typing import Any

import pytest

from pushcli import keys
from pushcli.protocol import limits
from pushcli.sandbox.sandbox import ADMIN, Sandbox
from tests.support.identities import KEYS, Signer, new_user, operator
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(patient(60))


def start(by: Signer, command: str, *nodes: str) -> str:
    job = {"command": command, "nodes": list(nodes or ["ghost"])}
    uri: str = by.post("pushy/jobs", job)["uri"]
    return uri[-32:]


@pytest.fixture(scope="module")
def jobs(server: Sandbox) -> list[str]:
    """Three, the newest last."""
    ann = operator(server)
    return [start(ann, "one"), start(ann, "two", "ghost", "ghost2"), start(ann, "one more")]


@pytest.fixture
def bob(server: Sandbox) -> Iterator[Signer]:
    """Who may start jobs and read no others'."""
    ann = operator(server)
    for group in ("pushy_job_readers", "pushy_job_writers"):
        ann("POST", "groups", {"groupname": group})
    bob = new_user(server, KEYS[1])
    ann("DELETE", f"groups/pushy_job_readers/members/users/{bob.name}")
    ann.post("groups/pushy_job_writers/members", {"users": [bob.name, ADMIN]})
    yield bob
    for group in ("pushy_job_readers", "pushy_job_writers"):
        ann("DELETE", f"groups/{group}")


def page(by: Signer, query: str, path: str = "pushy/jobs") -> Any:
    return by.get(path, query=f"?{query}")


def ids(found: Any) -> list[str]:
    return [job["id"] for job in found["jobs"]]


def test_a_page_tells_of_each_job_what_a_list_shows(server: Sandbox, jobs: list[str]) -> None:
    found = page(operator(server), f"id_prefix={jobs[1][:8]}")
    [shown] = found["jobs"]
    summary = next(j for j in operator(server).get("pushy/jobs") if j["id"] == jobs[1])
    assert {**shown, **summary} == shown
    more = {key: value for key, value in shown.items() if key not in summary}
    assert more.pop("duration") >= 0
    assert more == {
        "requestor": ADMIN, "requestor_kind": "user", "origin": "127.0.0.1", "quorum": 2,
        "node_count": 2, "states": {"unavailable": 2}, "ended_at": summary["updated_at"],
    }  # fmt: skip
    assert found["next"] is None


def test_pages_go_on_where_the_one_before_ended(server: Sandbox, jobs: list[str]) -> None:
    first = page(operator(server), "limit=2")
    assert ids(first) == [jobs[2], jobs[1]]
    second = page(operator(server), f"limit=2&after={first['next']}")
    assert ids(second)[0] == jobs[0]


def test_what_is_looked_for_may_be_said_together(server: Sandbox, jobs: list[str]) -> None:
    query = f"command=one*&node=ghost&status=quorum_failed,running&requestor={ADMIN}&since=1"
    assert ids(page(operator(server), query))[:2] == [jobs[2], jobs[0]]
    assert ids(page(operator(server), query.replace("node=ghost", "node=ghost2"))) == []


def test_without_our_parameters_the_list_is_whole_and_what_it_was(
    server: Sandbox, jobs: list[str]
) -> None:
    ann = operator(server)
    plain = ann("GET", "pushy/jobs")
    assert [job["id"] for job in plain.json][-3:] == jobs
    assert set(plain.json[-1]) == {
        "id", "command", "status", "run_timeout", "created_at", "updated_at",
    }  # fmt: skip
    # An old server took no notice of a query.
    assert ann("GET", "pushy/jobs", query="?verbose=true").body == plain.body


OUT_OF_BOUNDS = [
        "limit=0", f"limit={limits.MAX_JOBS + 1}", "limit=x", "limit=1&limit=2", "limit=1&x=1",
        "after=1", f"after=nan,{'0' * 32}", f"after=1e9,{'0' * 32}", "status=ok", "status=",
        "batch=1",
        "requestor=a%20b", "requestor=", "requestor_kind=node", "command=",
        f"command={'x' * (limits.MAX_GLOB + 1)}", "command=%00", "node=../x", "since=nan",
        "since=inf", "since=yesterday", "id_prefix=abc", "id_prefix=ABCD", "id_prefix=%25",
        f"id_prefix={'0' * 33}",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["pushy/jobs", "pushy/own_jobs"])
def test_what_is_out_of_bounds_or_unknown_is_refused(server: Sandbox, path: str) -> None:
    ann = operator(server)
    for query in OUT_OF_BOUNDS:
        answer = ann("GET", path, query=f"?{query}")
        assert answer.status == 400, (query, answer)
        [said] = answer.json["error"]
        assert len(said) < 250


def test_who_may_not_read_others_jobs_finds_his_own(
    server: Sandbox, jobs: list[str], bob: Signer
) -> None:
    mine = start(bob, "mine")
    assert bob("GET", "pushy/jobs", query="?limit=1").status == 403
    assert ids(page(bob, "limit=10", "pushy/own_jobs")) == [mine]
    assert ids(page(bob, f"id_prefix={jobs[0]}", "pushy/own_jobs")) == []
    assert ids(page(bob, f"requestor={ADMIN}", "pushy/own_jobs")) == []


def test_the_command_line_names_jobs_by_beginnings_and_the_last_one(
    server: Sandbox, jobs: list[str], bob: Signer
) -> None:
    key = server.directory / f"{bob.name}.pem"
    key.touch(0o600)
    key.write_bytes(keys.private_pem(bob.raw.key))
    me = ("-u", bob.name, "-k", str(key))
    none = server.cli("job", "status", "@last", *me)
    assert none.returncode == 8
    assert f"{bob.name} has not started a job yet" in none.stderr
    mine = start(bob, "mine")
    for named in ("@last", mine[:6].upper()):
        assert mine in server.cli("job", "status", named, *me).stdout
    # What he may not read is not there for him.
    others = server.cli("job", "status", jobs[0][:6], *me)
    assert (others.returncode, others.stdout) == (8, "")
