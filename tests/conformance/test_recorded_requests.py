"""The requests that the original programs sent, replayed to a real server."""

import asyncio
import calendar
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import settings
from pushcli_server.store import Store, operations
from tests.support import recordings
from tests.support.fleet import Fleet
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
REQUESTS = recordings.requests()
GROUPS = ("admins", "pushy_job_readers", "pushy_job_writers")


def signed_at(request: dict[str, Any]) -> float:
    timestamp = request["headers"]["x-ops-timestamp"]
    return calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ"))


# Recorded over an hour: a server accepts 900 s either way, so one is started for each part.
MOMENTS = sorted({round(signed_at(request) / 900) * 900 for request in REQUESTS})


async def fill(place: Path) -> None:
    store = Store.open(settings.load(place).database(place), place / "blobs")
    store.start(asyncio.get_running_loop(), lambda _: None)
    public = {request["signer"]: request["public_key"] for request in REQUESTS}
    await store.write(operations.CreateOrganization("acme"))
    await store.write(*(operations.CreateGroup("acme", group) for group in GROUPS))
    for user in ("knifeuser", "pedant_admin_user"):
        await store.write(
            operations.CreateUser(name=user, public_key=public[user]),
            operations.AssociateUser("acme", user),
            *(operations.AddMember("acme", group, "user", user) for group in GROUPS),
        )
    await store.write(operations.CreateClient(org="acme", name="node1", public_key=public["node1"]))
    await store.close()


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """For each moment the port of a server that lives in it."""
    fleets = {moment: Fleet(tmp_path_factory.mktemp("then"), []) for moment in MOMENTS}
    processes = []
    try:
        for moment, fleet in fleets.items():
            fleet.make_server()
            asyncio.run(fill(fleet.server_directory))
            processes.append(started(fleet, moment))
        yield {moment: fleet.ports[0] for moment, fleet in fleets.items()}
    finally:
        for process in processes:
            process.terminate()
            process.communicate()


def started(fleet: Sandbox, moment: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.clocked_server",
         str(fleet.server_directory), str(moment)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    # What is logged before that is told on the same descriptor.
    assert any("ready" in line for line in process.stderr), "it did not start"
    return process


def replay(port: int, request: dict[str, Any]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(10))
    query = f"?{request['query']}" if request["query"] else ""
    connection.putrequest(
        request["method"], request["path"] + query, skip_host=True, skip_accept_encoding=True
    )
    for name, value in request["headers"].items():
        if name not in {"connection", "content-length"}:
            connection.putheader(name, value)
    body = request["body"].encode()
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request["name"])
def test_a_recorded_request_is_accepted(ports: dict[int, int], request_: dict[str, Any]) -> None:
    moment = round(signed_at(request_) / 900) * 900
    status, body = replay(ports[moment], request_)
    path = request_["path"].rstrip("/").partition("/pushy/")[2]
    match request_["method"], path:
        case "POST", "jobs":
            assert status == 201, body
            assert list(json.loads(body)) == ["uri"]
        case "GET", "config/node1":
            assert status in {200, 401}, body
            if status == 200:
                assert json.loads(body)["node"] == "node1"
            else:
                # One of them was signed before another that was replayed already.
                assert b"newer request" in body
        case "GET", "jobs":
            assert (status, type(json.loads(body))) == (200, list)
        case "GET", "node_states" | "node_states/node1":
            assert status == 200
        case "GET", _ if "/search/node" in request_["path"]:
            assert (status, json.loads(body)["total"]) == (200, 0)
        case _:
            # Jobs of the recording: but who asked, and that he may, was found out before.
            assert status == 404, body
