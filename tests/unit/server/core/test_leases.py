"""When another server may take the place of the one that works with the database."""

import pytest

from pushcli_server.core.leases import Holder, Process, State, is_free, is_waited_for, state


def holder(renewed_at: float | None, incarnation_id: str = "a", renewals: int = 5) -> Holder:
    return Holder(
        epoch=3, incarnation_id=incarnation_id, host="db1", started_at=0.0, lease=10.0,
        renewals=renewals, renewed_at=renewed_at,
    )  # fmt: skip


@pytest.mark.parametrize("process", Process)
def test_nobody_and_one_that_ended_are_in_nobodys_way(process: Process) -> None:
    assert is_free(None, process, 100.0)
    assert is_free(holder(None), process, 100.0)


@pytest.mark.parametrize(
    ("process", "silent_for", "free"),
    [
        (Process.GONE, 0.0, True),
        (Process.THERE, 9.9, False),
        (Process.ELSEWHERE, 9.9, False),
        (Process.ELSEWHERE, 10.0, True),
        # It hangs.
        (Process.THERE, 10.0, True),
        # Somebody set the database's clock back.
        (Process.ELSEWHERE, -3600.0, False),
    ],
)
def test_a_holder_has_its_place_until_it_is_gone_or_silent_for_its_lease(
    process: Process, silent_for: float, free: bool
) -> None:
    assert is_free(holder(100.0), process, 100.0 + silent_for) is free


@pytest.mark.parametrize(
    ("renewed_at", "process", "expected"),
    [
        (100.0, Process.THERE, State.WORKS),
        (100.0, Process.ELSEWHERE, State.WORKS),
        (90.0, Process.THERE, State.SILENT),
        (90.0, Process.ELSEWHERE, State.SILENT),
        (100.0, Process.GONE, State.ENDED),
        (None, Process.ELSEWHERE, State.ENDED),
    ],
)
def test_what_is_known_of_a_holder(
    renewed_at: float | None, process: Process, expected: State
) -> None:
    assert state(holder(renewed_at), process, 100.0) is expected


def test_silence_that_somebody_heard_counts_whatever_the_clock_says() -> None:
    assert not is_free(holder(100.0), Process.ELSEWHERE, -3600.0, watched=9.9)
    assert is_free(holder(100.0), Process.ELSEWHERE, -3600.0, watched=10.0)


def test_one_that_says_anything_is_not_waited_for() -> None:
    assert is_waited_for(holder(100.0), holder(100.0))
    assert not is_waited_for(holder(100.0), holder(100.0, renewals=6))
    assert not is_waited_for(holder(100.0), holder(100.0, "b")), "another one came first"
