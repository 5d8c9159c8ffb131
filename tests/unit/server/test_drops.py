"""What is dropped leaves a number and few lines."""

import logging

import pytest

from pushcli.protocol.drops import DropReason
from pushcli_server.channel.drops import Drops


def test_an_address_of_unknown_keys_has_a_line_a_minute_with_the_number_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    drops = Drops()
    with caplog.at_level(logging.WARNING):
        for tick in range(100):
            drops.drop("127.0.0.1", DropReason.UNKNOWN_KEY, 1000 + 1.2 * tick)
        drops.drop("192.0.2.1", DropReason.UNKNOWN_KEY, 1119.0)
    assert [record.getMessage() for record in caplog.records] == [
        "dropped a message from 127.0.0.1: its CURVE key is not known",
        "dropped a message from 127.0.0.1: its CURVE key is not known (49 more before it)",
        "dropped a message from 192.0.2.1: its CURVE key is not known",
    ]
    assert drops.counts == {DropReason.UNKNOWN_KEY: 101}


def test_a_node_has_a_line_a_second_for_anything_else(caplog: pytest.LogCaptureFixture) -> None:
    drops = Drops()
    with caplog.at_level(logging.WARNING):
        for tick in range(25):
            drops.drop("web01", DropReason.JSON, 1000 + tick / 10)
    assert [record.getMessage() for record in caplog.records] == [
        "dropped a message from web01: not JSON",
        "dropped a message from web01: not JSON (9 more before it)",
        "dropped a message from web01: not JSON (9 more before it)",
    ]


def test_all_together_have_so_many_lines_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    drops = Drops()
    with caplog.at_level(logging.WARNING):
        for minute in range(2):
            for number in range(500):
                drops.drop(f"web{number}", DropReason.JSON, 1000 + 60 * minute + number / 10)
    first = [record for record in caplog.records if "more before" not in record.getMessage()]
    # As many at once, and each second one more.
    assert 60 <= len(first) <= 60 + 110
    assert len(caplog.records) <= 60 + 110
    assert drops.counts == {DropReason.JSON: 1000}
