"""What a single name is."""

import pytest

from pushcli.nodes.of_job import Choice


@pytest.mark.parametrize("typed", [("web01",), ("web01", "web01"), ("web01,web01",)])
def test_a_name_alone_is_one_node(typed: tuple[str, ...]) -> None:
    assert Choice(expressions=typed).is_one_name


@pytest.mark.parametrize(
    "typed", [(), ("web*",), ("web01", "web02"), ("web01,x*",), ("web01!web02",), ("@file",)]
)
def test_what_may_be_more_or_less_than_one_is_not(typed: tuple[str, ...]) -> None:
    assert not Choice(expressions=typed).is_one_name


def test_nor_is_a_name_that_more_is_said_of() -> None:
    assert not Choice(expressions=("web01",), exclude=("x",)).is_one_name
    assert not Choice(expressions=("web01",), with_status=("failed",)).is_one_name
