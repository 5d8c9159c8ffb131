"""Users, clients and groups are on a Chef Infra Server: who is let in, also while it is away."""

import itertools
import math
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import zmq
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from prometheus_client.parser import text_string_to_metric_families

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ADMIN
from pushcli_server.chef.forgetting import have_forgotten
from pushcli_server.rest.feeds import RECHECK
from tests.support import key_files
from tests.support.beside_chef import SUPERUSER_KEY, BesideChef, Tenant, beside_chef
from tests.support.chef_server import ChefServer, chef_server
from tests.support.feed_reader import FeedReader
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, Signer, operator
from tests.support.metrics import metric
from tests.support.simulated import Plan, fetch
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
JOB = {"command": "true", "nodes": ["n1"]}
READERS, WRITERS = "pushy_job_readers", "pushy_job_writers"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BesideChef]:
    """Whose server the tests share that need none of their own."""
    with beside_chef(tmp_path_factory.mktemp("host"), chef_cache=1, chef_poll=0) as host:
        yield host


@pytest.fixture
def fleet(tmp_path: Path, host: BesideChef) -> Iterator[BesideChef]:
    with Tenant(tmp_path, host) as fleet:
        yield fleet


@pytest.fixture
def chef(fleet: BesideChef) -> ChefServer:
    return fleet.chef


@pytest.fixture
def own(tmp_path: Path) -> Iterator[BesideChef]:
    """With a server of the test's own."""
    with beside_chef(tmp_path, chef_cache=1) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def remembering_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BesideChef]:
    with beside_chef(tmp_path_factory.mktemp("remembering"), chef_cache=300) as host:
        yield host


@pytest.fixture
def remembering(tmp_path: Path, remembering_host: BesideChef) -> Iterator[BesideChef]:
    """What it was told counts for longer than a test takes."""
    with Tenant(tmp_path, remembering_host) as fleet:
        yield fleet


def about_identities(fleet: BesideChef) -> "Counter[str]":
    """What Chef was asked, but for the looks at its nodes."""
    asked = fleet.asked().items()
    return Counter({p: n for p, n in asked if p.split("/")[3] not in {"nodes", "search"}})


def may(asks: Signer) -> tuple[int, int]:
    """What somebody gets who looks at jobs, and who starts one."""
    return asks("GET", "pushy/jobs").status, asks("POST", "pushy/jobs", JOB).status


def test_groups_decide_as_ever(fleet: BesideChef, chef: ChefServer) -> None:
    bob, carol = fleet.user("bob", KEYS[0]), fleet.user("carol", KEYS[1])
    stranger = fleet.user("stranger", KEYS[2], org="")
    assert may(operator(fleet)) == (200, 201)
    # Without a group of readers everybody may look.
    assert may(bob) == (200, 403)
    assert may(stranger) == (403, 403)
    assert bob.signing_with(KEYS[1])("GET", "pushy/jobs").status == 401
    assert Signer(fleet, "nobody", KEYS[0])("GET", "pushy/jobs").status == 401
    assert bob("GET", "/organizations/nowhere/pushy/jobs").status == 404
    chef.groups[fleet.org, READERS] = {"groups": ["inner"]}
    chef.groups[fleet.org, "inner"] = {
        "users": ["bob"],
        "groups": ["elsewhere::inner", READERS, "gone"],
    }
    chef.groups[fleet.org, WRITERS] = {"users": ["carol"]}
    time.sleep(1.1)
    assert may(bob) == (200, 403)
    assert may(carol) == (403, 201)
    # Who administrates starts nothing where there is a group for that.
    assert may(operator(fleet)) == (403, 403)


def test_a_user_and_a_client_of_one_name_are_two(fleet: BesideChef, chef: ChefServer) -> None:
    user, client = fleet.user("both", KEYS[0]), fleet.client("both", KEYS[1])
    chef.groups[fleet.org, WRITERS] = {"clients": ["both"]}
    assert (may(user)[1], may(client)[1]) == (403, 201)


def test_keys_that_are_added_and_revoked_count_within_the_cache(
    fleet: BesideChef, chef: ChefServer
) -> None:
    bob = fleet.user("bob", KEYS[0])
    assert bob("GET", "pushy/jobs").status == 200
    chef.keys[fleet.org, "user", "bob"] = [keys.public_pem(KEYS[1]), keys.public_pem(KEYS[2])]
    time.sleep(1.1)
    assert bob("GET", "pushy/jobs").status == 401
    for key in (KEYS[1], KEYS[2]):
        assert bob.signing_with(key)("GET", "pushy/jobs").status == 200


def test_a_member_who_leaves_while_his_job_runs_may_do_nothing_more_and_it_runs_on(
    fleet: BesideChef, chef: ChefServer
) -> None:
    fleet.enroll(["n1"])
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    carol = fleet.user("carol", KEYS[1])
    chef.groups[fleet.org, READERS] = {"users": [ADMIN]}
    chef.groups[fleet.org, WRITERS] = {"groups": ["team"]}
    chef.groups[fleet.org, "team"] = {"users": ["carol"]}
    time.sleep(1.1)
    made = carol.post("pushy/jobs", {"command": "sleep", "nodes": ["n1"]})
    job_id = made["uri"].rpartition("/")[2]
    job, own = f"pushy/jobs/{job_id}", f"pushy/own_jobs/{job_id}"
    until(lambda: carol.get(own)["status"] == "running", "it runs")
    chef.groups[fleet.org, "team"] = {"users": []}
    time.sleep(1.1)
    for method, path in (("GET", own), ("POST", f"{job}/abort"), ("POST", "pushy/jobs")):
        body = JOB if method == "POST" else None
        assert carol(method, path, body).status == 403, path
    until(lambda: operator(fleet).get(job)["status"] == "complete", "it ends")
    assert [part["state"] for part in fleet.api.job_nodes(job_id)] == ["succeeded"]


def test_a_node_gets_its_configuration_and_no_other(fleet: BesideChef) -> None:
    fleet.enroll(["n1"])
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    done = fleet.cli("job", "start", "true", "n1")
    assert done.returncode == 0, done.stderr
    node = Signer(fleet, "n1", key_files.read(fleet.agent_directory("n1") / "client.pem"))
    refused = node("GET", "pushy/config/n2", query="?ccpk=x")
    assert (refused.status, refused.error) == (403, ["Client and node name must match"])


def test_a_key_that_cannot_be_read_takes_no_other_from_its_client(
    fleet: BesideChef, chef: ChefServer
) -> None:
    node = fleet.client("n1", KEYS[0])
    chef.keys[fleet.org, "client", "n1"].insert(0, "-----BEGIN PUBLIC KEY-----\nnone\n")
    public_key, _ = zmq.curve_keypair()
    got = node("GET", "pushy/config/n1", query="?" + urlencode({"ccpk": public_key.decode()}))
    assert got.status == 200, got


def test_a_key_that_is_slow_to_verify_with_counts_no_more_than_in_our_own_store(
    fleet: BesideChef, chef: ChefServer
) -> None:
    slow = with_exponent(KEYS[0], 2**2000 + 1)
    bob = fleet.user("bob", slow)
    # Anybody could have the server verify with it.
    assert bob("GET", "pushy/jobs").status == 401
    chef.keys[fleet.org, "user", "bob"].append(keys.public_pem(KEYS[1]))
    time.sleep(1.1)
    assert bob.signing_with(KEYS[1])("GET", "pushy/jobs").status == 200


def with_exponent(key: RSAPrivateKey, least: int) -> RSAPrivateKey:
    """One of the same modulus."""
    p, q = key.private_numbers().p, key.private_numbers().q
    order = (p - 1) * (q - 1)
    e = next(e for e in itertools.count(least, 2) if math.gcd(e, order) == 1)
    d = pow(e, -1, order)
    return rsa.RSAPrivateNumbers(
        p=p, q=q, d=d, dmp1=rsa.rsa_crt_dmp1(d, p), dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q), public_numbers=rsa.RSAPublicNumbers(e, p * q),
    ).private_key()  # fmt: skip


def test_a_job_outlives_that_the_server_is_killed_while_chef_is_away(own: BesideChef) -> None:
    fleet, chef = own, own.chef
    fleet.enroll(["n1"])
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    job_id = fleet.api.start_job({"command": "sleep", "nodes": ["n1"]})
    until(lambda: fleet.api.job(job_id)["status"] == "running", "it runs")
    chef.fault = "failing"
    fleet.end_server(signal.SIGKILL)
    fleet.start_server()
    time.sleep(3.0)
    chef.fault = ""
    until(lambda: operator(fleet).get(f"pushy/jobs/{job_id}")["status"] == "complete", "it ends")
    [part] = fleet.api.job_nodes(job_id)
    assert (part["state"], part.get("reason")) == ("succeeded", None)


def test_it_is_asked_once_for_many_and_for_as_long_as_an_answer_counts(
    remembering: BesideChef,
) -> None:
    fleet, chef = remembering, remembering.chef
    bob = fleet.user("bob", KEYS[0])
    chef.delay = 0.3
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(bob, "GET", "pushy/jobs") for _ in range(20)]
        assert {done.result().status for done in asked} == {200}
    bob("GET", "pushy/jobs")
    of_bob = f"/organizations/{fleet.org}/principals/bob"
    assert chef.asked[of_bob] == 1
    assert max(fleet.asked().values()) == 1


def test_for_configurations_it_is_asked_once_for_each_node_and_age(
    remembering: BesideChef,
) -> None:
    fleet, chef = remembering, remembering.chef
    nodes = [f"n{number}" for number in range(40)]
    for node in nodes:
        chef.keys[fleet.org, "client", node] = [keys.public_pem(KEYS[0])]
    of_nodes = {f"/organizations/{fleet.org}/principals/{node}" for node in nodes}
    base = fleet.url.partition("/organizations")[0]
    plan = Plan(nodes=nodes, interval=1.0, url=base, org=fleet.org)
    chef.delay = 0.05
    for times in (1, 2):
        with ThreadPoolExecutor(16) as pool:
            # Each three times, and some at the same time.
            fetched = [pool.submit(configuration, plan, node) for node in nodes * 3]
            assert all(one.result()["encoded_session_key"] for one in fetched)
        assert {path: chef.asked[path] for path in of_nodes} == dict.fromkeys(of_nodes, times)
        have_forgotten(fleet.server_directory)
    assert about_identities(fleet).keys() == of_nodes


def configuration(plan: Plan, node: str) -> Any:
    """Of a node whose key is the first one."""
    connection = HTTPConnection(plan.url.removeprefix("http://"), timeout=30)
    try:
        return fetch(connection, plan, KEYS[0], node, zmq.curve_keypair()[0].decode())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("half", 503, "the connection broke"),
        ("garbage", 502, "something that is not an answer of Chef's API"),
        ("nonsense", 502, "something that is not an answer of Chef's API"),
        ("redirect", 502, "redirects"),
        ("failing", 503, "it failed (500"),
        ("endless", 503, "is larger than"),
    ],
)
def test_what_it_says_wrongly_lets_nobody_in(
    fleet: BesideChef, chef: ChefServer, fault: str, status: int, words: str
) -> None:
    chef.fault = fault
    answer = operator(fleet)("GET", "pushy/jobs")
    assert answer.status == status, answer
    [said] = answer.error
    assert words in said
    assert "\n" not in said
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)
    chef.fault = ""
    until(lambda: operator(fleet)("GET", "pushy/jobs").status == 200, "he is let in")


@pytest.mark.parametrize(
    "said", [{"message": "no Route matched"}, {}, {"error": "not found"}, {"error": []}]
)
def test_a_404_of_somebody_else_is_no_word_that_a_group_is_not_there(
    fleet: BesideChef, chef: ChefServer, said: Any
) -> None:
    bob = fleet.user("bob", KEYS[0])
    chef.groups[fleet.org, READERS] = {"users": [ADMIN]}
    chef.instead["GET", f"/organizations/{fleet.org}/groups/{READERS}"] = 404, said
    # Without a group of readers everybody may look.
    answer = bob("GET", "pushy/jobs")
    assert answer.status == 502, answer
    assert f"groups/{READERS}" in answer.error[0]
    chef.instead.clear()
    assert bob("GET", "pushy/jobs").status == 403


def test_measurements_tell_what_it_was_asked(own: BesideChef) -> None:
    fleet, chef = own, own.chef
    for status, fault in ((200, ""), (200, "failing"), (502, "garbage")):
        chef.fault = fault
        time.sleep(1.1 if fault else 0.0)
        assert operator(fleet)("GET", "pushy/jobs").status == status
    counted = {
        outcome: metric(fleet, "pushcli_chef_questions_total", outcome=outcome)
        for outcome in ("answered", "away", "refused")
    }
    assert sum(counted.values()) == about_identities(fleet).total()
    assert counted == {"answered": 2, "away": 2, "refused": 1}
    assert metric(fleet, "pushcli_chef_questions_total", kind="principals") == 3
    assert metric(fleet, "pushcli_chef_question_seconds_count") == about_identities(fleet).total()
    for age, least in (("fresh", 1), ("stale", 2)):
        assert metric(fleet, "pushcli_chef_remembered_answers_total", age=age) >= least
    assert metric(fleet, "pushcli_chef_kept") == 2
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert [name for name in names(fleet) if f"`{name}" not in page] == []


def names(fleet: BesideChef) -> list[str]:
    """Of what it measures of Chef."""
    base = fleet.url.partition("/organizations")[0]
    with urllib.request.urlopen(f"{base}/metrics", timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found = [one.name for one in families if one.name.startswith("pushcli_chef_")]
    assert len(found) >= 4
    return found


def test_a_wrong_key_of_ours_is_told(tmp_path: Path) -> None:
    with (
        chef_server(SUPERUSER_KEY.public_key()) as chef,
        BesideChef(tmp_path, chef, KEYS[0]) as fleet,
    ):
        answer = operator(fleet)("GET", "pushy/jobs")
        assert answer.status == 502
        assert "check chef_user and chef_key" in answer.error[0]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../groups/admins", "x" * 300, "%2e%2e"])
def test_no_name_leads_elsewhere(fleet: BesideChef, chef: ChefServer, name: str) -> None:
    assert Signer(fleet, name, KEYS[0])("GET", "pushy/jobs").status == 401
    assert not any("principals" in path for path in chef.asked)


def test_principals_may_be_asked_directly(tmp_path: Path) -> None:
    with (
        chef_server(SUPERUSER_KEY.public_key()) as direct,
        beside_chef(tmp_path, chef_direct_url=direct.url) as fleet,
    ):
        direct.keys = fleet.chef.keys
        assert operator(fleet)("POST", "pushy/jobs", JOB).status == 201
        assert {path.split("/")[3] for path in direct.asked} == {"principals"}
        assert {path.split("/")[3] for path in about_identities(fleet)} == {"groups"}


def test_while_it_is_slow_others_are_not(fleet: BesideChef, chef: ChefServer) -> None:
    fleet.user("bob", KEYS[0])
    assert operator(fleet)("GET", "pushy/jobs").status == 200
    chef.delay = 30.0
    bob = Signer(fleet, "bob", KEYS[0])
    with ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        slow = pool.submit(bob, "GET", "pushy/jobs")
        # What is known of the operator is old, and bears looking.
        assert slow.result().status == 503
        assert 4.0 < time.monotonic() - begun < 15.0
    assert f"no answer from {chef.url} within 5 s" in slow.result().error[0]
    chef.delay = 0.0


def test_while_it_is_away_who_is_known_looks_and_nodes_come_but_nothing_starts(
    fleet: BesideChef, chef: ChefServer
) -> None:
    fleet.enroll(["n1"])
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    assert may(operator(fleet)) == (200, 201)
    fleet.user("bob", KEYS[1])
    chef.fault = "failing"
    time.sleep(1.1)
    assert may(operator(fleet)) == (200, 503)
    # A new run of the agent asks for its configuration, and its key is known.
    fleet.end_agent("n1")
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    unknown = Signer(fleet, "bob", KEYS[1])("GET", "pushy/jobs")
    assert unknown.status == 503
    assert "the Chef Infra Server cannot be asked" in unknown.error[0]
    chef.fault = ""
    until(lambda: may(operator(fleet)) == (200, 201), "it is back")


def test_a_feed_is_open_no_longer_than_a_request_would_be_answered(
    fleet: BesideChef, chef: ChefServer
) -> None:
    fleet.enroll(["n1"])
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    feed = FeedReader(fleet.profile, "job_status_feed")
    assert feed.status == 200
    time.sleep(RECHECK / 2)
    fleet.api.start_job({"command": "sleep", "nodes": ["n1"]})
    chef.fault = "failing"
    have_forgotten(fleet.server_directory)
    # What he may is not known any more, and the job ends a while after.
    told = [event["event"] for event in feed.rest()]
    assert told == ["start"]
    assert operator(fleet)("GET", "pushy/job_status_feed").status == 503


def test_who_is_let_in_is_the_one_of_this_name(fleet: BesideChef, chef: ChefServer) -> None:
    # Whoever answers for another name lets him in as nobody.
    chef.keys[fleet.org, "user", "mallory"] = [keys.public_pem(KEYS[0])]
    assert Signer(fleet, ADMIN, KEYS[0])("GET", "pushy/jobs").status == 401


def test_who_there_is_is_told_over_there(fleet: BesideChef) -> None:
    for method, path in (
        ("GET", "clients"), ("POST", "users"), ("GET", "groups/admins"), ("GET", "nodes/n1"),
        ("POST", "search/node"), ("GET", "principals/ann"), ("POST", "tokens"), ("POST", "enroll"),
        ("GET", "/users"), ("GET", "/organizations"), ("DELETE", f"/organizations/{fleet.org}"),
    ):  # fmt: skip
        answer = operator(fleet)(method, path, {} if method == "POST" else None)
        assert answer.status == 404, path
        assert answer.error == [
            f"not here: users, clients, groups and nodes are on {fleet.chef.url}"
        ], path
    assert operator(fleet)("GET", "audit").status == 200


def test_a_server_with_users_of_its_own_does_not_start(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, [])
    fleet.make_server()
    key = tmp_path / "chef.pem"
    keys.write_private_key(key, SUPERUSER_KEY)
    with (fleet.server_directory / "server.toml").open("a") as file:
        file.write('identity = "chef"\nchef_server_url = "http://127.0.0.1:1"\n')
        file.write(f'chef_key = "{key}"\n')
    ran = fleet.cli("server", "start", "--dir", str(fleet.server_directory))
    fleet.stop()
    assert ran.returncode == ExitStatus.CONFIG
    assert "this server has users of its own" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_who_was_let_in_by_a_key_that_is_revoked_is_let_in_by_its_next(
    fleet: BesideChef, chef: ChefServer
) -> None:
    fleet.enroll(["n1", "n2"])
    for node in ("n1", "n2"):
        fleet.start_agent(node)
    fleet.wait_available(["n1", "n2"])
    chef.keys[fleet.org, "client", "n1"] = [keys.public_pem(KEYS[1])]
    until(lambda: availability(fleet, "n1") == "unavailable", "it is out", 30)
    assert availability(fleet, "n2") == "available"
    assert (
        "the client key that admitted it is no longer valid: SHA256:"
        in fleet.log("server").read_text()
    )
    (fleet.agent_directory("n1") / "client.pem").write_text(keys.private_pem(KEYS[1]).decode())
    fleet.wait_available(["n1"])


def availability(fleet: BesideChef, node: str) -> str:
    state: str = fleet.api.node_state(node)["availability"]
    return state
