"""Threads that wait for others' answers, and do not hold up who has stopped waiting."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from pushcli_server.askers import Askers
from tests.support.waiting import patient, until


@pytest.fixture
def askers() -> Iterator[Askers]:
    askers = Askers(3)
    yield askers
    askers.shutdown()


def running() -> int:
    return sum(thread.name == "asker" for thread in threading.enumerate())


class Gate:
    """Whom a question waits for; counts who waits at the same time."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting = self.most = 0
        self._lock = threading.Lock()

    def ask(self) -> str:
        with self._lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        self.open.wait(patient(10))
        with self._lock:
            self.waiting -= 1
        return "answer"


def test_so_many_are_asked_at_a_time_and_all_in_the_end(askers: Askers) -> None:
    gate = Gate()
    asked = [askers.submit(gate.ask) for _ in range(8)]
    until(lambda: gate.waiting == 3, "three are asked")
    assert running() == 3
    assert not any(one.done() for one in asked)
    gate.open.set()
    assert [one.result(patient(10)) for one in asked] == ["answer"] * 8
    assert gate.most == 3


def test_one_after_the_other_takes_one_thread(askers: Askers) -> None:
    names = set()
    for _ in range(20):
        names.add(askers.submit(threading.get_ident).result(patient(10)))
        # It is idle a moment after its answer is there.
        until(lambda: askers._idle._value == 1, "it is idle")
    assert len(names) == running() == 1


def test_one_that_fails_is_told_and_costs_no_other(askers: Askers) -> None:
    def fail() -> None:
        raise SystemExit("a fault")

    with pytest.raises(SystemExit, match="a fault"):
        askers.submit(fail).result(patient(10))
    assert askers.submit(sorted, [1, 2], reverse=True).result(patient(10)) == [2, 1]


def test_who_gave_up_before_his_turn_is_not_asked_for(askers: Askers) -> None:
    gate = Gate()
    busy = [askers.submit(gate.ask) for _ in range(3)]
    asked: list[int] = []
    first, second = askers.submit(asked.append, 1), askers.submit(asked.append, 2)
    assert first.cancel()
    gate.open.set()
    second.result(patient(10))
    assert [one.result(patient(10)) for one in busy] == ["answer"] * 3
    assert asked == [2]


def test_the_end_takes_what_waits_and_leaves_what_is_under_way() -> None:
    askers, gate = Askers(1), Gate()
    busy, waiting = askers.submit(gate.ask), askers.submit(gate.ask)
    until(lambda: gate.waiting == 1, "one is asked")
    askers.shutdown()
    assert waiting.cancelled()
    assert not busy.done()
    gate.open.set()
    assert busy.result(patient(10)) == "answer"
    until(lambda: running() == 0, "its thread ends")


def test_a_process_ends_while_an_answer_is_awaited() -> None:
    code = (
        "import time\n"
        "from pushcli_server.askers import Askers\n"
        "Askers(1).submit(time.sleep, 600)\n"
        "print('asked')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=patient(20),
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "asked\n", "")
