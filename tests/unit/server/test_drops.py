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
