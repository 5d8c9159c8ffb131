"""Lengths of time and moments as people type them."""

import contextlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli import durations

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1_800), ("24h", 86_400), ("1d12h", 129_600), ("2W", 1_209_600),
     (" 1.5h ", 5_400), ("0", 0), ("0s", 0), ("2 min", 120), ("1 d 12 h", 129_600),
     ("90sec", 90)],
)  # fmt: skip
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "-1h", "1h-", "1y", "1h 2", "\u0661h", "1e3s", "999w9999999d"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration|century"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2m", 120), ("90", 90), (" 1.5 ", 1.5), ("0", 0), ("1e3", 1_000), (".5", 0.5), ("2M", 120),
     ("1h30m", 5_400), ("3600s", 3_600)],
)  # fmt: skip
def test_lengths_of_time_that_need_no_unit(text: str, seconds: float) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "nan", "inf", "-1", "-2m", "1_000", "\u0661", "2m30", "1,5", "0x10", "1e"]
)
def test_what_is_no_length_of_time_with_or_without_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="not a length of time"):
        durations.seconds(text)


@given(st.floats(min_value=1, max_value=1e9))
def test_what_words_say_is_understood(seconds: float) -> None:
    assert durations.seconds(durations.words(seconds)) <= round(seconds)


@given(st.text())
def test_any_text_is_a_length_of_time_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= durations.parse(text) <= durations.LONGEST


def test_a_moment_is_a_while_ago_or_a_date() -> None:
    assert durations.moment("2h", NOW) == NOW - 7_200
    assert durations.moment("2026-11-23T20:00:00Z", NOW) == 1_795_464_000
    assert durations.moment("2026-11-23T20:00:00+01:00", NOW) == 1_795_460_400
    local = datetime(2026, 11, 23).astimezone().timestamp()
    assert durations.moment("2026-11-23", NOW) == local


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9999-12-31x"])
def test_a_moment_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        durations.moment(text, NOW)


def test_a_number_without_a_unit_comes_with_the_units() -> None:
    for read in (durations.parse, lambda text: durations.moment(text, NOW)):
        with pytest.raises(ValueError, match="write 24s, 24m, 24h or 24d"):
            read("24")


def test_a_moment_is_shown_in_the_time_of_this_machine() -> None:
    shown = durations.local(NOW)
    assert datetime.fromisoformat(shown).timestamp() == NOW
    assert (
        datetime.fromisoformat(shown).utcoffset()
        == datetime.fromtimestamp(NOW).astimezone().utcoffset()
    )
    assert durations.local(1e300) != ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1_795_464_000, "2026-11-23T20:00:00Z"), (1_795_464_000.25, "2026-11-23T20:00:00.250Z"),
     (1_795_464_000.9999, "2026-11-23T20:00:01Z"), (1e300, 1e300)],
)  # fmt: skip
def test_programs_get_a_moment_in_utc(seconds: float, text: object) -> None:
    assert durations.utc(seconds) == text


def test_an_age_is_told_in_the_largest_unit_that_fits() -> None:
    ages = [durations.age(seconds) for seconds in (0, 59, 61, 7200, 90_000)]
    assert ages == ["0 s", "59 s", "1 min", "2 h", "1 d"]
