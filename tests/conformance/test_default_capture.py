"""Who may read what commands wrote: nobody asked for what is captured by default.

Every kind of principal, on every path that tells of output, for each kind of capture; the
expectation is written anew, and shares nothing with the server's code.
"""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from pushcli import keys
from pushcli.protocol import extensions
from pushcli.sandbox.sandbox import Sandbox
from tests.support import key_files
from tests.support.identities import KEYS, Signer, new_client, new_user, operator, superuser
from tests.support.old_agent import MakeAgent, OldAgent
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(120)
READERS, WRITERS, ADMINS = "pushy_job_readers", "pushy_job_writers", "admins"
OFFERS = extensions.render(frozenset({extensions.OUTPUT, extensions.RESULTS, extensions.CAPTURE}))
CAPTURES: dict[str, dict[str, Any]] = {
    "whole": {"capture_output": True},
    "default": {"pushcli": {"capture": "default"}},
}
WHO = (
    "requestor", "writer", "reader", "nested reader", "admin", "plain", "node", "own node",
    "reading node", "validator", "namesake", "left", "returned", "superuser",
    "stranger",
)  # fmt: skip
BY_DEFAULT = {"requestor", "reader", "nested reader", "admin", "reading node", "superuser"}
"""Who may read what nobody asked for, where there is a group of readers."""
READ = {"reader", "nested reader", "reading node", "superuser"}
"""Who may read everything, where there is one."""
GONE = ("left", "returned")
"""Who started jobs of his own, and left the organization since."""
AWAY = {"left", "stranger"}
"""Who does not belong to the organization."""
TEXT = "what the command wrote"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()


class Path(NamedTuple):
    """`original`: a path that the old server has, too."""

    path: str
    original: bool


PATHS = {
    "nodes": Path("jobs/JOB/nodes", False),
    "digest": Path(f"jobs/JOB/output/{DIGEST}", False),
    "feed": Path("jobs/JOB/output_feed", False),
    "own": Path("own_jobs/JOB/output/NODE/stdout", False),
    "original": Path("jobs/JOB/output/NODE/stdout", True),
}


class World(NamedTuple):
    """Everybody, and a job of each kind with output of one node."""

    server: Sandbox
    people: dict[str, Signer]
    node: str
    jobs: dict[str, str]


def may(who: str, capture: str, path: Path, *, has_readers: bool) -> bool:
    """Whether somebody may read the output on a path."""
    if who in AWAY:
        return False
    if capture == "default" and who == "admin" and path == PATHS["nodes"]:
        # It tells of more than output: for that he must be a reader, as ever.
        return not has_readers
    if capture == "default":
        return who in (BY_DEFAULT if has_readers else BY_DEFAULT - READ | {"superuser"})
    if who in READ or not has_readers:
        return True
    # Section 2 to the letter: there is no exception for who started it.
    return who == "requestor" and not path.original


@pytest.fixture(scope="module")
def world(server: Sandbox) -> World:
    ann = operator(server)
    people = {
        "requestor": new_user(server, KEYS[1]),
        "writer": new_user(server, KEYS[1]),
        "reader": new_user(server, KEYS[1]),
        "nested reader": new_user(server, KEYS[1]),
        "admin": new_user(server, KEYS[1]),
        "plain": new_user(server, KEYS[1]),
        "node": new_client(server),
        "reading node": new_client(server),
        "validator": new_client(server, validator=True),
        "left": new_user(server, KEYS[2]),
        "returned": new_user(server, KEYS[2]),
        "superuser": superuser(server),
        "stranger": new_user(server, KEYS[1], associated=False),
    }
    namesake = people["requestor"].name
    ann.post("clients", {"name": namesake, "public_key": keys.public_pem(KEYS[3])})
    people["namesake"] = Signer(server, namesake, KEYS[3])
    for name in (WRITERS, "deep"):
        ann("POST", "groups", {"groupname": name})
    # Nobody writes by being an administrator here.
    for who in ("requestor", "writer"):
        ann.post(f"groups/{WRITERS}/members", {"users": [people[who].name]})
    ann.post(f"groups/{WRITERS}/members", {"clients": [namesake]})
    ann.post(f"groups/{ADMINS}/members", {"users": [people["admin"].name]})
    ann.post("groups/deep/members", {"users": [people["nested reader"].name]})
    return World(server, people, "", {})


def form_readers(world: World) -> None:
    ann, people = operator(world.server), world.people
    ann("POST", "groups", {"groupname": READERS})
    ann.post(f"groups/{READERS}/members", {
        "users": [people["reader"].name], "clients": [people["reading node"].name],
        "groups": ["deep"],
    })  # fmt: skip


def no_readers(world: World) -> None:
    """End the group: a new server has one too."""
    ann = operator(world.server)
    # The same request twice within a second is a repeated one, and refused.
    until(lambda: ann("DELETE", f"groups/{READERS}").status in {200, 404}, "nobody is a reader")


@pytest.fixture(params=[True, False], ids=["readers", "no readers"])
def has_readers(request: pytest.FixtureRequest, world: World) -> Iterator[bool]:
    """Whether there is a group of readers."""
    no_readers(world)
    if request.param:
        form_readers(world)
    yield request.param
    no_readers(world)


@pytest.fixture
def ran(world: World, make_agent: MakeAgent) -> World:
    """The world with a job of each kind of capture, also of those who left."""
    agent = make_agent(offers=OFFERS)
    agent.come_online()
    world.server.wait_available([agent.name])
    own = Signer(world.server, agent.name, key_files.read(agent.client_key))
    people = {**world.people, "own node": own}
    jobs = {}
    for capture, asked in CAPTURES.items():
        jobs[capture] = carried_out(people["requestor"], agent, asked)
    for who in GONE:
        join(people[who])
        for capture, asked in CAPTURES.items():
            jobs[f"{capture} of {who}"] = carried_out(people[who], agent, asked)
        operator(world.server)("DELETE", f"users/{people[who].name}")
    join(people["returned"])
    return World(world.server, people, agent.name, jobs)


def join(user: Signer) -> None:
    """Have the user in the organization, and among those who start jobs."""
    ann = operator(user.fleet)
    ann("POST", "users", {"username": user.name})
    ann.post(f"groups/{WRITERS}/members", {"users": [user.name]})


def carried_out(by: Signer, agent: OldAgent, asked: dict[str, Any]) -> str:
    """A job of this requestor, which the agent carries out."""
    agent.heartbeat()
    uri: str = by.post("pushy/jobs", {"command": "x", "nodes": [agent.name], **asked})["uri"]
    job_id = uri[-32:]
    agent.expect("commit")
    agent.send("ack_commit", job_id)
    agent.expect("run")
    agent.send("ack_run", job_id)
    encoded = base64.b64encode(TEXT.encode()).decode()
    agent.send(
        "succeeded", job_id, spooled=True, exit_code=0, stdout_base64=encoded, stderr_base64="",
    )  # fmt: skip
    agent.expect("ack_result")
    return job_id


def reads(by: Signer, name: str, world: World, job_id: str) -> tuple[int, bool]:
    """What an answer says, and whether it tells of the output."""
    path = PATHS[name].path.replace("JOB", job_id).replace("NODE", world.node)
    answer = by("GET", f"pushy/{path}", Accept="*/*")
    if name == "nodes" and answer.status == 200:
        [part] = answer.json
        return answer.status, any(key.startswith(("stdout", "stderr")) for key in part)
    return answer.status, TEXT.encode() in answer.body


def test_who_reads_which_output_where(ran: World, has_readers: bool) -> None:
    wrong = []
    for who in WHO:
        for capture in CAPTURES:
            job_id = ran.jobs[f"{capture} of {who}" if who in GONE else capture]
            for name, path in PATHS.items():
                status, told = reads(ran.people[who], name, ran, job_id)
                allowed = may(who, capture, path, has_readers=has_readers)
                if told is not allowed or ((status == 200) is not told and name != "nodes"):
                    wrong.append((who, capture, name, status, told, allowed))
    assert wrong == []


@pytest.mark.parametrize(
    ("offers", "told"),
    [
        (None, {"capture": False}),
        ({extensions.RESULTS}, {"capture": False}),
        ({extensions.OUTPUT}, {"capture": True}),
        ({extensions.OUTPUT, extensions.CAPTURE}, {"capture": False, "default_capture": True}),
    ],
)
def test_each_agent_is_asked_in_its_own_terms_and_old_clients_see_nothing_of_it(
    server: Sandbox, make_agent: MakeAgent, offers: set[str] | None, told: dict[str, bool]
) -> None:
    agent = make_agent(offers=None if offers is None else extensions.render(frozenset(offers)))
    agent.come_online()
    server.wait_available([agent.name])
    root = superuser(server)
    asked = {"command": "x", "nodes": [agent.name], **CAPTURES["default"]}
    job_id = root.post("pushy/jobs", asked)["uri"][-32:]
    commit = agent.expect("commit")
    assert {key: commit[key] for key in commit if "capture" in key} == told
    job = root.get(f"pushy/jobs/{job_id}")
    assert not {"capture_output", "pushcli"} & job.keys()
    assert root.get(f"pushy/own_jobs/{job_id}")["pushcli"] == {"capture": "default"}
    root("POST", f"pushy/jobs/{job_id}/abort", {})
