"""Whether a process that held the database is there still."""

import subprocess
import sys

from pushcli_server.core.leases import Process
from pushcli_server.store import processes
from tests.support.waiting import until

_TELL = "from pushcli_server.store import processes; print(processes.own(), flush=True); input()"


def test_a_process_is_there_until_it_ends_also_while_nobody_asks_how() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        told = other.stdout.readline().strip()
        assert processes.look_for(told) is Process.THERE
        other.kill()
        until(lambda: processes.look_for(told) is Process.GONE, "it is a zombie")
        other.wait()
        assert processes.look_for(told) is Process.GONE


def test_another_process_with_its_number_is_not_it() -> None:
    told = processes.own()
    world, number, began = told.rsplit(" ", 2)
    assert processes.look_for(told) is Process.THERE
    assert processes.look_for(f"{world} {number} {int(began) + 1}") is Process.GONE


def test_of_another_machine_or_container_nothing_is_known_nor_of_what_makes_no_sense() -> None:
    _, *rest = processes.own().split(" ")
    for told in (" ".join(["another", *rest]), "", "x", "a b c", "  ", "\x00 1 2"):
        assert processes.look_for(told) is Process.ELSEWHERE
