"""The fleet that works: who may take part in what, what was done, and what went wrong."""

import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from pushcli.protocol.timestamps import format_iso8601
from tests.support.feed_reader import FeedReader
from tests.support.fleet import Fleet
from tests.support.metrics import metric
from tests.support.raw_http import Answer, Raw
from tests.support.waiting import patient

BEHIND = 840.0
"""Seconds by which the clock of whoever writes is slow. What a server knows of a write's signature
it keeps for 900 s after the time that the signature names: so it is a minute, and no quarter of
an hour, until as many are forgotten as come."""
ENOUGH = 20
"""Complaints after which a run is over."""


class Pool:
    """Nodes that stay. Who takes some has them for himself, until he gives them back."""

    def __init__(self, names: Sequence[str], chance: random.Random) -> None:
        self._free = list(names)
        self.size = len(names)
        self._chance = chance
        self._changed = threading.Condition()

    def take(self, count: int) -> list[str]:
        """So many; it waits for them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._free) >= count, patient(60)):
                raise TimeoutError(f"{len(self._free)} of {self.size} nodes are free, not {count}")
            taken = self._chance.sample(self._free, count)
            kept = set(taken)
            self._free = [name for name in self._free if name not in kept]
        return taken

    def give_back(self, names: Sequence[str]) -> None:
        """Others may have them."""
        with self._changed:
            self._free += names
            self._changed.notify_all()

    @contextmanager
    def some(self, count: int) -> Iterator[list[str]]:
        """So many, for this time."""
        names = self.take(count)
        try:
            yield names
        finally:
            self.give_back(names)


class World:
    """What all workers share.

    Args:
        real: agents that stay; `simulated` likewise, `guests` come and go, and are simulated.
        comers: real agents that come and go.
    """

    def __init__(
        self, fleet: Fleet, *, real: list[str], simulated: list[str], comers: list[str],
        guests: list[str], seed: int,
    ) -> None:  # fmt: skip
        self.fleet = fleet
        self.real = Pool(real, random.Random(seed))
        self.simulated = Pool(simulated, random.Random(seed + 1))
        self.comers, self.guests = comers, guests
        self.done: Counter[str] = Counter()
        """What was done, how often; jobs by their status."""
        self.complaints: list[str] = []
        self.may_go_offline = 0
        """How often a node was made to be silent for long enough."""
        self.is_warm = False
        self._numbers = itertools.count()
        self._steps = threading.Condition()
        self._at_work: Counter[str] = Counter()
        self._closed: set[str] = set()
        """Kinds of work that do not begin now."""
        self._is_over = False

    # --- the operator

    def ask(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """A request of the operator's."""
        number = next(self._numbers)
        content = b"" if body is None else json.dumps(body).encode() + _blanks(number)
        signed_at = time.time() - (BEHIND - number % 20 if method != "GET" else 0.0)
        signed = format_iso8601(signed_at)
        return Raw(self.fleet)(method, path, content, timestamp=signed, **more)

    def expect(self, status: int, method: str, path: str, body: object = None, **more: Any) -> Any:
        """The same; what came, if it has this status."""
        answer = self.ask(method, path, body, **more)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.body[:300]!r}"
        return json.loads(answer.body) if answer.body else None

    def post(self, command: str, nodes: Sequence[str], **more: object) -> str:
        """Start a job."""
        body = {"command": command, "nodes": list(nodes), "run_timeout": 120, **more}
        uri: str = self.expect(201, "POST", "pushy/jobs", body)["uri"]
        return uri[-32:]

    def follow(self, job: str) -> None:
        """Read its feed to the end."""
        feed = FeedReader(self.fleet.profile, f"job_status_feed/{job}")
        FeedReader.opened.clear()
        if feed.status == 200:
            feed.rest()

    def job(self, job: str) -> Any:
        """As REST shows it."""
        return self.expect(200, "GET", f"pushy/jobs/{job}")

    def until_over(self, job: str, seconds: float = 60.0) -> Any:
        """The job, once it is."""
        return self.until(lambda: _if_over(self.job(job)), f"job {job} is over", seconds)

    def until(
        self, condition: Callable[[], Any], what: str, seconds: float = 60.0, pause: float = 0.2
    ) -> Any:  # fmt: skip
        """What the condition gives once it is true."""
        deadline = time.monotonic() + patient(seconds)
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {patient(seconds):g} s: {what}"
            time.sleep(pause)
        return value

    def until_available(self, names: Sequence[str]) -> None:
        """All of these may be asked to run jobs."""
        self._until_all(names, "availability", "available")

    def until_offline(self, names: Sequence[str]) -> None:
        """None of these was heard of in time."""
        self._until_all(names, "status", "offline")

    def _until_all(self, names: Sequence[str], field: str, value: str) -> None:
        wanted = set(names)

        def there() -> bool:
            states = self.expect(200, "GET", "pushy/node_states")
            return wanted <= {s["node_name"] for s in states if s[field] == value}

        # It is a long answer.
        words = f"{len(wanted)} nodes are {value}: {', '.join(sorted(wanted)[:5])}"
        self.until(there, words, pause=0.5)

    def until_each_available(self, names: Sequence[str]) -> None:
        """The same, of a few."""
        for name in names:
            self.until(partial(self._is_available, name), f"{name} is available")

    def _is_available(self, node: str) -> bool:
        state = self.expect(200, "GET", f"pushy/node_states/{node}")
        return bool(state["availability"] == "available")

    def live_jobs(self) -> int:
        """Jobs that are not over, as the server counts."""
        return int(metric(self.fleet, "pushcli_jobs"))

    def went_offline(self) -> int:
        """How often a node was not heard of, as the server counts."""
        return int(metric(self.fleet, "pushcli_nodes_went_offline_total"))

    def expect_offline(self, times: int) -> None:
        """So often nodes were made to be silent; several steps may say so at once."""
        with self._steps:
            self.may_go_offline += times

    # --- steps and rest

    @property
    def is_over(self) -> bool:
        """Whether no step begins any more."""
        return self._is_over or len(self.complaints) >= ENOUGH

    def over(self) -> None:
        """No step begins any more."""
        with self._steps:
            self._is_over = True
            self._steps.notify_all()

    def complain(self, text: str) -> None:
        """Something went wrong."""
        self.complaints.append(text)

    @contextmanager
    def step(self, kind: str) -> Iterator[None]:
        """One thing that a worker does: none begins while the fleet is at rest."""
        with self._steps:
            self._steps.wait_for(lambda: kind not in self._closed or self._is_over)
            self._at_work[kind] += 1
        try:
            yield
        finally:
            with self._steps:
                self._at_work[kind] -= 1
                self._steps.notify_all()

    @contextmanager
    def at_rest(self, *slow: str) -> Iterator[None]:
        """Nothing is done meanwhile: everybody is there, and no job runs.

        Args:
            slow: kinds of work that are let come to their end before the others rest.
        """
        with self._steps:
            for kinds in (set(slow), set(self._at_work)):
                self._closed |= kinds
                done = partial(self._is_done, kinds)
                if not self._steps.wait_for(done, patient(120)):
                    raise TimeoutError("what was begun does not come to its end")
        try:
            yield
        finally:
            with self._steps:
                self._closed.clear()
                self._steps.notify_all()

    def _is_done(self, kinds: set[str]) -> bool:
        return not any(self._at_work[kind] for kind in kinds)


def _if_over(job: dict[str, Any]) -> dict[str, Any] | None:
    return None if job["status"] in {"new", "voting", "running"} else job


def _blanks(number: int) -> bytes:
    """That tell this body from others that say the same: equal signatures are one request."""
    return f"{number:024b}".translate({ord("0"): " ", ord("1"): "\t"}).encode()
