"""The fleet that chaos reigns over: what lives, what is dead, and in which phases it is hit."""

import contextlib
import heapq
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pushcli.errors import PushcliError
from pushcli_agent.running.job_directory import is_locked, read_lock
from tests.chaos.nodes import Simulated
from tests.chaos.phases import FRESH, Phase, Spooled, Tally, all_voted, phase_of, spooled
from tests.chaos.store import StoreView
from tests.chaos.verdict import Key
from tests.support.powered import PoweredFleet, send_signal, stopped

_TICK = 0.01


class World:
    """A fleet of real and simulated nodes with a server that may die at any time.

    Args:
        chance: where everything random comes from.
        seconds: for how long there is chaos.
    """

    def __init__(
        self, fleet: PoweredFleet, store: StoreView, simulated: Simulated, names: list[str],
        *, chance: random.Random, seconds: float,
    ) -> None:  # fmt: skip
        self.fleet, self.store, self.simulated, self.names = fleet, store, simulated, names
        self.chance = chance
        self.tally = Tally()
        self.killed: set[Key] = set()
        """Parts whose supervisor was killed before it was done."""
        self.posted: list[str] = []
        self.story: list[str] = []
        self._dead: set[str] = set()
        self._due: list[tuple[float, int, str]] = []
        self._number = itertools.count()
        self._begun = time.monotonic()
        self._end = self._begun + seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be killed from now on."""
        return time.monotonic() >= self._end

    def record(self, line: str) -> None:
        """One line of what was done."""
        self.story.append(f"{time.monotonic() - self._begun:7.2f} {line}")

    # --- what is where

    def spool(self, node: str) -> Path:
        """Of a real node."""
        return self.fleet.agent_directory(node) / "spool"

    def spooled(self, node: str, job: str) -> Spooled:
        """How far a job is on a real node."""
        return spooled(self.spool(node), job)

    def phases(self) -> dict[Key, Phase]:
        """Of every part of a real node that is in one."""
        now = time.time()
        parts = self.store.live(now - FRESH)
        real = set(self.fleet.nodes)
        spools = {
            (part.job, part.node): self.spooled(part.node, part.job)
            for part in parts
            if part.node in real
        }
        voted = all_voted(parts, spools)
        found = {}
        for part in parts:
            if part.node in real:
                key = (part.job, part.node)
                phase = phase_of(part, spools[key], all_voted=part.job in voted, now=now)
                if phase is not None:
                    found[key] = phase
        return found

    def is_alive(self, name: str) -> bool:
        """Whether a node's agent, or `server`, was not killed."""
        return name not in self._dead

    def supervisors(self) -> dict[Key, int]:
        """The processes beside jobs, by job and node."""
        found = {}
        for node in self.fleet.nodes:
            with contextlib.suppress(OSError):
                for directory in self.spool(node).iterdir():
                    pid, _ = read_lock(directory)
                    if pid and is_locked(directory):
                        found[directory.name, node] = pid
        return found

    def idle(self) -> list[str]:
        """Real nodes that would take part now."""
        try:
            states = self.fleet.api.node_states()
        except PushcliError:
            return []
        available = {s["node_name"] for s in states if s["availability"] == "available"}
        return [
            node
            for node in self.fleet.nodes
            if node in available and self.is_alive(node) and not any(self.spool(node).iterdir())
        ]

    # --- jobs

    def post(self, command: str, nodes: list[str], **more: Any) -> str | None:
        """Start a job, if the server can be asked; it may have started one all the same."""
        if not self.is_alive("server"):
            return None
        body = {"command": command, "nodes": nodes, "quorum": 1, "run_timeout": 60, **more}
        try:
            job = self.fleet.api.start_job(body)
        except PushcliError as error:
            self.record(f"refused: {error}")
            return None
        self.posted.append(job)
        self.record(f"job {job} {command} on {len(nodes)} nodes, {more}")
        return job

    def abort(self, job: str) -> None:
        """Abort a job, if the server can be asked."""
        self.record(f"abort {job}")
        if self.is_alive("server"):
            with contextlib.suppress(PushcliError):
                self.fleet.api.abort_job(job)

    # --- deaths

    def kill(self, victim: str) -> None:
        """KILL the server or an agent; it is started again later."""
        if not self.is_alive(victim):
            return
        os.kill(self.fleet.pid(victim), signal.SIGSTOP)
        phases = self.phases()
        if victim != "server":
            phases = {key: phase for key, phase in phases.items() if key[1] == victim}
        self._count("server" if victim == "server" else "agent", victim, phases)
        if victim == "server":
            self.fleet.end_server(signal.SIGKILL)
        else:
            self.fleet.end_agent(victim, signal.SIGKILL)
        self._died(victim)

    def cut_power(self, node: str) -> None:
        """The machine of a real node dies, and comes back later with what was synced."""
        if not self.is_alive(node):
            return
        beside = {key: pid for key, pid in self.supervisors().items() if key[1] == node}
        stopped([self.fleet.pid(node), *beside.values()])
        phases = {key: phase for key, phase in self.phases().items() if key[1] == node}
        self._count("machine", f"the machine of {node}", phases)
        # Those that were not done yet; of the others the result must be there.
        self.killed |= {key for key in self.supervisors() if key[1] == node}
        self.fleet.cut_power(node, beside.values())
        self._died(node)

    def _died(self, victim: str) -> None:
        self._dead.add(victim)
        pause = self.chance.choice([0.0, 0.3, 1.0, 2.5]) * self.chance.random()
        heapq.heappush(self._due, (time.monotonic() + pause, next(self._number), victim))

    def kill_supervisor(self, key: Key) -> None:
        """KILL the process beside a job; its command goes with it, sooner or later."""
        pid = self.supervisors().get(key)
        if pid is None or not send_signal(pid, signal.SIGSTOP):
            return
        phases = {found: phase for found, phase in self.phases().items() if found == key}
        self._count("supervisor", f"the supervisor of {key[0]} on {key[1]}", phases)
        self.killed.add(key)
        send_signal(pid, signal.SIGKILL)

    def end_connections(self) -> None:
        """PostgreSQL ends the server's connections."""
        phases = self.phases()
        ended = self.store.end_connections()
        self._count("connection", f"{ended} connections of the database", phases)

    def _count(self, kind: str, what: str, phases: dict[Key, Phase]) -> None:
        self.tally.add(kind, phases.values())
        self.record(f"KILL {what}: {', '.join(sorted(set(phases.values()))) or 'in no phase'}")

    @contextmanager
    def frozen(self, *pids: int) -> Iterator[None]:
        """These processes are stopped meanwhile."""
        stopped = [pid for pid in pids if send_signal(pid, signal.SIGSTOP)]
        try:
            yield
        finally:
            for pid in stopped:
                send_signal(pid, signal.SIGCONT)

    # --- and lives

    def revive(self, *, everything: bool = False) -> None:
        """Start again what has been dead for long enough."""
        while self._due and (everything or self._due[0][0] <= time.monotonic()):
            _, _, name = heapq.heappop(self._due)
            self.record(f"start {name}")
            if name == "server":
                self.fleet.start_server()
            else:
                self.fleet.start_agent(name)
            self._dead.discard(name)

    def cast(self, count: int, seconds: float = 8.0) -> list[str]:
        """So many real nodes that are idle, or none if there are not in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.revive()
            idle = self.idle() if self.is_alive("server") else []
            if len(idle) >= count:
                return self.chance.sample(idle, count)
            time.sleep(10 * _TICK)
        self.record(f"fewer than {count} nodes are idle")
        return []

    def wait(self, condition: Callable[[], bool], seconds: float = 4.0) -> bool:
        """Until the sign is seen; False: not in time."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(_TICK)
        return True

    def pause(self, longest: float) -> None:
        """Some time, up to so many seconds."""
        time.sleep(self.chance.random() * longest)
