"""What a service tells systemd, over a real socket."""

import os
import socket
from pathlib import Path

import pytest

from pushcli.systemd.notify import Notifier, from_environment


@pytest.fixture
def heard(tmp_path: Path) -> socket.socket:
    """The service manager's end."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.setblocking(False)
    return listening


def test_its_life_is_told_and_the_watchdog_fed_thrice_in_its_time(
    heard: socket.socket, tmp_path: Path
) -> None:
    notifier = Notifier(str(tmp_path / "notify"), 30)
    notifier.ready("all is well")
    for now in (100.0, 109.9, 110.0, 119.0):
        notifier.feed(now)
    assert notifier.due_at == 120.0
    notifier.stopping()
    got = [heard.recv(100) for _ in range(4)]
    assert got == [b"READY=1\nSTATUS=all is well", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]
    heard.close()


def test_an_abstract_socket_is_found() -> None:
    name = f"pushcli-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.setblocking(False)
        Notifier("@" + name).stopping()
        assert listening.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1", "/there/is/none"])
def test_nobody_who_listens_is_no_trouble(address: str) -> None:
    notifier = Notifier(address)
    notifier.ready("")
    notifier.feed(1)
    assert notifier.due_at == float("inf")


@pytest.mark.parametrize(
    ("given", "watched"),
    [
        ({"WATCHDOG_USEC": "30000000"}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({}, False),
    ],
)
def test_the_environment_says_who_is_watched_and_loses_it(
    given: dict[str, str], watched: bool
) -> None:
    env = {"NOTIFY_SOCKET": "/run/notify", "HOME": "/", **given}
    assert (from_environment(env).due_at < float("inf")) is watched
    assert env == {"HOME": "/"}
