"""Enrolments that come all at once: few are worked on, many wait, more are turned away."""

import asyncio
from typing import Any

import pytest

from pushcli_server.rest import enroll
from pushcli_server.rest.enroll import EnrolmentHandlers
from pushcli_server.rest.errors import Refused
from pushcli_server.rest.request import Asked
from pushcli_server.settings import Settings


class SlowStore:
    """Knows no organization, and says so when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def ask(self, *question: object) -> bool:
        self.asked += 1
        await self.may_answer.wait()
        return False


def test_unauthenticated_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enroll, "MAX_WAITING", 20)

    async def scenario() -> None:
        store: Any = SlowStore()
        enrolments = EnrolmentHandlers(store, Settings())
        http: Any = None
        asked = Asked(http=http, body=b"{}", org="acme", path={}, at=0.0, origin="", scheme="http")
        tasks = [asyncio.create_task(enrolments.enroll(asked)) for _ in range(25)]
        await asyncio.sleep(0)
        done, _ = await asyncio.wait(tasks, timeout=0.1)
        assert store.asked == enroll.AT_ONCE
        assert [_status(task) for task in done] == [503] * 5
        store.may_answer.set()
        await asyncio.wait(tasks)
        assert sorted(_status(task) for task in tasks) == [404] * 20 + [503] * 5

    asyncio.run(scenario())


def _status(task: "asyncio.Task[Any]") -> int:
    error = task.exception()
    assert isinstance(error, Refused)
    return error.status
