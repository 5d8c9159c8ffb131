"""What grows with what is stored holds up nobody else."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pushcli import keys
from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli_server import settings
from pushcli_server.rest.turns import MAX_WAITING
from pushcli_server.store import Store, operations, records
from tests.support.fleet import Fleet
from tests.support.raw_http import Answer, Raw
from tests.support.waiting import patient

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
JOBS = 3_000
NODES, FACTS = 40, 1_990
KEY = keys.generate()
START = {"command": "x", "nodes": ["nosuch"]}
LONG = " OR ".join(f"*:*a{number}?z*" for number in range(8))
HEAVY = " OR ".join(f"*:*a{number}?z*" for number in range(240))
"""Queries each of whose words looks at every fact."""
HEAVIER = " OR ".join(f"*:*b??b{number}z*" for number in range(240))
"""More than any machine does in the time that a search has: long values have many a b."""


async def fill(fleet: Sandbox) -> None:
    place = fleet.server_directory
    store = Store.open(settings.load(place).database(place), place / "blobs")
    store.start(asyncio.get_running_loop(), lambda _: None)
    await store.write(
        operations.CreateUser(name="bob", public_key=keys.public_pem(KEY)),
        operations.AssociateUser(ORG, "bob"),
    )
    for number in range(JOBS):
        record = records.JobRecord(
            id=f"{number:032x}", org=ORG, command=f"command {number}", status="complete", quorum=1,
            run_timeout=3600.0, requestor="bob", created_at=number / 3, updated_at=1.5,
        )  # fmt: skip
        store.submit(operations.InsertJob(record, []))
    for number in range(NODES):
        more = " b1" * 80 if number >= NODES // 2 else ""
        facts = {f"fact{fact}": f"value {fact} of {number}{more}" for fact in range(FACTS)}
        node = records.NodeObject(
            org=ORG, name=f"node{number}", chef_environment="_default", automatic=json.dumps(facts)
        )
        await store.write(operations.PutNode(node=node, create=True))
    await store.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    # Its jobs are of long ago.
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), [], settings={"job_retention": "forever"})
    fleet.make_server()
    asyncio.run(fill(fleet))
    fleet.start_server()
    yield fleet
    fleet.stop()


@pytest.fixture
def raw(fleet: Sandbox) -> Raw:
    return Raw(fleet)


def slowest(beside: Callable[[], object], *asked: Callable[[], Answer]) -> list[float]:
    """Seconds of the slowest of some requests of each kind while four others go on beside."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            beside()

    with ThreadPoolExecutor(4) as pool:
        going = [pool.submit(go_on) for _ in range(4)]
        time.sleep(0.5)
        took = [max(seconds(ask) for _ in range(10)) for ask in asked]
        over.set()
    for one in going:
        one.result()
    return took


def seconds(ask: Callable[[], Answer]) -> float:
    begin = time.monotonic()
    assert ask().status in {200, 201}
    return time.monotonic() - begin


def test_all_jobs_are_listed_oldest_first(raw: Raw) -> None:
    listed = raw()
    assert listed.status == 200
    assert listed.headers["content-type"] == "application/json"
    ids = [job["id"] for job in listed.json]
    assert ids[:JOBS] == [f"{number:032x}" for number in range(JOBS)]
    assert listed.json[7]["command"] == "command 7"


def test_a_job_starts_beside_those_who_list_jobs(raw: Raw) -> None:
    [took] = slowest(raw, lambda: raw("POST", body=START))
    assert took < patient(0.5)


def test_a_search_that_takes_too_long_is_given_up(raw: Raw) -> None:
    begin = time.monotonic()
    found = raw(path="search/node", query="?q=" + HEAVIER.replace(" ", "+"))
    assert time.monotonic() - begin < patient(8)
    assert (found.status, found.error) == (
        400, ["the search takes more than 5 s: name fields, and use fewer wildcards"],
    )  # fmt: skip


def test_nobody_waits_behind_one_who_searches_all_the_time(fleet: Sandbox, raw: Raw) -> None:
    """Not who starts jobs; and who searches for little gets his turn."""
    heavy = "?q=" + HEAVY.replace(" ", "+")
    other = Raw(fleet)
    other.key = KEY

    def ask() -> Answer:
        return other("POST", "search/node", {"n": ["fact7"]}, query="?q=name:node7", user="bob")

    assert ask().json["rows"][0]["data"] == {"n": "value 7 of 7"}
    start, search = slowest(
        lambda: raw(path="search/node", query=heavy), lambda: raw("POST", body=START), ask
    )
    assert start < patient(0.5)
    assert search < patient(1.0)


def test_who_searches_too_often_at_once_is_told(raw: Raw) -> None:
    long = "?q=" + LONG.replace(" ", "+")
    more = 16
    with ThreadPoolExecutor(MAX_WAITING + more) as pool:
        asked = [
            pool.submit(raw, path="search/node", query=long) for _ in range(MAX_WAITING + more)
        ]
        found = [one.result() for one in asked]
    refused = [each for each in found if each.status == 503]
    assert len(refused) >= more / 2
    assert {each.error[0] for each in refused} == {"too many searches at once; try again"}
    assert {each.headers["retry-after"] for each in refused} == {"1"}


def test_a_search_gives_all_its_rows_however_many(raw: Raw) -> None:
    found = raw(path="search/node", query="?q=name:node*")
    assert (found.json["total"], found.json["start"]) == (NODES, 0)
    names = [row["name"] for row in found.json["rows"]]
    assert names == sorted(f"node{number}" for number in range(NODES))
    assert len(found.json["rows"][0]["automatic"]) == FACTS
    some = raw(path="search/node", query="?q=name:node*&start=10&rows=3").json
    assert [row["name"] for row in some["rows"]] == names[10:13]
    none = raw(path="search/node", query="?q=name:nosuch").json
    assert none == {"total": 0, "start": 0, "rows": []}
