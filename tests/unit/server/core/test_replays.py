"""Which signed requests are carried out, and which do nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.core.identity import Requestor
from pushcli_server.core.replays import MAX_EQUAL, WINDOW, Replays, Signature, Verdict

ANN, TWIN = Requestor("user", "", "ann"), Requestor("client", "acme", "ann")
JOB = "1" * 32


def signature(number: int = 1, signed_at: float = 1000.0, by: Requestor = ANN) -> Signature:
    return Signature(by, number.to_bytes(32, "big"), signed_at)


def carry_out(replays: Replays, signed: Signature, now: float, job_id: str | None = None) -> None:
    assert replays.judge(signed, now) is Verdict.FIRST
    replays.carried_out(signed, job_id)


def test_a_write_is_carried_out_once() -> None:
    replays, signed = Replays(), signature()
    carry_out(replays, signed, 1000.0, JOB)
    assert replays.judge(signed, 1001.0) is Verdict.CARRIED_OUT
    assert replays.judge(signed, 1899.0) is Verdict.CARRIED_OUT
    assert replays.job(signed) == JOB


def test_equal_requests_of_one_moment_are_each_carried_out_up_to_five() -> None:
    replays, signed = Replays(), signature()
    verdicts = [replays.judge(signed, 1000.0 + number / 100) for number in range(7)]
    beside = [Verdict.BESIDE] * (MAX_EQUAL - 1)
    assert verdicts == [Verdict.FIRST, *beside, Verdict.UNDER_WAY, Verdict.UNDER_WAY]
    replays.carried_out(signed, JOB)
    replays.carried_out(signed, "2" * 32)
    assert replays.judge(signed, 1000.1) is Verdict.CARRIED_OUT
    assert replays.job(signed) == JOB, "the first one's"


def test_a_second_after_the_first_is_late_even_if_others_came_between() -> None:
    replays, signed = Replays(), signature()
    carry_out(replays, signed, 1000.0)
    assert replays.judge(signed, 1000.9) is Verdict.BESIDE
    replays.carried_out(signed)
    assert replays.judge(signed, 1001.0) is Verdict.CARRIED_OUT


def test_who_repeats_what_is_under_way_waits_for_its_end() -> None:
    replays, signed = Replays(), signature()
    assert replays.judge(signed, 1000.0) is Verdict.FIRST
    assert replays.judge(signed, 1002.0) is Verdict.UNDER_WAY
    replays.carried_out(signed)
    assert replays.judge(signed, 1002.0) is Verdict.CARRIED_OUT


def test_what_failed_may_come_again() -> None:
    replays, signed = Replays(), signature()
    replays.judge(signed, 1000.0)
    replays.failed(signed)
    assert replays.judge(signed, 1005.0) is Verdict.FIRST


def test_of_equal_requests_one_that_worked_is_enough() -> None:
    replays, signed = Replays(), signature()
    replays.judge(signed, 1000.0)
    replays.judge(signed, 1000.0)
    replays.failed(signed)
    assert replays.judge(signed, 1002.0) is Verdict.UNDER_WAY
    replays.carried_out(signed)
    assert replays.judge(signed, 1002.0) is Verdict.CARRIED_OUT


@pytest.mark.parametrize("stored", [True, False])
def test_the_store_decides_about_what_nobody_heard_the_end_of(stored: bool) -> None:
    replays, signed = Replays(), signature()
    replays.judge(signed, 1000.0)
    replays.doubtful(signed)
    assert replays.judge(signed, 1005.0) is Verdict.DOUBTFUL
    replays.settle(signed, stored=stored, job_id=JOB if stored else None)
    replays.settle(signed, stored=stored)
    expected = Verdict.CARRIED_OUT if stored else Verdict.FIRST
    assert replays.judge(signed, 1005.0) is expected
    assert replays.job(signed) == (JOB if stored else None)


def test_another_requestor_and_another_signature_are_others() -> None:
    replays = Replays()
    carry_out(replays, signature(), 1000.0)
    assert replays.judge(signature(by=TWIN), 1500.0) is Verdict.FIRST
    assert replays.judge(signature(2), 1500.0) is Verdict.FIRST


def test_what_a_previous_run_of_the_server_carried_out_is_known() -> None:
    replays, signed = Replays(), signature()
    replays.restore(signed, 1000.0, JOB)
    assert replays.judge(signed, 1000.1) is Verdict.CARRIED_OUT
    assert replays.job(signed) == JOB


@pytest.mark.parametrize("ahead", [-WINDOW + 1, 0.0, WINDOW - 1])
def test_a_signature_is_kept_until_its_time_leaves_the_window(ahead: float) -> None:
    """It may name a time 900 s ahead: then it counts, and is kept, for 1,800 s."""
    replays, signed = Replays(), signature(signed_at=1000.0 + ahead)
    carry_out(replays, signed, 1000.0)
    replays.prune(1000.0 + ahead + WINDOW - 0.5)
    assert replays.judge(signed, 5000.0) is Verdict.CARRIED_OUT
    replays.prune(1000.0 + ahead + WINDOW)
    assert len(replays) == 0


def test_a_full_memory_refuses_what_is_older_than_the_oldest_and_nothing_fresh() -> None:
    replays = Replays(limit=3)
    signed = [signature(number, 1000.0 + number) for number in range(5)]
    for one in signed:
        carry_out(replays, one, 1010.0)
    assert len(replays) == 3
    assert [replays.judge(one, 1020.0) for one in signed] == [
        *[Verdict.TOO_OLD] * 2,
        *[Verdict.CARRIED_OUT] * 3,
    ]
    assert replays.judge(signature(99, 1000.5), 1020.0) is Verdict.TOO_OLD
    carry_out(replays, signature(100, 1020.0), 1020.0)
    assert replays.judge(signature(1, 1000.0, TWIN), 1020.0) is Verdict.FIRST, "of one requestor"


def test_what_is_under_way_may_end_after_it_was_forgotten() -> None:
    replays, signed = Replays(limit=1), signature()
    replays.judge(signed, 1000.0)
    carry_out(replays, signature(2, 1001.0), 1001.0)
    replays.carried_out(signed, JOB)
    replays.failed(signed)
    replays.doubtful(signed)
    replays.settle(signed, stored=False)
    assert replays.judge(signed, 1002.0) is Verdict.TOO_OLD


def test_what_fails_again_and_again_takes_no_room() -> None:
    replays = Replays()
    for number in range(10_000):
        replays.judge(signature(number), 1000.0)
        replays.failed(signature(number))
    assert len(replays) == 0
    assert len(replays._by_age[ANN]) < 1000


steps = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["judge", "carried_out", "failed", "doubtful", "stored", "lost", "prune"]),
        st.floats(0, 2),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_nothing_is_carried_out_again_later(
    story: list[tuple[int, str, float]],
) -> None:
    replays, now = Replays(), 1000.0
    under_way = [0] * 4
    first: dict[int, float] = {}
    done: set[int] = set()
    for number, step, pause in story:
        now += pause
        signed = signature(number)
        if step == "judge":
            verdict = replays.judge(signed, now)
            if verdict is Verdict.FIRST:
                assert number not in done
                first[number] = now
            if verdict is Verdict.BESIDE:
                assert now - first[number] < 1.0
            under_way[number] += verdict in {Verdict.FIRST, Verdict.BESIDE}
            assert (verdict is Verdict.CARRIED_OUT) <= (number in done)
        elif step == "stored":
            if not under_way[number] and replays.judge(signed, now + 2) is Verdict.DOUBTFUL:
                replays.settle(signed, stored=True)
                done.add(number)
            elif not under_way[number] and number not in done:
                replays.failed(signed)
        elif step == "prune":
            replays.prune(now)
        elif step != "lost" and under_way[number]:
            under_way[number] -= 1
            getattr(replays, step)(signed)
            if step == "carried_out":
                done.add(number)


def test_a_clock_that_was_set_back_lets_nothing_be_carried_out_again() -> None:
    replays, signed = Replays(), signature()
    carry_out(replays, signed, 1000.0, JOB)
    assert replays.judge(signed, 990.0) is Verdict.CARRIED_OUT
