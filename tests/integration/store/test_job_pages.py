"""Jobs are found a page at a time, on both databases."""

from typing import Any

import pytest

from pushcli_server.store import Store, job_pages, operations
from pushcli_server.store.job_pages import Wanted
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS, job

OTHER = "f" * 32
BATCH = "b" * 32
ENDS = {3: ["succeeded", "nacked", "succeeded", "unavailable"], 2: ["unavailable"] * 3,
        6: ["succeeded"] * 6 + ["crashed"], 7: ["timed_out"] + ["succeeded"] * 7,
        4: ["succeeded"] * 5, 5: ["aborted"] * 6}  # fmt: skip
"""States of the nodes of some of the jobs; of the others the first one failed."""


def job_id(number: int) -> str:
    """Ids whose order is not that of their creation."""
    return f"{number * 7 % 10:x}{number:031x}"


async def fill(store: Store, **by_number: dict[str, Any]) -> None:
    """Ten jobs of acme, one a second (two in the same one), and one of another organization."""
    await store.write(*ORGS)
    for number in range(10):
        more = {
            "created_at": float(max(1, number)), "updated_at": float(number + 3),
            "command": f"deploy {number}" if number % 2 else "chef-client",
            "requestor": "ann" if number % 3 else "client bob", "owner": "ann" if number % 3 else
            "bob", "owner_kind": "user" if number % 3 else "client", "status": "complete",
            "request_id": str(number),
            # A job without a quorum may be complete though no node took part.
            "quorum": 0 if number == 2 else 1, **by_number.get(f"job{number}", {}),
        }  # fmt: skip
        usual = ["failed", *["succeeded"] * number]
        nodes = [(f"web{n}", state) for n, state in enumerate(ENDS.get(number, usual))]
        store.submit(operations.InsertJob(job(job_id(number), **more), nodes))
    store.submit(operations.InsertJob(job(OTHER, org="other", created_at=9.0), [("web9", "new")]))


def ids(page: job_pages.Page) -> list[int]:
    return [int(one.job.id[1:], 16) for one in page.jobs]


WANTED: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ({"limit": 3}, [9, 8, 7]),
    ({"statuses": ("running",)}, [4]),
    ({"statuses": ("running", "aborted")}, [5, 4]),
    ({"statuses": ("failed",)}, [9, 8, 7, 6, 2, 1, 0]),
    ({"statuses": ("succeeded",)}, [3]),
    ({"statuses": ("succeeded", "failed")}, [9, 8, 7, 6, 3, 2, 1, 0]),
    ({"statuses": ("succeeded", "running")}, [4, 3]),
    ({"statuses": ("failed", "aborted"), "limit": 2}, [9, 8]),
    ({"batch": BATCH}, [8, 7]),
    ({"batch": OTHER}, []),
    ({"requestor": "bob"}, [9, 6, 3, 0]),
    ({"requestor": "bob", "requestor_kind": "user"}, []),
    ({"requestor_kind": "client", "limit": 1}, [9]),
    ({"owner": ("client", "bob")}, [9, 6, 3, 0]),
    ({"owner": ("user", "bob")}, []),
    ({"owner": ("user", "ann"), "requestor": "bob"}, []),
    ({"command": "chef*"}, [8, 6, 4, 2, 0]),
    ({"command": "deploy [37]", "limit": 1}, [7]),
    ({"command": "deploy"}, []),
    ({"command": "DEPLOY*"}, []),
    ({"node": "web8"}, [9, 8]),
    ({"node": "web"}, []),
    ({"since": 8.0}, [9, 8]),
    ({"id_prefix": job_id(5)[:4]}, [5]),
    ({"id_prefix": job_id(5)}, [5]),
    ({"id_prefix": "ffff"}, []),
    ({"after": (1.0, job_id(1))}, [0]),
    ({"after": (9.0, OTHER)}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ({"after": (5.5, "0" * 32), "command": "chef*"}, [4, 2, 0]),
]


def test_what_is_wanted_comes_the_newest_first(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await fill(
            store, job4={"status": "running"}, job5={"status": "aborted"}, job7={"batch": BATCH},
            job8={"batch": BATCH},
        )  # fmt: skip
        for fields, numbers in WANTED:
            wanted = Wanted(**{"limit": 100, **fields})
            page = await store.lists.ask(job_pages.page, "acme", wanted)
            assert ids(page) == numbers, wanted
            assert (page.last is not None) is (wanted.limit < 100), wanted

    database.run(scenario)


def test_pages_follow_one_another_without_gap_or_repeat(database: Database) -> None:
    async def scenario(store: Store) -> list[int]:
        await fill(store)
        found: list[int] = []
        after = None
        while True:
            wanted = Wanted(limit=3, after=after)
            page = await store.lists.ask(job_pages.page, "acme", wanted)
            found += ids(page)
            if page.last is None:
                return found
            after = page.last

    assert database.run(scenario) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_page_counts_the_nodes_and_ends_early_where_they_are_many(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> tuple[job_pages.Page, job_pages.Page]:
        await fill(store)
        whole = await store.lists.ask(job_pages.page, "acme", Wanted(limit=10))
        monkeypatch.setattr(job_pages, "_NODES", 12)
        monkeypatch.setattr(job_pages, "_TOGETHER", 1)
        return whole, await store.lists.ask(job_pages.page, "acme", Wanted(limit=10))

    whole, short = database.run(scenario)
    assert whole.jobs[0].states == {"succeeded": 9, "failed": 1}
    assert whole.jobs[-1].states == {"failed": 1}
    assert ids(short) == [9, 8]
    assert short.last == (8.0, job_id(8))
