"""What monitoring is told of a running server."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli_server.rest.errors import Refused
from pushcli_server.rest.monitoring import MonitoringHandlers
from pushcli_server.settings import Settings
from pushcli_server.store import Store
from pushcli_server.store import store as store_module
from tests.support import postgresql, stored
from tests.support.fleet import Fleet
from tests.support.postgresql import on_sqlite, throw_away_database
from tests.support.waiting import job_is, start, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One node that is there, and one that is not."""
    directory = tmp_path_factory.mktemp("fleet")
    whitelist = {"true": "true", "sleep": "sleep 60"}
    settings = {"heartbeat_interval": 250}
    with Fleet(directory, ["n1"], whitelist=whitelist, settings=settings) as fleet:
        yield fleet


def root(fleet: Sandbox) -> str:
    return fleet.url.partition("/organizations/")[0]


def ask(fleet: Sandbox, path: str, **headers: str) -> requests.Response:
    return requests.get(root(fleet) + path, headers=headers, timeout=10)


def measured(fleet: Sandbox) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    answer = ask(fleet, "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_measurements_tell_of_nodes_jobs_messages_and_the_machine(fleet: Sandbox) -> None:
    job = start(fleet, "true", "n1")
    job_is(fleet, job, "complete")
    found = measured(fleet)
    assert found["pushcli_nodes", ORG, "available"] == 1
    assert ("pushcli_jobs", ORG, "running") not in found
    assert found["pushcli_messages_received_total", "ack_commit"] == 1
    assert found["pushcli_messages_received_total", "heartbeat"] >= 1
    assert found["pushcli_store_commit_seconds_count",] >= 1
    assert found["pushcli_event_loop_lag_seconds_count",] >= 10
    assert found["pushcli_event_loop_busy_seconds_bucket", "+Inf"] >= 10
    assert found["pushcli_connections", "commands"] == 1
    assert found["pushcli_connections", "heartbeats"] == 0
    assert found["pushcli_connections", "rest"] >= 1
    assert found["pushcli_store_healthy",] == 1
    assert found["process_open_fds",] > 10
    assert found["process_max_fds",] > found["process_open_fds",]
    sleeping = start(fleet, "sleep", "n1")
    job_is(fleet, sleeping, "running")
    found = measured(fleet)
    assert found["pushcli_jobs", ORG, "running"] == 1
    assert found["pushcli_nodes", ORG, "busy"] == 1
    fleet.api.abort_job(sleeping)
    until(lambda: ("pushcli_nodes", ORG, "available") in measured(fleet), "the node is free")


def test_a_node_that_falls_silent_is_counted(fleet: Sandbox) -> None:
    assert ("pushcli_nodes_went_offline_total", ORG) not in measured(fleet)
    os.kill(fleet.pid("n1"), signal.SIGSTOP)
    try:
        until(
            lambda: measured(fleet).get(("pushcli_nodes_went_offline_total", ORG)) == 1,
            "the node counts as offline",
        )
    finally:
        os.kill(fleet.pid("n1"), signal.SIGCONT)


def test_refusals_are_counted_by_status(fleet: Sandbox) -> None:
    before = measured(fleet).get(("pushcli_http_answers_total", "404"), 0)
    for _ in range(3):
        assert ask(fleet, "/nothing").status_code == 404
    assert measured(fleet)["pushcli_http_answers_total", "404"] == before + 3


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_who_comes_through_a_proxy_sees_no_measurements(fleet: Sandbox, header: str) -> None:
    assert ask(fleet, "/metrics", **{header: "127.0.0.1"}).status_code == 404
    assert ask(fleet, "/healthz", **{header: "127.0.0.1"}).status_code == 200


@pytest.mark.parametrize(
    "settings",
    [{"monitoring_networks": ["192.0.2.0/24"]}, {"trusted_proxies": ["127.0.0.1"]}],
)
def test_other_addresses_and_proxies_see_no_measurements(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    with Fleet(tmp_path, [], settings=settings) as fleet:
        assert ask(fleet, "/metrics").status_code == 404
        assert ask(fleet, "/readyz").json() == {"status": "ready"}


@on_sqlite("it is about a lock on SQLite's file")
def test_a_server_that_cannot_store_is_alive_but_not_ready(tmp_path: Path) -> None:
    with Fleet(tmp_path, []) as fleet:
        assert ask(fleet, "/readyz").status_code == 200
        with stored.away(fleet):
            # Something to write; it will not be.
            fleet.cli("group", "create", "nobody")
            until(lambda: ask(fleet, "/readyz").status_code == 503, "it is noticed")
            refused = ask(fleet, "/readyz")
            why = "the database cannot be written: it is locked by another process"
            assert refused.json() == {"error": [why]}
            assert ask(fleet, "/healthz").json() == {"status": "ok"}
            found = measured(fleet)
            assert found["pushcli_store_healthy",] == 0
            assert found["pushcli_store_commit_failures_total",] >= 1
        until(lambda: ask(fleet, "/readyz").status_code == 200, "it is ready again")


def test_a_server_whose_database_is_away_is_not_ready_though_nobody_writes(tmp_path: Path) -> None:
    with (
        throw_away_database() as url,
        Fleet(tmp_path, [], settings={"database_url": url}) as fleet,
    ):
        assert ask(fleet, "/readyz").status_code == 200
        with postgresql.away(url):
            until(lambda: ask(fleet, "/readyz").status_code == 503, "it is noticed")
            until(lambda: not measured(fleet)["pushcli_store_healthy",], "that is measured")
            why = "the database cannot be written: it cannot be reached"
            assert ask(fleet, "/readyz").json() == {"error": [why]}
            assert ask(fleet, "/healthz").json() == {"status": "ok"}
        until(lambda: ask(fleet, "/readyz").status_code == 200, "it is ready again")
        assert measured(fleet)["pushcli_store_healthy",] == 1


def test_what_the_process_uses_is_measured_anew_each_time(fleet: Sandbox) -> None:
    def open_ones() -> float:
        return measured(fleet)["process_open_fds",]

    before = open_ones()
    assert before > 0
    host, port = fleet.url.split("/")[2].split(":")
    with contextlib.ExitStack() as held:
        for _ in range(5):
            held.enter_context(socket.create_connection((host, int(port))))
        until(lambda: open_ones() >= before + 5, "they are counted")


def test_each_measurement_stands_in_the_documentation(fleet: Sandbox) -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    families = text_string_to_metric_families(ask(fleet, "/metrics").text)
    ours = {f.name for f in families if f.name.startswith("pushcli_")}
    assert len(ours) > 10
    assert [name for name in sorted(ours) if f"`{name}" not in page] == []


def handlers(directory: Path) -> tuple[Store, MonitoringHandlers]:
    """What answers, without a server around it."""
    url = f"sqlite:///{directory}/pushcli.db"
    Store.create(url, directory)
    store = Store.open(url, directory)
    settings = Settings(monitoring_networks=["127.0.0.0/8", "fe80::/10"])
    return store, MonitoringHandlers(CollectorRegistry(), store, settings)


def asked_by(host: str) -> Request:
    return Request({"type": "http", "client": (host, 1), "headers": []})


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1", "fe80::1%eth0"])
def test_an_address_is_the_same_however_a_socket_writes_it(tmp_path: Path, host: str) -> None:
    _, answers = handlers(tmp_path)
    assert asyncio.run(answers.metrics(asked_by(host))).status_code == 200


@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1", "::1", "", "%127.0.0.1"])
def test_no_other_address_is_among_them(tmp_path: Path, host: str) -> None:
    _, answers = handlers(tmp_path)
    with pytest.raises(Refused):
        asyncio.run(answers.metrics(asked_by(host)))


def test_a_server_whose_database_has_too_much_to_do_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, answers = handlers(tmp_path)

    async def scenario() -> None:
        store.start(asyncio.get_running_loop(), lambda _: None)
        assert (await answers.readiness(asked_by("192.0.2.1"))).status_code == 200
        monkeypatch.setattr(store_module, "MOST_WAITING", -1)
        with pytest.raises(Refused, match="too much waits"):
            await answers.readiness(asked_by("192.0.2.1"))
        await store.close()

    asyncio.run(scenario())
