"""Sections 2, 3 and 4 of the Push Jobs protocol, a row a rule, against a real server."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest
import zmq

from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server.rest.errors import EXTENSIONS
from tests.support import key_files
from tests.support.old_agent import OldAgent, enroll
from tests.support.raw_http import Answer, Raw

pytestmark = pytest.mark.timeout(60)
JOB = "0" * 32
GOOD = {"command": "x", "nodes": ["nosuch"]}
UNKNOWN = "an unknown validation error has occurred"


@pytest.fixture(scope="module")
def raw(server: Sandbox) -> Raw:
    return Raw(server)


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_all_signing_versions_are_accepted(raw: Raw, version: str) -> None:
    assert raw(version=version).status == 200


@pytest.mark.parametrize(
    "path",
    ["pushy/jobs/", "//organizations/sandbox//pushy///jobs", "/organizations/sandbox/pushy/jobs//"],
)
def test_slashes_at_the_end_and_doubled_are_tolerated(raw: Raw, path: str) -> None:
    assert raw(path=path).status == 200


def short(value: Any) -> str | None:
    """For a test's name, which must not hold the time."""
    return None if isinstance(value, dict) else str(value)[:50]


AUTHENTICATION: list[tuple[dict[str, Any], int, str]] = [
    ({"drop": ("X-Ops-Sign",)}, 400, "missing required authentication header(s) 'X-Ops-Sign'"),
    (
        {"drop": ("X-Ops-Sign", "X-Ops-Userid", "X-Ops-Timestamp", "X-Ops-Content-Hash")}, 400,
        "missing required authentication header(s) 'X-Ops-UserId', 'X-Ops-Timestamp', "
        "'X-Ops-Sign', 'X-Ops-Content-Hash'",
    ),
    ({"X_Ops_Userid": ""}, 400, "missing required authentication header(s) 'X-Ops-UserId'"),
    ({"X_Ops_Sign": "version=1.4"}, 400, "Unsupported authentication protocol version"),
    ({"X_Ops_Sign": "junk"}, 400, "Unsupported authentication protocol version"),
    (
        {"X_Ops_Sign": "algorithm=sha1;version=1.3"}, 400,
        "Unsupported authentication protocol version",
    ),
    ({"X_Ops_Timestamp": "now"}, 401, "bad header(s) 'X-Ops-Timestamp'"),
    (
        {"X_Ops_Timestamp": "now", "X_Ops_Sign": "junk"}, 401, "bad header(s) 'X-Ops-Timestamp'",
    ),
    (
        {"timestamp": -901}, 401,
        "Failed to authenticate as operator. Synchronize the clock on your host.",
    ),
    (
        {"timestamp": 1000}, 401,
        "Failed to authenticate as operator. Synchronize the clock on your host.",
    ),
    (
        {"user": "ghost"}, 401,
        "Failed to authenticate as 'ghost'. Ensure that your node_name and client key are "
        "correct.",
    ),
    (
        {"X_Ops_Content_Hash": "AAAA"}, 401, "Invalid signature for user or client 'operator'",
    ),
    (
        {"X_Ops_Authorization_1": "AAAA"}, 401, "Invalid signature for user or client 'operator'",
    ),
    (
        {"drop": tuple(f"X-Ops-Authorization-{n}" for n in range(1, 8))}, 401,
        "Invalid signature for user or client 'operator'",
    ),
    ({"X_Ops_Server_API_Version": "two"}, 401, "bad header(s) 'X-Ops-Server-API-Version'"),
    (
        {"path": "/organizations/noorg/pushy/jobs"}, 404, "organization 'noorg' does not exist.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "status", "text"), AUTHENTICATION, ids=short)
def test_a_request_that_is_not_authenticated(
    raw: Raw, changes: dict[str, Any], status: int, text: str
) -> None:
    if (late := changes.get("timestamp")) is not None:
        # Seconds from now, which is not when tests were collected.
        changes = {"timestamp": format_iso8601(time.time() + late)}
    answer = raw(**changes)
    assert (answer.status, answer.error) == (status, [text])
    challenge = 'X-Ops-Sign version="1.0" version="1.1" version="1.3"'
    assert answer.headers.get("www-authenticate") == (challenge if status == 401 else None)


PATHS: list[tuple[str, str, int, str | None]] = [
    ("HEAD", "pushy/jobs", 405, "GET, POST"),
    ("PUT", "pushy/jobs", 405, "GET, POST"),
    ("DELETE", "pushy/jobs", 405, "GET, POST"),
    ("OPTIONS", "pushy/jobs", 405, "GET, POST"),
    ("PUT", f"pushy/jobs/{JOB}", 405, "GET"),
    ("HEAD", f"pushy/jobs/{JOB}", 405, "GET"),
    ("POST", "pushy/node_states", 405, "GET"),
    ("POST", "pushy/config/node1", 405, "GET"),
    ("POST", "/pushy/_status", 405, "GET"),
    ("HEAD", "/pushy/_status", 405, "GET"),
    ("GET", "pushy/config", 404, None),
    ("GET", "pushy/config/", 404, None),
    ("PUT", "pushy/config/", 404, None),
    ("GET", "pushy/nothing", 404, None),
    ("GET", "/", 404, None),
    ("GET", f"pushy/jobs/{JOB}/output/n/other", 404, None),
]


@pytest.mark.parametrize(("method", "path", "status", "allow"), PATHS)
def test_path_and_method_are_checked_before_anything_else(
    raw: Raw, method: str, path: str, status: int, allow: str | None
) -> None:
    target = path if path.startswith("/") else f"/organizations/sandbox/{path}"
    answer = raw.send(method, target, {"Host": "x"}, b"")
    assert (answer.status, answer.headers.get("allow")) == (status, allow)
    assert answer.headers["content-type"] == "application/json"


BODIES: list[tuple[Any, str]] = [
    ({"nodes": ["a"]}, "invalid command supplied"),
    ({**GOOD, "command": None}, "invalid command supplied"),
    ({**GOOD, "command": 5}, "invalid command supplied"),
    ({"command": "x"}, "at least one node must be supplied"),
    ({**GOOD, "nodes": []}, "at least one node must be supplied"),
    ({**GOOD, "nodes": "a"}, "at least one node must be supplied"),
    ({**GOOD, "nodes": [1]}, "at least one node must be supplied"),
    ({**GOOD, "nodes": None}, "at least one node must be supplied"),
    ({**GOOD, "run_timeout": "5"}, "invalid type supplied for run_timeout (expected a number)"),
    ({**GOOD, "run_timeout": True}, "invalid type supplied for run_timeout (expected a number)"),
    ({**GOOD, "run_timeout": None}, "invalid type supplied for run_timeout (expected a number)"),
    ({**GOOD, "run_timeout": -1}, "invalid type supplied for run_timeout (expected a number)"),
    ({**GOOD, "quorum": "1"}, "invalid type supplied for quorum (expected a number)"),
    ({**GOOD, "quorum": 2**31}, "invalid type supplied for quorum (expected a number)"),
    (
        {**GOOD, "run_timeout": 9223372036854775808},
        "invalid type supplied for run_timeout (expected a number)",
    ),
    ({**GOOD, "quorum": False}, "invalid type supplied for quorum (expected a number)"),
    ({**GOOD, "quorum": -0.5}, "invalid type supplied for quorum (expected a number)"),
    ({**GOOD, "user": 5}, UNKNOWN),
    ({**GOOD, "user": None}, UNKNOWN),
    ({**GOOD, "dir": 5}, UNKNOWN),
    ({**GOOD, "env": "A=b"}, UNKNOWN),
    ({**GOOD, "env": {"A": 1}}, UNKNOWN),
    ({**GOOD, "env": None}, UNKNOWN),
    (b'{"command":"x","nodes":["a"],"env":{"A":"1","A":"2"}}',
     "invalid environment value (duplicate key)"),
    ({**GOOD, "file": "zip:x"}, "invalid file contents (expected 'base64:...' or 'raw:...')"),
    ({**GOOD, "file": 5}, "invalid file contents (expected 'base64:...' or 'raw:...')"),
    ({**GOOD, "file": "base64:***"}, "invalid file contents (couldn't decode base64 string)"),
    ({**GOOD, "file": "raw:" + "x" * 100_001}, "invalid file size (must be <= 100000 bytes)"),
    ({**GOOD, "capture_output": "yes"},
     "invalid type supplied for capture_output (expected a boolean)"),
    ({**GOOD, "capture_output": 1},
     "invalid type supplied for capture_output (expected a boolean)"),
    ({**GOOD, "wibble": 1}, "invalid key supplied"),
    ([], UNKNOWN),
    (b"not json", UNKNOWN),
    (b"{", UNKNOWN),
    (b"\xff", UNKNOWN),
    (b"[" * 60_000, UNKNOWN),
    (b'{"command":"x","nodes":["a"],"run_timeout":NaN}', UNKNOWN),
    (b'{"command":"x","nodes":["a"],"run_timeout":1e400}',
     "invalid type supplied for run_timeout (expected a number)"),
    (b'{"command":"\\u0000","nodes":["a"]}', "invalid command supplied"),
    (b'{"command":"\\ud800","nodes":["a"]}', "invalid command supplied"),
    # The order: types in the table's order, then unknown keys, then no nodes.
    ({"nodes": [], "quorum": "x", "wibble": 1}, "invalid command supplied"),
    ({"command": "x", "nodes": [], "quorum": "x", "wibble": 1},
     "invalid type supplied for quorum (expected a number)"),
    ({"command": "x", "nodes": [], "wibble": 1}, "invalid key supplied"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "text"), BODIES, ids=lambda value: str(value)[:60])
def test_a_body_that_asks_for_no_job(raw: Raw, body: Any, text: str) -> None:
    answer = raw("POST", body=body if isinstance(body, bytes) else _json(body))
    assert (answer.status, answer.json) == (400, {"error": text})


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def start(raw: Raw, **more: Any) -> dict[str, Any]:
    answer = raw("POST", body={**GOOD, **more})
    assert answer.status == 201, answer
    job: dict[str, Any] = raw(path=f"pushy/jobs/{answer.json['uri'][-32:]}").json
    return job


def test_a_started_job_is_told_by_its_uri_alone(raw: Raw) -> None:
    answer = raw("POST", body=GOOD)
    assert answer.status == 201
    assert list(answer.json) == ["uri"]
    assert answer.headers["location"] == answer.json["uri"]
    prefix = f"http://127.0.0.1:{raw.port}/organizations/sandbox/pushy/jobs/"
    job_id = answer.json["uri"].removeprefix(prefix)
    assert len(job_id) == 32
    assert set(job_id) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("headers", "start_of_uri"),
    [
        ({"Host": "push.example.com:10003"}, "http://push.example.com:10003/organizations/"),
        ({"Host": "push.example.com:80"}, "http://push.example.com/organizations/"),
        ({"Host": "push.example.com:443"}, "http://push.example.com/organizations/"),
        ({"Host": "[::1]:99"}, "http://[::1]:99/organizations/"),
        # Nobody was made a trusted proxy.
        ({"Host": "a", "X_Forwarded_Proto": "https"}, "http://a/organizations/"),
    ],
)
def test_the_uri_names_the_host_of_the_request(
    raw: Raw, headers: dict[str, Any], start_of_uri: str
) -> None:
    assert raw("POST", body=GOOD, **headers).json["uri"].startswith(start_of_uri)


def test_a_job_has_exactly_the_keys_that_were_given(raw: Raw) -> None:
    always = {"id", "command", "status", "run_timeout", "created_at", "updated_at", "nodes"}
    plain = start(raw)
    assert set(plain) == always
    assert plain["run_timeout"] == 3600
    assert (plain["status"], plain["nodes"]) == ("quorum_failed", {"unavailable": ["nosuch"]})
    full = start(raw, user="u", dir="/d", env={"A": "b"}, file="raw:f", capture_output=True)
    assert set(full) == always | {"user", "dir", "env", "capture_output", "file_specified"}
    assert (full["capture_output"], full["file_specified"]) == (True, True)
    shown = raw(path=f"pushy/jobs/{full['id']}", query="?include_file=true").json
    assert set(shown) == (set(full) - {"file_specified"}) | {"file"}
    assert shown["file"] == "raw:f"
    listed = next(job for job in raw().json if job["id"] == full["id"])
    assert set(listed) == set(full) - {"nodes"}


def test_zero_and_the_empty_string_are_values(raw: Raw) -> None:
    job = start(raw, command="", run_timeout=0, user="", dir="", env={}, quorum=0)
    assert (job["command"], job["run_timeout"], job["user"], job["env"]) == ("", 0, "", {})
    assert job["status"] == "complete"
    assert "capture_output" not in start(raw, capture_output=False)


def test_names_given_twice_count_once_and_a_fraction_is_rounded_up(raw: Raw) -> None:
    job = start(raw, nodes=["a", "b", "a"])
    assert job["nodes"] == {"unavailable": ["a", "b"]}
    assert start(raw, quorum=0.5)["status"] == "quorum_failed"
    assert start(raw, quorum=10**9)["status"] == "quorum_failed"


@pytest.mark.parametrize(
    "file", ["raw:" + "x" * 100_000, "base64:" + base64.b64encode(b"x" * 100_000).decode(), "raw:"]
)
def test_files_up_to_the_limit_are_taken(raw: Raw, file: str) -> None:
    assert start(raw, file=file)["file_specified"] is True


OTHER: list[tuple[dict[str, Any], int]] = [
    ({"path": f"pushy/jobs/{JOB}"}, 404),
    ({"path": "pushy/jobs/short"}, 404),
    ({"path": f"pushy/jobs/{JOB}/output/n/stdout", "Accept": "application/octet-stream"}, 404),
    ({"path": f"pushy/jobs/{JOB}/output/n/stdout"}, 406),
    ({"Accept": "text/html"}, 406),
    ({"Accept": "text/html, */*;q=0.1"}, 200),
    ({"Accept": "application/json;q=0, */*"}, 406),
    ({"Accept": "application/*"}, 200),
    ({"drop": ("Accept",)}, 200),
    ({"method": "POST", "body": GOOD, "Content_Type": "text/plain"}, 415),
    ({"method": "POST", "body": GOOD, "drop": ("Content-Type",)}, 415),
    ({"method": "POST", "body": GOOD, "Content_Type": "application/json; charset=utf-8"}, 201),
    # The group is checked before the type, the type before the content.
    ({"method": "POST", "body": b"junk", "Content_Type": "text/plain"}, 415),
    ({"method": "POST", "body": b"junk", "Accept": "text/html"}, 406),
    ({"path": "pushy/node_states/no%20such"}, 200),
    ({"path": "pushy/node_states/%ff"}, 404),
]


@pytest.mark.parametrize(("request_", "status"), OTHER, ids=lambda value: str(value)[:70])
def test_what_comes_after_authentication(raw: Raw, request_: dict[str, Any], status: int) -> None:
    assert raw(**request_).status == status


@pytest.mark.parametrize("size", [1_000_001, 5_000_000])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(raw: Raw, size: int) -> None:
    answer = raw("POST", body=b" " * size)
    assert (answer.status, answer.error) == (413, "JSON must be no more than 1000000 bytes.")
    # By its length alone: nothing of it is sent.
    head = raw("POST", body=b"{}", Content_Length=str(size))
    assert head.status == 413


def test_a_body_of_chunks_is_counted_as_it_comes(raw: Raw) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = raw.send(
        "POST",
        "/organizations/sandbox/pushy/jobs",
        {**_signed(raw), "Host": "x", "Transfer-Encoding": "chunked"},
        chunk * 17 + b"0\r\n\r\n",
    )
    assert answer.status == 413


def _signed(raw: Raw) -> dict[str, str]:
    return signing.sign(
        raw.key, method="POST", path="/organizations/sandbox/pushy/jobs", body=b"", user="operator",
        timestamp=format_iso8601(time.time()),
    )  # fmt: skip


def test_the_status_needs_no_signature_and_has_exactly_its_keys(raw: Raw) -> None:
    answer = raw.send("GET", "/pushy/_status/", {"Host": "x"}, b"")
    assert answer.status == 200
    assert list(answer.json) == ["status", "incarnation_id", "node_fsm_count", "job_processes"]
    assert answer.json["status"] == "it's alive"


def test_every_answer_says_what_the_server_can_do_beyond_the_old_one(raw: Raw) -> None:
    for answer in (raw(), raw(path="pushy/nothing"), raw(user="ghost"), raw(method="PUT")):
        assert answer.headers["x-pushcli-extensions"] == EXTENSIONS["X-Pushcli-Extensions"]


class TestConfig:
    KEY = zmq.curve_keypair()[0].decode()

    def ask(self, raw: Raw, ccpk: str | None, **more: Any) -> Answer:
        query = "" if ccpk is None else f"?ccpk={quote(ccpk, safe='')}&version=2.0"
        return raw(path="pushy/config/node7", query=query, **more)

    def test_without_a_key_it_is_400_and_with_a_bad_one_401(self, raw: Raw) -> None:
        assert (self.ask(raw, None).status, self.ask(raw, None).error) == (400, ["Missing ccpk"])
        for bad in ("short", "", "x" * 39, "x" * 41, "~" * 40, "\u2603" * 40, "#" * 40):
            answer = self.ask(raw, bad)
            assert (answer.status, answer.error) == (401, ["Bad ccpk"]), bad

    def test_the_answer_has_exactly_the_old_keys(self, raw: Raw) -> None:
        config = self.ask(raw, self.KEY).json
        assert set(config) == {
            "type", "host", "node", "organization", "push_jobs", "public_key",
            "curve_public_key", "encoded_session_key", "lifetime", "max_message_skew",
            "max_body_size", "incarnation_id",
        }  # fmt: skip
        assert (config["type"], config["node"], config["organization"]) == (
            "config", "node7", "sandbox",
        )  # fmt: skip
        heartbeat = config["push_jobs"]["heartbeat"]
        assert list(heartbeat) == [
            "out_addr", "command_addr", "interval", "offline_threshold", "online_threshold",
        ]  # fmt: skip
        assert (heartbeat["interval"], config["lifetime"]) == (0.25, 3600)
        assert (config["max_message_skew"], config["max_body_size"]) == (300, 65536)
        assert config["encoded_session_key"]["method"] == "hmac_sha256"
        assert config["public_key"].startswith("-----BEGIN PUBLIC KEY-----")

    def test_an_agent_that_offers_extensions_is_told_which_are_shared(self, raw: Raw) -> None:
        query = f"?ccpk={self.KEY.replace('%', '%25').replace('&', '%26').replace('#', '%23')}"
        query = query.replace("+", "%2B") + "&extensions=adopt,telepathy,results"
        config = raw(path="pushy/config/node7", query=query).json
        assert config["extensions"] == ["adopt", "results"]

    def test_a_users_session_key_is_another_each_time(self, raw: Raw) -> None:
        told = {self.ask(raw, self.KEY).json["encoded_session_key"]["key"] for _ in range(2)}
        assert len(told) == 2

    def test_the_session_key_of_a_node_stays(self, server: Sandbox) -> None:
        with zmq.Context() as context:
            agent = OldAgent(server, context, "config-node")
            first = agent.key
            agent.configure()
            agent.close()
        assert agent.key == first
        assert len(first) >= 16


def test_a_validator_creates_plain_clients_only_and_overwrites_none(
    server: Sandbox, raw: Raw
) -> None:
    validator = Raw(server)
    place = server.server_directory / "keys" / "sandbox-validator.pem"
    validator.key = key_files.read(place)
    signer: Any = {"user": "sandbox-validator"}
    new = {"name": "fresh", "create_key": True}
    for flag in ("admin", "validator"):
        assert validator("POST", "clients", {**new, flag: True}, **signer).status == 403
    first = validator("POST", "clients", new, **signer)
    assert (first.status, set(first.json)) == (201, {"uri", "private_key", "public_key"})
    assert validator("POST", "clients", new, **signer).status == 409
    wrong: tuple[Any, ...] = (
        {}, {"name": "../x", "create_key": True}, {"name": "."}, [],
    )  # fmt: skip
    for bad in wrong:
        assert validator("POST", "clients", _json(bad), **signer).status == 400
    assert validator(**signer).status == 403
    assert enroll(server, "another").client_name == "another"
