"""What a server that stands ready makes of the one that works."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.core.leases import Holder, Process, Watch

LEASE = 10.0


def holder(renewals: int = 3, renewed_at: float | None = 1000.0, **more: object) -> Holder:
    fields: dict[str, object] = {
        "epoch": 1, "incarnation_id": "a", "host": "push1", "started_at": 0.0, "lease": LEASE,
        "renewals": renewals, "renewed_at": renewed_at,
    }  # fmt: skip
    return msgspec.convert(fields | more, Holder)


@pytest.mark.parametrize("process", [Process.ELSEWHERE, Process.THERE])
def test_its_place_is_free_once_it_was_silent_for_its_lease(process: Process) -> None:
    watch = Watch()
    assert not watch.is_free(holder(), process, 1009.9, 0.0)
    assert watch.is_free(holder(), process, 1010.0, 0.1)


def test_by_the_databases_clock_or_by_ours() -> None:
    """The database's may have been set back."""
    watch = Watch()
    assert not watch.is_free(holder(), Process.ELSEWHERE, 500.0, 0.0)
    assert not watch.is_free(holder(), Process.ELSEWHERE, 500.0, 9.9)
    assert not watch.is_free(holder(4), Process.ELSEWHERE, 500.0, 9.95), "it is there"
    assert not watch.is_free(holder(4), Process.ELSEWHERE, 500.0, 19.9)
    assert watch.is_free(holder(4), Process.ELSEWHERE, 500.0, 19.95)


@pytest.mark.parametrize("is_blind", [False, True])
@pytest.mark.parametrize(
    ("found", "process"),
    [
        (None, Process.GONE), (holder(renewed_at=None), Process.ELSEWHERE),
        (holder(), Process.GONE), (holder(renewed_at=None), Process.THERE),
    ],
)  # fmt: skip
def test_one_that_ended_is_waited_for_by_nobody(
    found: Holder | None, process: Process, is_blind: bool
) -> None:
    watch = Watch()
    if is_blind:
        watch.lost()
    assert watch.is_free(found, process, 1000.0, 0.0)


def test_after_the_database_was_away_silence_counts_from_when_it_is_back() -> None:
    watch = Watch()
    assert not watch.is_free(holder(), Process.ELSEWHERE, 1001.0, 1.0)
    watch.lost()
    # Away for a minute: nobody could say that he is there.
    assert not watch.is_free(holder(), Process.ELSEWHERE, 1061.0, 61.0)
    watch.lost()
    assert not watch.is_free(holder(), Process.ELSEWHERE, 1062.0, 62.0)
    assert not watch.is_free(holder(), Process.ELSEWHERE, 1071.9, 71.9)
    assert watch.is_free(holder(), Process.ELSEWHERE, 1072.0, 72.0)


def test_once_it_was_heard_of_again_all_is_as_before() -> None:
    watch = Watch()
    watch.lost()
    assert not watch.is_free(holder(), Process.ELSEWHERE, 1061.0, 0.0)
    assert not watch.is_free(holder(4, 1062.0), Process.ELSEWHERE, 1062.0, 1.0)
    # By the database's clock, as before; ours would say so a second later.
    assert watch.is_free(holder(4, 1062.0), Process.ELSEWHERE, 1072.0, 10.5)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 3.0), st.sampled_from(["look", "lost", "renewed"])), max_size=60
    )
)
def test_nobody_who_says_in_time_that_he_is_there_loses_his_place(
    steps: list[tuple[float, str]],
) -> None:
    """Whatever the database's clock says, which here stands still."""
    watch, at, renewals, heard_at = Watch(), 0.0, 0, 0.0
    for pause, what in steps:
        at += pause
        if what == "renewed" or at - heard_at > LEASE / 2:
            renewals, heard_at = renewals + 1, at
        if what == "lost":
            watch.lost()
        else:
            now = 1000.0 + at
            found = holder(renewals, 1000.0 + heard_at)
            assert not watch.is_free(found, Process.ELSEWHERE, now, at)
