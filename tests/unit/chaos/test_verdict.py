"""What chaos complains of. A verdict that overlooks something makes every run green."""

from typing import Any

import pytest

from tests.chaos.store import Ended
from tests.chaos.verdict import Facts, complaints

KEY = ("j", "n")
GOOD = Ended("j", "complete", "short", True, "n", "succeeded", None, 0, None, True, None)


def judged(part: Ended, began: int, ended: int, **facts: Any) -> list[str]:
    """What is wrong with one part of a real node."""
    real = {"real": frozenset({"n"}), **facts}
    found = complaints([part], Facts(began={KEY: began}, ended={KEY: ended}, **real))
    return [line.rpartition(": ")[2] for line in found]


@pytest.mark.parametrize(
    ("part", "began", "ended"),
    [
        (GOOD, 1, 1),
        (GOOD._replace(command="fails", state="failed", exit_code=3), 1, 1),
        (GOOD._replace(state="failed", exit_code=None, reported=False), 0, 0),
        (GOOD._replace(state="was_ready", exit_code=None, reported=False), 0, 0),
        (GOOD._replace(state="crashed", exit_code=None, reported=False), 0, 0),
        (GOOD._replace(state="aborted", status="aborted", exit_code=None), 1, 0),
        (GOOD._replace(state="timed_out", status="timed_out", late={"succeeded": True}), 1, 1),
    ],
)
def test_nothing_is_wrong(part: Ended, began: int, ended: int) -> None:
    assert judged(part, began, ended) == []


@pytest.mark.parametrize(
    ("part", "began", "ended", "expected"),
    [
        (GOOD, 2, 1, "it began 2 times"),
        (GOOD, 0, 0, "it began 0 times and ended 0 times"),
        (GOOD._replace(state="running"), 1, 0, "it is not over"),
        (GOOD._replace(status="running"), 1, 1, "it is not over"),
        (GOOD._replace(exit_code=3), 1, 1, "exit code 3 for 0"),
        (GOOD._replace(state="unavailable", reported=False), 1, 0, "it was told to run"),
        (
            GOOD._replace(state="failed", exit_code=None, reported=False), 1, 0,
            "it refused to run, and ran",
        ),
        (
            GOOD._replace(state="crashed", reported=False), 1, 1,
            "it ended, and its result is lost",
        ),
        (
            GOOD._replace(state="crashed", late={"succeeded": True}), 1, 1,
            "it ended, and nobody could know of a crash",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(part: Ended, began: int, ended: int, expected: str) -> None:
    assert expected in judged(part, began, ended)


def test_a_killed_supervisor_leaves_nobody_to_tell() -> None:
    part = GOOD._replace(state="crashed", reported=False)
    assert judged(part, 1, 1, killed=frozenset({KEY})) == []


def test_an_acknowledged_result_that_is_not_stored_is_lost() -> None:
    part = GOOD._replace(state="aborted", reported=False)
    found = judged(part, 1, 1, acknowledged=frozenset({KEY}), real=frozenset())
    assert found == ["its result was acknowledged and is lost"]


def test_a_command_that_nobody_knows_of_is_told() -> None:
    found = complaints([], Facts(began={KEY: 1}, ended={}))
    assert found == ["j n: a command ran of which the store does not know"]
