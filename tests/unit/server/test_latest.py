"""Whatever a node says, and however often: one write is on its way, and one waits."""

import asyncio

from pushcli_server.core.identity import NodeKey
from pushcli_server.latest import Latest
from pushcli_server.store.operations import Operation, SetAutomatic

A, B = NodeKey("acme", "a"), NodeKey("acme", "b")


class Database:
    """A store whose commits a test gives."""

    def __init__(self) -> None:
        self.committed = 0
        self.submitted: list[Operation] = []

    def submit(self, *operations: Operation) -> int:
        self.submitted += operations
        return len(self.submitted)


def fact(node: NodeKey, number: int) -> SetAutomatic:
    return SetAutomatic(org=node.org, name=node.name, automatic=str(number))


def test_while_one_is_on_its_way_only_the_last_of_the_others_is_kept() -> None:
    async def scenario() -> None:
        database = Database()
        writes = Latest(database)  # type: ignore[arg-type]
        for number in range(1000):
            writes.submit(A, fact(A, number))
        writes.submit(B, fact(B, 0))
        assert database.submitted == [fact(A, 0), fact(B, 0)]
        await asyncio.sleep(0.25)
        assert len(database.submitted) == 2
        database.committed = 2
        await asyncio.sleep(0.25)
        assert database.submitted == [fact(A, 0), fact(B, 0), fact(A, 999)]
        database.committed = 3
        writes.submit(A, fact(A, 5))
        assert database.submitted[3:] == [fact(A, 5)]

    asyncio.run(scenario())


def test_what_waits_is_never_written_over_what_came_later() -> None:
    async def scenario() -> None:
        database = Database()
        writes = Latest(database)  # type: ignore[arg-type]
        writes.submit(A, fact(A, 1))
        writes.submit(A, fact(A, 2))
        database.committed = 1
        writes.submit(A, fact(A, 3))
        database.committed = 2
        await asyncio.sleep(0.25)
        assert database.submitted == [fact(A, 1), fact(A, 3)]

    asyncio.run(scenario())


def test_what_waits_goes_with_its_node() -> None:
    async def scenario() -> None:
        database = Database()
        writes = Latest(database)  # type: ignore[arg-type]
        for node in (A, B):
            writes.submit(node, fact(node, 1))
            writes.submit(node, fact(node, 2))
        writes.forget(A)
        database.committed = 2
        await asyncio.sleep(0.25)
        assert database.submitted == [fact(A, 1), fact(B, 1), fact(B, 2)]

    asyncio.run(scenario())
