"""Sharing among requestors."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pushcli_server.rest import turns
from pushcli_server.rest.errors import Refused
from pushcli_server.rest.turns import MAX_WAITING, Shares


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 10))


async def holding(shares: Shares, who: str, until: asyncio.Event, amount: int = 1) -> None:
    async with shares.share(who, amount):
        await until.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_one_requestor_waits_for_himself_and_not_for_others() -> None:
    async def scenario() -> None:
        shares, over = Shares(2, 1, "searches"), asyncio.Event()
        first, second, other = (
            asyncio.create_task(holding(shares, who, over)) for who in ("ann", "ann", "bob")
        )
        await settle()
        assert shares.left == 0
        over.set()
        await asyncio.gather(first, second, other)
        assert shares.left == 2

    run(scenario)


def test_what_does_not_fit_waits_until_enough_is_returned() -> None:
    async def scenario() -> None:
        shares, first_over, second_over = Shares(10, 10, "x"), asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(holding(shares, "ann", first_over, 6))
        second = asyncio.create_task(holding(shares, "bob", second_over, 6))
        await settle()
        assert shares.left == 4
        first_over.set()
        await first
        await settle()
        assert shares.left == 4
        second_over.set()
        await second
        assert shares.left == 10

    run(scenario)


def test_more_than_may_wait_are_refused_at_once() -> None:
    async def scenario() -> None:
        shares, over = Shares(5, 1, "searches"), asyncio.Event()
        waiting = [
            asyncio.create_task(holding(shares, "ann", over)) for _ in range(1 + MAX_WAITING)
        ]
        await settle()
        with pytest.raises(Refused) as caught:
            async with shares.share("ann"):
                pass
        assert (caught.value.status, caught.value.error) == (
            503, ["too many searches at once; try again"],
        )  # fmt: skip
        async with shares.share("bob"):
            pass
        over.set()
        await asyncio.gather(*waiting)

    run(scenario)


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT", 0.05)

    async def scenario() -> None:
        shares, over = Shares(1, 1, "searches"), asyncio.Event()
        holder = asyncio.create_task(holding(shares, "ann", over))
        await settle()
        with pytest.raises(Refused):
            async with shares.share("bob"):
                pass
        over.set()
        await holder
        assert shares.left == 1

    run(scenario)


def test_what_fails_returns_its_share() -> None:
    async def scenario() -> None:
        shares = Shares(1, 1, "x")
        with pytest.raises(ValueError, match="no"):
            async with shares.share("ann"):
                raise ValueError("no")
        assert shares.left == 1

    run(scenario)
