"""How a job is watched: seldom enough for the server, soon enough for the operator."""

import io
import socket
from pathlib import Path

import pytest

from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.errors import ServerUnreachable
from pushcli.jobs.tracker import Tracker
from pushcli.jobs.watch import FIRST_PAUSE, PATIENCE, Watcher
from pushcli.terminal.context import App
from tests.integration.cli.responder import JOB_ID, Responder, job


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def app_for(url: str, key_file: Path, clock: Clock) -> App:
    profile = Profile(
        name="default", chef_server_url=url, client_name="admin", client_key=str(key_file)
    )
    return App(
        stdout=io.StringIO(), stderr=io.StringIO(), env={}, clock=clock, sleep=clock.sleep,
        connect=lambda *_: ApiClient(profile),
    )  # fmt: skip


def watch(app: App, interval: float, notes: list[str]) -> list[str]:
    """The job's status after each step."""
    watcher = Watcher(app, JOB_ID, Tracker(), interval=interval, note=notes.append)
    seen = []
    while watcher.end is None:
        before = len(app.clock.pauses)  # type: ignore[attr-defined]
        watcher.step()
        if len(app.clock.pauses) > before or watcher.end is not None:  # type: ignore[attr-defined]
            seen.append(watcher.tracker.status)
    return seen


def test_pauses_grow_up_to_the_interval(responder: Responder, key_file: Path) -> None:
    responder.accept_job(*[job("running")] * 40, job("complete"))
    clock, notes = Clock(), list[str]()
    app = app_for(responder.url, key_file, clock)
    assert watch(app, 1.0, notes) == ["running"] * 40 + ["complete"]
    assert clock.pauses[0] == FIRST_PAUSE
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 1.0
    assert notes == []
    app.client.close()


def test_an_interval_below_the_first_pause_holds_from_the_start(
    responder: Responder, key_file: Path
) -> None:
    responder.accept_job(job("running"), job("running"), job("complete"))
    clock = Clock()
    app = app_for(responder.url, key_file, clock)
    watch(app, 0.001, [])
    assert clock.pauses == [0.001, 0.001]
    app.client.close()


def test_a_server_that_stays_away_is_given_up_after_a_while(key_file: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/organizations/acme"
        clock, notes = Clock(), list[str]()
        app = app_for(url, key_file, clock)
        with pytest.raises(ServerUnreachable):
            watch(app, 1.0, notes)
        app.client.close()
    assert len(notes) == 1
    assert PATIENCE <= clock.now < PATIENCE + 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_feed_whose_reader_fails_is_replaced_by_asking(
    responder: Responder, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: str) -> None:
        raise RuntimeError("a fault of ours")

    responder.accept_job(*[job("running")] * 5, job("complete"))
    clock, notes = Clock(), list[str]()
    app = app_for(responder.url, key_file, clock)
    monkeypatch.setattr(app.client, "job_feed", fail)
    assert watch(app, 1.0, notes)[-1] == "complete"
    # Nobody waited for a feed that was silent.
    assert clock.now < 1
    app.client.close()
