"""Depth and size of what is nested, over REST and from a node: refused where it comes in."""

import json
import re
from typing import Any

import msgspec
import pytest
import zmq

from pushcli.protocol.nesting import MAX_DEPTH, MAX_VALUES
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import settings
from pushcli_server.rest.routes import Unsigned, routes
from tests.support.old_agent import OldAgent, enroll
from tests.support.raw_http import Raw
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(90)


class Nothing:
    """Services of which only the names are asked for."""

    def __getattr__(self, name: str) -> None:
        return None


WRITES = [
    (method, route.pattern.pattern)
    for route in routes(Nothing(), settings.Settings())  # type: ignore[arg-type]
    for method, operation in route.methods.items()
    if method in {"POST", "PUT"} and not isinstance(operation, Unsigned)
]


def deep(depth: int) -> bytes:
    return b'{"x":' * depth + b"1" + b"}" * depth


HOSTILE = [deep(500), deep(50_000), b"[" * 500_000, b'{"x":[' + b"[]," * (MAX_VALUES + 1) + b"[]]}"]


@pytest.fixture(scope="module")
def raw(server: Sandbox) -> Raw:
    return Raw(server)


def concrete(pattern: str) -> str:
    """A path that a route's pattern takes; nothing need be there."""
    path = re.sub(r"\(\?P<org>[^)]*\)", "sandbox", pattern)
    path = re.sub(r"\(\?P<job>[^)]*\)", "0" * 32, path)
    return re.sub(r"\(\?P<\w+>[^)]*\)", "stdout", path).replace("\\", "")


@pytest.mark.parametrize(("method", "pattern"), WRITES)
def test_no_route_reads_what_is_nested_without_end(raw: Raw, method: str, pattern: str) -> None:
    for body in HOSTILE:
        answer = raw(method, concrete(pattern), body)
        assert 400 <= answer.status < 500 or answer.status == 200, answer


@pytest.mark.parametrize("level", ["automatic", "normal", "default", "override"])
def test_a_node_object_is_bounded(raw: Raw, level: str) -> None:
    raw("DELETE", "nodes/deep")
    inner: Any = json.loads(deep(MAX_DEPTH - 1))
    fits = {"name": "deep", level: inner}
    assert raw("POST", "nodes", fits).status == 201
    answer = raw("PUT", "nodes/deep", {"name": "deep", level: {"y": inner}})
    assert (answer.status, answer.error) == (
        400,
        [f"invalid node: nested more than {MAX_DEPTH} deep"],
    )
    assert raw("GET", "nodes/deep").json[level] == inner


def test_a_nodes_own_whitelist_hurts_nobody(
    server: Sandbox, raw: Raw, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    agent = OldAgent(server, context, "nested", offers="facts,whitelist")
    agent.come_online()
    whitelist = {"x": json.loads(deep(MAX_DEPTH - 4)), "up": "uptime"}
    raw("DELETE", "nodes/nested")
    made = raw(
        "POST", "nodes", {"name": "nested", "normal": {"push_jobs": {"whitelist": whitelist}}}
    )
    assert made.status == 201, made
    agent.heartbeat()
    until(lambda: _entries_of(of_type(agent, "whitelist")) == ["up"], "it is sent")
    shown = raw("GET", "pushy/whitelist/nested").json
    assert [entry["name"] for entry in shown["entries"]] == ["up"]
    assert raw("GET", "pushy/node_status").status == 200
    agent.close()


def _entries_of(message: dict[str, Any] | None) -> list[str]:
    return [] if message is None else [entry["name"] for entry in message["entries"]]


def of_type(agent: OldAgent, kind: str) -> dict[str, Any] | None:
    message = agent.receive(0.2)
    return message if message is not None and message["type"] == kind else None


def test_a_message_nested_without_end_is_dropped(
    server: Sandbox, raw: Raw, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    agent = OldAgent(server, context, "nester", offers="facts")
    agent.come_online()
    for depth in (MAX_DEPTH + 1, 500, 5000):
        agent.send("facts", automatic=msgspec.Raw(deep(depth)))
    agent.send("facts", automatic={"fqdn": "here"})
    until(lambda: b"here" in raw("GET", "nodes/nester").body, "what follows counts")
    assert "Traceback" not in server.log("server").read_text()
    assert "nested too deep" in server.log("server").read_text()
    agent.close()


def test_enrolment_is_bounded_too(server: Sandbox, raw: Raw) -> None:
    enroll(server, "x-nested")
    answer = raw("POST", "enroll", deep(500))
    assert answer.status < 500
