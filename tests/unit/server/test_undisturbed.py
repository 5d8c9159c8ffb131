"""Signals that come while something is done that belongs together."""

import os
import signal

import pytest

from pushcli_server.undisturbed import undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_begun_is_done_and_nobody_is_ended_for_it(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda number, frame: heard.append(number))
    try:
        with undisturbed():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            assert heard == []
        assert heard == []
        os.kill(os.getpid(), number)
        assert heard == [number]
    finally:
        signal.signal(number, before)
