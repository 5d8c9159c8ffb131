import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.errors import UsageError
from pushcli.jobs.quorum import parse_quorum


@pytest.mark.parametrize(
    ("text", "nodes", "quorum"),
    [
        ("8", 10, 8),
        ("0", 10, 0),
        ("12", 10, 12),
        ("80%", 10, 8),
        ("80%", 9, 8),
        ("75%", 4, 3),
        ("1%", 3, 1),
        ("0%", 3, 0),
        ("100%", 3, 3),
        ("33.3%", 3, 1),
        ("33.4%", 3, 2),
        ("50 %", 3, 2),
    ],
)
def test_a_quorum_is_a_number_or_a_percentage_that_rounds_up(
    text: str, nodes: int, quorum: int
) -> None:
    assert parse_quorum(text, nodes) == quorum


@given(st.integers(0, 100), st.integers(1, 100_000))
def test_a_percentage_is_exact_for_any_number_of_nodes(percentage: int, nodes: int) -> None:
    assert parse_quorum(f"{percentage}%", nodes) == math.ceil(percentage * nodes / 100)


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "-1%", "101%", "1.5", "many", "1e3", "٣", "8%%", " 8", "1_0", "nan%"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="80%"):
        parse_quorum(text, 10)


@given(st.text())
def test_no_text_makes_it_fail_in_another_way(text: str) -> None:
    with suppress(UsageError):
        assert parse_quorum(text, 10) >= 0
