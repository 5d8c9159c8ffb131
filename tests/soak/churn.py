"""Who comes and goes: simulated nodes, some of them new each time, and a few real agents."""

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import requests

from pushcli import keys
from pushcli.protocol import enrolment
from pushcli.sandbox.sandbox import ORG
from tests.soak.jobs import done, require_output
from tests.soak.world import World
from tests.support import key_files
from tests.support.simulated import OURS, Plan, simulating

NEW = 20
"""Nodes that are enrolled with a token each time, and deleted when they are gone."""


class Guests:
    """A process of simulated nodes, killed and started again and again.

    Args:
        plan: of a process of simulated nodes, whose names and extensions are not used.
    """

    def __init__(self, world: World, plan: Plan) -> None:
        self._world, self._plan = world, plan
        self._process = ExitStack()
        self._new: list[str] = []
        self._generation = 0

    @property
    def names(self) -> list[str]:
        """Those that are there, or were until now."""
        return [*self._world.guests, *self._new]

    def come(self) -> None:
        """All of them, the new ones with a token."""
        self._generation += 1
        names = [f"new{self._generation:03}-{number:02}" for number in range(NEW)]
        wanted = {"uses": NEW, "expires_in": 3600}
        token = self._world.expect(201, "POST", "tokens", wanted)["token"]
        for name in names:
            self._enroll(name, token)
        self._new = names
        self._process.enter_context(
            simulating(
                Plan(
                    nodes=self.names, interval=self._plan.interval, key_file=self._plan.key_file,
                    url=self._plan.url, extensions=OURS,
                )
            )
        )  # fmt: skip
        self._world.until_available(self.names)

    def go(self) -> None:
        """Without a word. The new ones are deleted, every other time before they are missed."""
        self._process.close()
        if self._generation % 2:
            self._world.until_offline(self.names)
        ran = self._world.fleet.cli("node", "delete", "-y", *self._new)
        assert ran.returncode == 0, f"`node delete`: {ran.stderr.strip()[-300:]}"
        self._world.done["nodes enrolled and deleted"] += len(self._new)
        self._new = []
        self._world.until_offline(self._world.guests)

    def step(self, world: World, chance: random.Random) -> None:
        """They go and come back. A job that runs on them then ends somehow."""
        begun, most = world.went_offline(), 2 * len(self.names)
        until = f"until:{time.time() + 5 * chance.random()}"
        job = world.post(until, self.names, quorum=1, capture_output=True)
        world.until(lambda: world.job(job)["status"] != "voting", f"job {job} runs")
        self.go()
        self.come()
        world.done[f"jobs {world.until_over(job)['status']}"] += 1
        done(world, world.post("true", self.names), {"succeeded": self.names})
        # Each once, and once more if it was configured long before it could connect.
        world.expect_offline(min(most, world.went_offline() - begun))
        world.done["generations of guests"] += 1

    def close(self) -> None:
        """For good."""
        self._process.close()

    def _enroll(self, name: str, token: str) -> None:
        key = key_files.read(Path(self._plan.key_file))
        body = {
            "token": token, "name": name, "public_key": keys.public_pem(key),
            "proof": enrolment.prove(key, org=ORG, name=name, token=token),
        }  # fmt: skip
        answer = requests.post(f"{self._world.fleet.url}/enroll", json=body, timeout=60)
        assert answer.status_code == 201, f"{name} is not enrolled: {answer.text}"


def comers(world: World, chance: random.Random) -> None:
    """A real agent goes in the middle of a command, and finds it again."""
    node = chance.choice(world.comers)
    job = world.post("slow", [node], capture_output=True)
    world.until(lambda: world.job(job)["nodes"].get("running"), f"job {job} runs")
    begun = world.went_offline()
    world.fleet.end_agent(node, chance.choice([signal.SIGTERM, signal.SIGKILL]))
    world.fleet.start_agent(node)
    done(world, job, {"succeeded": [node]})
    require_output(world, job, node, b"begun\nended\n")
    world.until_each_available([node])
    world.expect_offline(min(1, world.went_offline() - begun))
    world.done["agents started again"] += 1
