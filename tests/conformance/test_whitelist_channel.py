"""What travels on the command channel about whitelists and checks, with scripted agents."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from pushcli.client.api import ApiClient
from pushcli.errors import RequestRefused
from pushcli.protocol import limits, wire
from pushcli.protocol.timestamps import format_rfc1123
from pushcli.sandbox.sandbox import Sandbox
from pushcli.whitelist import statements
from pushcli.whitelist.statements import Change
from pushcli_server import checks
from pushcli_server.rest import job_request
from tests.support import key_files
from tests.support.old_agent import OldAgent, availability
from tests.support.waiting import patient, until

pytestmark = pytest.mark.timeout(60)
MakeAgent = Callable[..., OldAgent]


@pytest.fixture
def make_agent(server: Sandbox, context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[MakeAgent]:
    agents = []

    def make(offers: str | None = "whitelist,checks", max_frame: int = -1) -> OldAgent:
        name = f"w{uuid.uuid4().hex[:8]}"
        agent = OldAgent(server, context, name, offers=offers, max_frame=max_frame)
        agents.append(agent)
        agent.come_online()
        return agent

    yield make
    for agent in agents:
        agent.close()


def edit(fleet: Sandbox, names: list[str], *changes: Change) -> dict[str, Any]:
    """Sign and send an edit with a client of its own: it waits for the agents."""
    signed = statements.sign(
        key_files.read(Path(fleet.profile.client_key)), org="sandbox", nodes=names,
        changes=list(changes), version=statements.next_version(time.time()),
        signer=fleet.profile.client_name,
    )  # fmt: skip
    said = [{"name": c.name, "value": c.value} for c in changes]
    client = ApiClient(fleet.profile)
    answer: dict[str, Any] = client.post(
        "pushy/whitelist", {"nodes": names, "changes": said, **msgspec.to_builtins(signed)}
    )
    client.close()
    return answer


def next_of(agent: OldAgent, kind: str, seconds: float = 8.0, **beat: Any) -> dict[str, Any]:
    """The next message of a type; heartbeats go on meanwhile."""
    deadline = time.monotonic() + patient(seconds)
    while time.monotonic() < deadline:
        agent.send("heartbeat", job_state="idle", **beat)
        message = agent.receive(0.2)
        if message is not None and message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} came")


def test_an_agent_hears_what_it_lacks_until_it_says_that_it_has_it(make_agent: MakeAgent) -> None:
    agent = make_agent()
    first = next_of(agent, "whitelist")
    assert (first["entries"], first["removed"], first["left_out"]) == ([], [], 0)
    # Lost, say: it comes again after a while, and no more once the digest is said.
    again = next_of(agent, "whitelist")
    assert again["digest"] == first["digest"]
    for _ in range(30):
        agent.send("heartbeat", job_state="idle", whitelist=first["digest"])
        message = agent.receive(0.2)
        assert message is None or message["type"] != "whitelist"


def test_an_edit_reaches_an_agent_at_once_and_waits_for_its_word(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    known = next_of(agent, "whitelist")["digest"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(edit, server, [agent.name], Change("a", "true"))
        message = next_of(agent, "whitelist", whitelist=known)
        [entry] = message["entries"]
        assert (entry["name"], entry["value"]) == ("a", "true")
        assert entry["record"]["signer"] == server.profile.client_name
        in_force = {"name": "a", "value": "true", "source": "server", "since": 1.5}
        agent.send("whitelist_report", digest=message["digest"], entries=[in_force])
        assert asked.result() == {"nodes": 1, "connected": 1, "in_force": 1, "not_in_force": {}}
    shown = server.api.get(f"pushy/whitelist/{agent.name}")["in_force"]
    assert shown["entries"] == [in_force]
    assert shown["digest"] == message["digest"]


def test_what_an_agent_refuses_is_the_answer_to_the_edit(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    known = next_of(agent, "whitelist")["digest"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(edit, server, [agent.name], Change("a", "true"))
        message = next_of(agent, "whitelist", whitelist=known)
        refusal = {"name": "a", "reason": "no editor of ours"}
        agent.send("whitelist_report", digest=message["digest"], refused=[refusal])
        assert asked.result()["not_in_force"] == {agent.name: "no editor of ours"}
    status = server.api.get(f"pushy/node_status/{agent.name}")["whitelist"]
    assert (status["entries"], status["refused"]) == (0, 1)


def test_an_agent_that_says_nothing_is_named_after_two_seconds(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    next_of(agent, "whitelist")
    begin = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(edit, server, [agent.name], Change("a", "true"))
        while not asked.done():
            agent.heartbeat()
            agent.receive(0.1)
    assert time.monotonic() - begin > 1.5
    assert "not confirmed" in asked.result()["not_in_force"][agent.name]


def test_an_old_agent_hears_nothing_of_it(server: Sandbox, make_agent: MakeAgent) -> None:
    agent = make_agent(offers=None)
    assert "extensions" not in agent.config
    answer = edit(server, [agent.name], Change("a", "true"))
    assert (answer["connected"], answer["not_in_force"]) == (0, {})
    for _ in range(10):
        agent.heartbeat()
        message = agent.receive(0.1)
        assert message is None or message["type"] not in {"whitelist", "check"}
    verdict = server.api.post("pushy/checks", {"command": "x", "nodes": [agent.name]})
    assert verdict["nodes"][agent.name]["state"] == "unknown"


def test_a_report_in_rehab_or_twice_does_no_harm(server: Sandbox, make_agent: MakeAgent) -> None:
    agent = make_agent()
    for _ in range(3):
        agent.send("whitelist_report", digest=None, error="agent.toml, line 3: no")
        agent.heartbeat()

    def error() -> Any:
        agent.heartbeat()
        whitelist = server.api.get(f"pushy/node_status/{agent.name}")["whitelist"]
        return (whitelist or {}).get("error")

    until(lambda: error() == "agent.toml, line 3: no", "the error is shown")
    assert server.api.node_state(agent.name)["availability"] == "available"


@pytest.mark.parametrize("ready", [True, False])
def test_a_check_is_answered_by_the_agent(
    server: Sandbox, make_agent: MakeAgent, ready: bool
) -> None:
    agent = make_agent()
    client = ApiClient(server.profile)
    body = {"command": "uptime", "nodes": [agent.name], "user": "root"}
    said: dict[str, Any] = {"ready": True, "entry": "uptime", "source": "local", "runs": "uptime"}
    said = said if ready else {"reason": "no"}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, "pushy/checks", body)
        check = next_of(agent, "check")
        assert (check["command"], check["user"]) == ("uptime", "root")
        assert check["requestor"] == server.profile.client_name
        # Answers that nobody waits for mean nothing.
        agent.send("checked", check_id="another", ready=True)
        agent.send("checked", check_id=check["check_id"], **said)
        agent.send("checked", check_id=check["check_id"], ready=not ready)
        verdict = asked.result()["nodes"][agent.name]
    client.close()
    assert verdict["state"] == ("ready" if ready else "nacked")
    assert server.api.node_state(agent.name)["availability"] == "available"


@pytest.mark.parametrize(
    ("offers", "more", "reason"),
    [
        ("checks,policy", {"stdin": True}, "its agent is too old for --stdin"),
        ("checks,policy,stdin", {"env": {"A": ""}, "secrets": True}, "too old for --secret-env"),
    ],
)
def test_an_agent_that_could_not_run_it_is_not_asked(
    server: Sandbox, make_agent: MakeAgent, offers: str, more: dict[str, Any], reason: str
) -> None:
    agent = make_agent(offers)
    body = {"command": "x", "nodes": [agent.name], **more}
    verdict = server.api.post("pushy/checks", body)["nodes"][agent.name]
    assert verdict["state"] == "nacked"
    assert reason in verdict["reason"]


@pytest.mark.parametrize("offers", ["checks,policy", "checks,policy,editors"])
@pytest.mark.parametrize(
    "large",
    [
        {"command": "x" * 900_000},
        {"command": "x" * limits.MAX_RUN},
        {"user": "x" * 400_000},
        {"dir": "x" * 400_000},
        {"env": {"A": "x" * 400_000}},
        {"env": {f"A{number}": "" for number in range(40_000)}},
        {"command": "\1" * 50_000},
    ],
    ids=["command", "just", "user", "dir", "value", "names", "escaped"],
)
def test_a_check_that_no_message_could_carry_is_refused_and_costs_no_connection(
    server: Sandbox, make_agent: MakeAgent, large: dict[str, Any], offers: str
) -> None:
    most = wire.MAX_BODY_FROM_SERVER if "editors" in offers else wire.MAX_BODY_TO_EARLIER
    agent = make_agent(offers, most + wire.MAX_HEADER)
    with pytest.raises(RequestRefused, match=re.escape(job_request.SIZE)):
        server.api.post("pushy/checks", {"command": "x", "nodes": [agent.name], **large})
    assert answered(server, agent, "x")["state"] == "ready"


def test_the_largest_check_reaches_the_earliest_agent(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent("checks,policy", wire.MAX_MESSAGE)
    assert answered(server, agent, "x" * (limits.MAX_RUN - 1000))["state"] == "ready"


def test_a_node_that_cannot_be_asked_is_unavailable_at_once(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    gone, there = make_agent("checks"), make_agent("checks")
    gone.close()

    def reason() -> Any:
        there.heartbeat()
        body = {"command": "x", "nodes": [gone.name]}
        return server.api.post("pushy/checks", body)["nodes"][gone.name]

    # Once the server has seen that the connection is closed, and before the node is offline.
    until(lambda: reason() == {"state": "unavailable", "reason": checks.NOT_SENT}, "it says so")


def answered(server: Sandbox, agent: OldAgent, command: str) -> dict[str, Any]:
    """The verdict on a command that the agent would run."""
    client = ApiClient(server.profile)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            client.post, "pushy/checks", {"command": command, "nodes": [agent.name]}
        )
        check = next_of(agent, "check")
        assert check["command"] == command
        agent.send("checked", check_id=check["check_id"], ready=True)
        verdict: dict[str, Any] = asked.result()["nodes"][agent.name]
    client.close()
    return verdict


def test_an_agent_that_does_not_answer_a_check_is_unavailable(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    client = ApiClient(server.profile)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, "pushy/checks", {"command": "x", "nodes": [agent.name]})
        while not asked.done():
            agent.heartbeat()
            agent.receive(0.1)
    client.close()
    assert asked.result()["nodes"][agent.name]["reason"] == "its agent did not answer"


def send_nested_report(agent: OldAgent, depth: int) -> None:
    """A report that decodes, with an entry nested so deep that it may not encode again."""
    agent.sequence += 1
    value = "[" * depth + "]" * depth
    agent.send_raw(
        (
            f'{{"type":"whitelist_report","node":"{agent.name}","org":"sandbox",'
            f'"incarnation_id":"{agent.incarnation}","sequence":{agent.sequence},'
            f'"timestamp":"{format_rfc1123(time.time())}",'
            f'"entries":[{{"name":"x","source":"local","since":1,"value":{value}}}]}}'
        ).encode()
    )


def test_what_cannot_be_recorded_of_a_node_costs_it_nothing_else(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    server.wait_available([agent.name])
    until(lambda: availability(server, agent) == ("offline", "unavailable"))
    # The first message after a silence also sets the alarm of the next one: that is to be one
    # that just decodes.
    for depth in range(110, 90, -1):
        send_nested_report(agent, depth)
    until(lambda: availability(server, agent) != ("offline", "unavailable"))
    until(lambda: availability(server, agent) == ("offline", "unavailable"))


# --- what of a job its caller may choose


def test_an_agent_reports_what_it_knows_and_what_is_open(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    agent = make_agent("whitelist,policy")
    agent.send("whitelist_report", digest=None, keys=["command_line", "env"], open=["dir"])

    def status() -> Any:
        agent.heartbeat()
        return server.api.get(f"pushy/node_status/{agent.name}")

    until(lambda: status().get("open") == ["dir"], "it is shown")
    assert "open" not in status()["whitelist"]
    shown = server.api.get(f"pushy/whitelist/{agent.name}")["in_force"]
    assert (shown["keys"], shown["open"]) == (["command_line", "env"], ["dir"])


def test_of_an_agent_of_0_1_0_nothing_is_said(server: Sandbox, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.send("whitelist_report", digest=None)

    def report() -> Any:
        agent.heartbeat()
        return server.api.get(f"pushy/whitelist/{agent.name}")["in_force"]

    until(report, "it is shown")
    assert "keys" not in server.api.get(f"pushy/whitelist/{agent.name}")["in_force"]
    assert "open" not in server.api.get(f"pushy/node_status/{agent.name}")


@pytest.mark.parametrize("more", [{"keys": ["x"] * 65}, {"open": ["x" * 65]}, {"keys": [1]}])
def test_a_report_out_of_bounds_is_dropped(
    server: Sandbox, make_agent: MakeAgent, more: dict[str, Any]
) -> None:
    agent = make_agent("whitelist,policy")
    agent.send("whitelist_report", digest=None, **more)
    agent.send("whitelist_report", digest=None, error="the next one counts")

    def error() -> Any:
        agent.heartbeat()
        return (server.api.get(f"pushy/whitelist/{agent.name}")["in_force"] or {}).get("error")

    until(lambda: error() == "the next one counts", "the next one counts")
    assert "keys" not in server.api.get(f"pushy/whitelist/{agent.name}")["in_force"]


@pytest.mark.parametrize("offers", ["checks", "checks,policy"])
def test_an_environment_is_checked_by_agents_that_can(
    server: Sandbox, make_agent: MakeAgent, offers: str
) -> None:
    agent = make_agent(offers)
    client = ApiClient(server.profile)
    body = {"command": "x", "nodes": [agent.name], "env": {"A": "1"}}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, "pushy/checks", body)
        if "policy" in offers:
            check = next_of(agent, "check")
            assert check["env"] == {"A": "1"}
            agent.send("checked", check_id=check["check_id"], ready=True)
        verdict = asked.result()["nodes"][agent.name]
        assert verdict["state"] == ("ready" if "policy" in offers else "unknown")
        # Without an environment either can say.
        asked = pool.submit(client.post, "pushy/checks", {**body, "env": {}})
        check = next_of(agent, "check")
        assert not check.get("env")
        agent.send("checked", check_id=check["check_id"], ready=True)
        assert asked.result()["nodes"][agent.name]["state"] == "ready"
    client.close()


@pytest.mark.parametrize("offers", [None, "reason", "policy"])
@pytest.mark.parametrize("exact", [True, False])
def test_only_agents_that_know_of_it_are_asked_for_exact_variables(
    server: Sandbox, make_agent: MakeAgent, offers: str | None, exact: bool
) -> None:
    agent = make_agent(offers)
    client = ApiClient(server.profile)
    job: dict[str, Any] = {"command": "x", "nodes": [agent.name], "env": {"A": "1"}}
    options = {"pushcli": {"exact_env": True}} if exact else {}
    server.wait_available([agent.name])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.start_job, {**job, **options})
        commit = next_of(agent, "commit")
        agent.send("nack_commit", job_id=commit["job_id"])
        job_id = asked.result()
    assert commit.get("exact_env") == (True if exact and offers == "policy" else None)
    assert commit["env"] == {"A": "1"}
    shown = client.get(f"pushy/jobs/{job_id}")
    assert "pushcli" not in shown
    assert "exact_env" not in shown
    client.close()
