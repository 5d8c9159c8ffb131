"""Ctrl-C before a job runs and after it: what was done and what was not is said."""

import re
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.done_job import part, show_done
from tests.integration.cli.program import Home
from tests.integration.cli.responder import JOB_ID, Answer, Responder, json_answer
from tests.integration.cli.terminal import on_terminal
from tests.support.waiting import patient

Stall = Callable[..., threading.Event]
CONTENTS = [b"content %d\n" % number for number in range(60)]


@pytest.fixture
def stall(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stall]:
    """Has the server answer certain requests only when the test is over, but for a few."""
    over, real = threading.Event(), responder.next_answer

    def begin(method: str, words: str, after: int = 0) -> threading.Event:
        is_met = threading.Event()

        def next_answer(asked: str, path: str, body: bytes) -> Answer:
            answer = real(asked, path, body)
            same = [1 for m, p, _ in responder.requests if m == method and words in p]
            if asked == method and words in path and len(same) > after:
                is_met.set()
                over.wait(patient(30))
            return answer

        monkeypatch.setattr(responder, "next_answer", next_answer)
        return is_met

    yield begin
    over.set()


def test_during_the_search_nothing_was_started(
    home: Home, responder: Responder, stall: Stall
) -> None:
    is_met = stall("POST", "/search/")
    with on_terminal(home, "job", "start", "uptime", "-s", "role:web") as terminal:
        assert is_met.wait(patient(10))
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert terminal.lines == ["^CINTERRUPTED: nothing was started"]
    assert responder.count("POST", "jobs") == 0


def test_at_the_question_nothing_was_started(home: Home, responder: Responder) -> None:
    with on_terminal(home, "job", "start", "uptime", "web[1-101]") as terminal:
        terminal.expect("runs on 101 nodes: type 101:")
        # Of a signal that comes before it reads Python takes note with the next key only.
        terminal.settle(0.5)
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert terminal.lines[-1].endswith("INTERRUPTED: nothing was started")
    assert responder.count("POST", "jobs") == 0


def test_during_the_start_the_job_may_have_started(
    home: Home, responder: Responder, stall: Stall
) -> None:
    responder.say("POST", "jobs", json_answer({"uri": f"{responder.url}/pushy/jobs/{JOB_ID}"}, 201))
    is_met = stall("POST", "jobs")
    with on_terminal(home, "job", "start", "uptime", "web1", "-u", "admin") as terminal:
        assert is_met.wait(patient(10))
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert terminal.lines == [
        "^CINTERRUPTED: the request was sent, and the job may have started:",
        "  pushcli job list --by me --since 10m -u admin",
    ]


def show_many(responder: Responder) -> None:
    show_done(responder, [part(f"n{i}", each) for i, each in enumerate(CONTENTS)], *CONTENTS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_output_is_fetched_there_is_a_bar_and_who_leaves_is_told_how_far_it_is(
    home: Home, responder: Responder, stall: Stall, number: int
) -> None:
    show_many(responder)
    stall("GET", "/output/", after=20)
    with on_terminal(home, "job", "output", JOB_ID) as terminal:
        terminal.expect("20 of 60 fetched")
        assert terminal.screen.cursor.hidden
        assert re.match("Output +━{10}─{20}  20 of 60 fetched", terminal.lines[0])
        terminal.child.kill(number)
        assert terminal.end() == ExitStatus.INTERRUPTED
    # The echo of Ctrl-C may stand in the bar's place.
    assert terminal.lines == [
        "INTERRUPTED: 20 of 60 outputs were fetched, none is shown:",
        f"  pushcli job output {JOB_ID}",
    ]
    assert not terminal.screen.cursor.hidden


def test_a_job_that_is_over_is_told_though_its_output_is_not_waited_for(
    home: Home, responder: Responder, stall: Stall
) -> None:
    show_many(responder)
    uri = f"{responder.url}/pushy/jobs/{JOB_ID}"
    responder.say("POST", "jobs", json_answer({"uri": uri}, 201))
    stall("GET", "/output/", after=20)
    with on_terminal(home, "job", "start", "uptime", "n[0-59]", "--capture") as terminal:
        terminal.expect("20 of 60 fetched")
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert terminal.lines[-3].endswith("Complete.  60 succeeded")
    assert terminal.lines[-2:] == [
        "INTERRUPTED: the job is over; 20 of 60 outputs were fetched, none is shown:",
        f"  pushcli job output {JOB_ID}",
    ]


def test_in_a_pipe_nothing_is_shown_of_the_fetching(home: Home, responder: Responder) -> None:
    show_many(responder)
    slow = threading.Event()
    real = responder.next_answer

    def next_answer(method: str, path: str, body: bytes) -> Answer:
        if "/output/" in path:
            slow.wait(0.05)
        return real(method, path, body)

    responder.next_answer = next_answer  # type: ignore[method-assign]
    result = home.run("job", "output", JOB_ID)
    assert (result.status, result.stderr) == (ExitStatus.OK, "")
    assert result.stdout.count("content ") == len(CONTENTS)


def test_an_old_server_is_asked_for_several_outputs_at_a_time(
    home: Home, responder: Responder
) -> None:
    nodes = [f"n{number}" for number in range(4)]
    show_done(responder, [part(node, b"") for node in nodes])
    offered = {"X-Pushcli-Extensions": "abort"}
    shown = responder.next_answer("GET", f"/organizations/acme/pushy/jobs/{JOB_ID}", b"")
    responder.say("GET", f"jobs/{JOB_ID}", Answer(200, shown.body, headers=offered))
    together, real = threading.Barrier(4, timeout=patient(10)), responder.next_answer

    def next_answer(method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/stdout"):
            # None of the four is answered before all are asked for.
            together.wait()
            return Answer(200, b"same", "application/octet-stream", offered)
        return real(method, path, body)

    responder.next_answer = next_answer  # type: ignore[method-assign]
    result = home.run("job", "output", JOB_ID, "--channel", "stdout")
    assert result.stdout.splitlines() == ["n[0-3] (4 succeeded)", "  same"]
