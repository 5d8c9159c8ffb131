"""Whoever may start jobs may read those that he started, and no others."""

from collections.abc import Iterator

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.support.identities import KEYS, Signer, new_user, operator, superuser
from tests.support.raw_http import Answer

pytestmark = pytest.mark.timeout(60)
ORIGINAL = ("jobs", "jobs/JOB", "jobs/JOB/output/ghost/stdout", "job_status_feed/JOB")
OURS = (
    "jobs/JOB/nodes", "own_jobs/JOB", "own_jobs/JOB/output/ghost/stdout", "own_jobs/JOB/feed",
    f"jobs/JOB/output/{'0' * 64}",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def groups(server: Sandbox) -> Iterator[None]:
    """Readers there are, and nobody here is one."""
    ann = operator(server)
    for group in ("pushy_job_readers", "pushy_job_writers"):
        ann("POST", "groups", {"groupname": group})
    yield
    ann("DELETE", "groups/pushy_job_readers")


def writer(server: Sandbox, kind: str = "user", like: str | None = None) -> Signer:
    """Somebody who may start jobs, and read none of others."""
    ann = operator(server)
    if kind == "user":
        user = new_user(server, KEYS[1])
        ann("DELETE", f"groups/pushy_job_readers/members/users/{user.name}")
        made = user
    else:
        assert like is not None
        ann.post("clients", {"name": like, "public_key": keys.public_pem(KEYS[2])})
        made = Signer(server, like, KEYS[2])
    ann.post("groups/pushy_job_writers/members", {f"{kind}s": [made.name]})
    return made


def start(by: Signer) -> str:
    uri: str = by.post("pushy/jobs", {"command": "x", "nodes": ["ghost"]})["uri"]
    return uri[-32:]


def read(by: Signer, path: str, job_id: str) -> Answer:
    accept = {"Accept": "*/*"}
    return by("GET", f"pushy/{path.replace('JOB', job_id)}", **accept)


def statuses(by: Signer, paths: tuple[str, ...], job_id: str) -> set[int]:
    return {read(by, path, job_id).status for path in paths}


def test_ones_own_job_is_read_on_our_paths_and_on_the_originals_never(server: Sandbox) -> None:
    bob = writer(server)
    job_id = start(bob)
    assert statuses(bob, ORIGINAL, job_id) == {403}
    # Nothing was captured: that is what 404 says.
    assert [read(bob, path, job_id).status for path in OURS] == [200, 200, 404, 200, 404]
    assert [job["id"] for job in bob.get("pushy/own_jobs")] == [job_id]
    assert bob.get(f"pushy/own_jobs/{job_id}")["nodes"] == {"unavailable": ["ghost"]}
    assert bob("POST", f"pushy/jobs/{job_id}/abort", {}).status == 200


def test_others_jobs_are_not_his(server: Sandbox) -> None:
    bob, carol = writer(server), writer(server)
    job_id = start(carol)
    assert statuses(bob, OURS, job_id) == {403}
    assert bob.get("pushy/own_jobs") == []


@pytest.mark.parametrize("first", ["user", "client"])
def test_a_client_of_a_users_name_is_another_one(server: Sandbox, first: str) -> None:
    user = writer(server)
    client = writer(server, "client", like=user.name)
    one, other = (user, client) if first == "user" else (client, user)
    job_id = start(one)
    assert 403 not in statuses(one, OURS, job_id)
    assert statuses(other, OURS, job_id) == {403}
    assert other.get("pushy/own_jobs") == []


def test_it_ends_with_the_right_to_start_jobs(server: Sandbox) -> None:
    bob = writer(server)
    job_id = start(bob)
    assert operator(server)(
        "DELETE", f"groups/pushy_job_writers/members/users/{bob.name}"
    ).status in {200, 204}
    assert statuses(bob, (*OURS, "own_jobs"), job_id) == {403}


@pytest.mark.parametrize("how", ["left", "deleted", "superuser", "client"])
def test_who_comes_back_or_gets_the_name_has_no_part_in_the_jobs_of_before(
    server: Sandbox, how: str
) -> None:
    ann, bob = operator(server), writer(server)
    if how == "client":
        bob = writer(server, "client", like=f"{bob.name}-c")
    elif how == "superuser":
        # He starts jobs where he does not belong.
        bob = new_user(server, KEYS[1], associated=False, superuser=True)
    job_id = start(bob)
    pem = keys.public_pem(bob.raw.key)
    if how == "left":
        assert ann("DELETE", f"users/{bob.name}").status == 200
        ann.post("users", {"username": bob.name})
    elif how in {"deleted", "superuser"}:
        assert superuser(server)("DELETE", f"/users/{bob.name}").status == 200
        superuser(server).post("/users", {"username": bob.name, "public_key": pem})
        ann.post("users", {"username": bob.name})
    else:
        assert ann("DELETE", f"clients/{bob.name}").status == 200
        ann.post("clients", {"name": bob.name, "public_key": pem})
    kind = "clients" if how == "client" else "users"
    ann.post("groups/pushy_job_writers/members", {kind: [bob.name]})
    assert statuses(bob, OURS, job_id) == {403}
    assert bob.get("pushy/own_jobs") == []
    assert 403 not in statuses(bob, OURS, start(bob))


def test_the_command_line_starts_watches_and_lists_as_one_who_may_only_write(
    server: Sandbox,
) -> None:
    bob = writer(server)
    key = server.directory / f"{bob.name}.pem"
    key.touch(0o600)
    key.write_bytes(keys.private_pem(bob.raw.key))
    me = ("-u", bob.name, "-k", str(key))
    done = server.cli("job", "start", "uptime", "ghost", *me)
    assert done.returncode == ExitStatus.QUORUM_FAILED, done
    assert "ghost" in done.stdout
    job_id = bob.get("pushy/own_jobs")[0]["id"]
    assert server.cli("job", "status", job_id, *me).returncode == 0
    assert job_id in server.cli("job", "list", *me).stdout
    refused = server.cli("node", "status", *me)
    assert refused.returncode == ExitStatus.NOT_ALLOWED
    assert refused.stderr == (
        f"pushcli: error: {bob.name} may not look at jobs, output and node states (group "
        "pushy_job_readers): ask an administrator to run "
        f"`pushcli group add pushy_job_readers --user {bob.name}`\n"
    )
    # What the refusal says to run does it.
    assert server.cli("group", "add", "pushy_job_readers", "--user", bob.name).returncode == 0
    assert server.cli("node", "status", *me).returncode == 0
