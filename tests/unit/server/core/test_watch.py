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
def test_its_place_is_free_once_no_sign_was_seen_for_its_lease(process: Process) -> None:
    watch = Watch()
    assert not watch.is_free(holder(), process, 5.0)
    assert not watch.is_free(holder(), process, 14.9)
    assert not watch.is_free(holder(4), process, 14.95), "it is there"
    assert not watch.is_free(holder(4), process, 24.9)
    assert watch.is_free(holder(4), process, 24.95)


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize(
    ("found", "process"),
    [
        (None, Process.GONE), (holder(renewed_at=None), Process.ELSEWHERE),
        (holder(), Process.GONE), (holder(renewed_at=None), Process.THERE),
    ],
)  # fmt: skip
def test_one_that_ended_is_waited_for_by_nobody(
    found: Holder | None, process: Process, is_lost: bool
) -> None:
    watch = Watch()
    if is_lost:
        watch.lost()
    assert watch.is_free(found, process, 0.0)


def test_after_the_database_was_away_silence_counts_from_when_it_is_back() -> None:
    watch = Watch()
    assert not watch.is_free(holder(), Process.ELSEWHERE, 1.0)
    watch.lost()
    # Away for a minute: nobody could say that he is there.
    assert not watch.is_free(holder(), Process.ELSEWHERE, 61.0)
    watch.lost()
    assert not watch.is_free(holder(), Process.ELSEWHERE, 62.0)
    assert not watch.is_free(holder(), Process.ELSEWHERE, 71.9)
    assert watch.is_free(holder(), Process.ELSEWHERE, 72.0)


def test_another_run_is_another_one() -> None:
    watch = Watch()
    assert not watch.is_free(holder(), Process.ELSEWHERE, 0.0)
    assert not watch.is_free(holder(incarnation_id="b"), Process.ELSEWHERE, 10.0)


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 3.0), st.sampled_from(["look", "lost", "renewed"]),
            st.floats(-1e6, 1e6),
        ),
        max_size=60,
    )
)  # fmt: skip
def test_nobody_who_says_in_time_that_he_is_there_loses_his_place(
    steps: list[tuple[float, str, float]],
) -> None:
    """Whatever the database's clock says, which jumps here."""
    watch, at, renewals, heard_at = Watch(), 0.0, 0, 0.0
    for pause, what, clock in steps:
        at += pause
        if what == "renewed" or at - heard_at > LEASE / 2:
            renewals, heard_at = renewals + 1, at
        if what == "lost":
            watch.lost()
        else:
            assert not watch.is_free(holder(renewals, clock), Process.ELSEWHERE, at)
