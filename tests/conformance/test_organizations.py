"""An organization is deleted: nothing of it is left, and its name may be given again."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from sqlalchemy import func, select

from pushcli import errors, keys
from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli_server.store import schema
from tests.support.feed_reader import FeedReader
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, operator, superuser
from tests.support.old_agent import OldAgent
from tests.support.stored import database, large
from tests.support.waiting import patient, start, until

pytestmark = pytest.mark.timeout(patient(60))
LARGE = "x" * 20_000
FILLED = {
    "organization_users", "clients", "keys", "tokens", "groups", "group_members", "nodes",
    "node_fields", "jobs", "job_nodes", "blobs", "feed_events", "audit",
}  # fmt: skip
"""Tables that have something of the organization before it goes; all are looked at after."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sandbox]:
    """One whose organization may go."""
    settings = {"heartbeat_interval": 5000, "voting_timeout": 3}
    with Fleet(tmp_path, [], settings=settings) as fleet:
        yield fleet


def fill(server: Sandbox, agent: OldAgent) -> str:
    """Something in every table; returns a job that runs."""
    admin = operator(server)
    admin.post("tokens", {"uses": 1, "expires_in": 3600})
    admin.post("nodes", {"name": "described", "normal": {"tags": ["x"]}})
    server.api.start_job({"command": LARGE, "nodes": ["nosuch"], "file": f"raw:{LARGE}"})
    done = start(server, "x", agent.name, capture_output=True)
    agent.expect("commit")
    agent.send("ack_commit", done)
    agent.expect("run")
    agent.send("ack_run", done)
    agent.send("succeeded", done, stdout=LARGE + "out", stderr="few")
    until(lambda: server.api.job(done)["status"] == "complete", "a job has output")
    running = start(server, "x", agent.name)
    agent.expect("commit")
    agent.send("ack_commit", running)
    agent.expect("run")
    agent.send("ack_run", running)
    until(lambda: "running" in server.api.job(running)["nodes"], "a job runs")
    return running


def left(server: Sandbox) -> dict[str, int]:
    """Rows in every table that name the organization, or that only its jobs could have."""
    found = {}
    with database(server) as connection:
        for table in schema.metadata.sorted_tables:
            rows = select(func.count()).select_from(table)
            if "org" in table.c:
                found[table.name] = connection.scalars(rows.where(table.c.org == ORG)).one()
            elif table.name not in {"users", "organizations", "servers"}:
                found[table.name] = connection.scalars(rows).one()
    return found


def files(server: Sandbox) -> list[Path]:
    return [path for path in (server.server_directory / "blobs").rglob("*") if path.is_file()]


@pytest.fixture
def agent(server: Sandbox, context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[OldAgent]:
    """The node n1, online."""
    with contextlib.closing(OldAgent(server, context, "n1")) as agent:
        agent.come_online()
        server.wait_available(["n1"])
        yield agent


def test_nothing_of_it_is_left(server: Sandbox, agent: OldAgent) -> None:
    running = fill(server, agent)
    before = left(server)
    assert {table for table, count in before.items() if count} >= FILLED
    assert len(large(server)) >= 2
    feeds = [
        FeedReader(server.profile, path)
        for path in ("job_status_feed", f"job_status_feed/{running}")
    ]
    ended: list[bool] = []
    readers = [
        threading.Thread(target=lambda feed=feed: ended.append(bool(feed.rest() or True)))
        for feed in feeds
    ]
    for reader in readers:
        reader.start()

    gone = superuser(server)("DELETE", f"/organizations/{ORG}")
    assert (gone.status, gone.json["name"]) == (200, ORG)

    for reader in readers:
        reader.join(patient(10))
    assert len(ended) == 2, "whoever reads its feeds is let go"
    until(lambda: not any(left(server).values()) and not files(server), "nothing is left")
    root = superuser(server)
    assert root("DELETE", f"/organizations/{ORG}").status == 404
    assert ORG not in root.get("/organizations")
    assert root("GET", f"/organizations/{ORG}/nodes").status == 404
    assert operator(server)("GET", "pushy/jobs").status == 404
    [record] = root.get("/audit", query=f"?target={ORG}&limit=1")["records"]
    assert (record["actor"], record["action"]) == ("pivotal", "organization delete")
    status = root.raw("GET", "/pushy/_status").json
    assert (status["node_fsm_count"], status["job_processes"]) == (0, [])
    # Users are the server's; this one belongs nowhere now.
    assert "operator" in root.get("/users")
    with pytest.raises(errors.PushcliError):
        agent.configure()


def test_the_next_one_of_its_name_knows_nothing_of_it(server: Sandbox, agent: OldAgent) -> None:
    running = fill(server, agent)
    root = superuser(server)
    assert root("DELETE", f"/organizations/{ORG}").status == 200
    made = root.post("/organizations", {"name": ORG})
    root.post("users", {"username": "operator"})
    for group in ("admins", "pushy_job_readers", "pushy_job_writers"):
        root.post(f"groups/{group}/members", {"kind": "user", "name": "operator"})
    admin = operator(server)
    assert admin.get("nodes") == {}
    assert admin.get("pushy/node_states") == []
    assert list(admin.get("clients")) == [made["clientname"]]
    assert root("GET", f"pushy/jobs/{running}").status == 404
    assert root.get("pushy/jobs") == []
    actions = {record["action"] for record in admin.get("audit")["records"]}
    assert "job start" not in actions
    # The former one's node is nobody here, whatever its agent goes on to say.
    for _ in range(4):
        agent.knock("running", running)
        assert agent.receive(0.1) is None
    assert admin.get("pushy/node_states") == []
    # And a new one may begin.
    admin.post("clients", {"name": "n1", "public_key": keys.public_pem(KEYS[0])})
    job = start(server, "x", "n1")
    assert server.api.job(job)["nodes"] == {"unavailable": ["n1"]}


def test_only_a_superuser_deletes_one(server: Sandbox) -> None:
    assert operator(server)("DELETE", f"/organizations/{ORG}").status in {401, 403}
    assert operator(server)("GET", "nodes").status == 200
