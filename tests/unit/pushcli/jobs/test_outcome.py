from typing import Any

import pytest

from pushcli.jobs.named import shortest
from pushcli.jobs.outcome import outcome
from pushcli.jobs.pages import ListedJob
from pushcli.terminal.layout import wrapped


def listed(status: str, **more: Any) -> ListedJob:
    return ListedJob(id="a" * 32, command="x", status=status, created_at="", updated_at="", **more)


@pytest.mark.parametrize(
    ("status", "states", "text", "state"),
    [
        ("complete", {"succeeded": 18}, "18 ok", "succeeded"),
        ("complete", {"unavailable": 12, "failed": 3, "succeeded": 397},
         "397 ok, 3 failed, 12 absent", "failed"),
        ("complete", {"succeeded": 1, "nacked": 1, "unavailable": 1}, "1 ok, 2 absent",
         "succeeded"),
        ("complete", {"crashed": 2}, "0 ok, 2 crashed", "failed"),
        ("complete", {"nacked": 2}, "0 ok, 2 absent", "failed"),
        ("running", {"succeeded": 31, "running": 8, "ready": 1}, "running: 31 ok, 9 to go",
         "running"),
        ("voting", {"ready": 3, "new": 1}, "voting: 3 ready of 4", "voting"),
        ("quorum_failed", {"was_ready": 352, "unavailable": 60},
         "quorum failed: 352 ready, 371 needed", "quorum_failed"),
        ("timed_out", {"timed_out": 1, "succeeded": 2}, "timed out: 2 ok, 1 timed out",
         "timed_out"),
        ("aborted", {"aborted": 3}, "aborted: 0 ok, 3 aborted", "aborted"),
        ("complete", {}, "complete", "complete"),
        ("quorum_failed", {}, "quorum failed", "quorum_failed"),
        ("complete", {"succeeded": 1, "odd\x1b": 1}, r"1 ok, 1 odd\x1b", "failed"),
    ],
)  # fmt: skip
def test_an_outcome_counts_what_is_well_first(
    status: str, states: dict[str, int], text: str, state: str
) -> None:
    assert outcome(listed(status, states=states, quorum=371)) == (text, state)


def test_ids_are_shown_as_short_as_tells_them_apart() -> None:
    assert shortest(["a" * 32]) == 8
    assert shortest(["a" * 32, "b" * 32]) == 8
    assert shortest(["a" * 32, "a" * 10 + "b" * 22]) == 11
    assert shortest(["a" * 32, "a" * 32]) == 8


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("web01", ["web01"]),
        ("a,bb,ccc", ["a,bb,", "ccc"]),
        ("web[1-3,5]", ["web[1-3,", "5]"]),
        ("a-name-that-is-long,b", ["a-name-that-is-long,", "b"]),
    ],
)
def test_names_are_broken_after_commas_alone(text: str, lines: list[str]) -> None:
    assert wrapped(text, 6, ",") == lines


def test_reasons_are_broken_at_blanks() -> None:
    assert wrapped("not on the whitelist", 8, " ") == ["not on", "the", "whitelist"]
