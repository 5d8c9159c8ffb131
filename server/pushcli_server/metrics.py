"""What is measured as it happens, and how things stand when somebody asks: for Prometheus."""

import socket
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pushcli import __version__
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.node import Node, Phase
from pushcli_server.lag import Sample
from pushcli_server.store import Store

_LOOP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_COMMIT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters and histograms; each belongs to who counts.

    Durations are in seconds. Of a block of the event loop `busy` is the processor time that our
    own thread used in it: what is late without it waited for the machine.
    """

    def __init__(self) -> None:
        # When each series began tells nobody anything, and doubles their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        # Of several the one that speaks.
        Info("pushcli_server", "Which server this is.", registry=self.registry).info(
            {"host": socket.gethostname(), "version": __version__}
        )
        self.commits = Histogram(
            "pushcli_store_commit_seconds", "Commits of the database, from begin to durable.",
            buckets=_COMMIT, registry=self.registry,
        )  # fmt: skip
        self.commit_failures = Counter(
            "pushcli_store_commit_failures",
            "Commits that failed and are tried again.",
            registry=self.registry,
        )
        self.lag = Histogram(
            "pushcli_event_loop_lag_seconds", "How late a timer of the event loop was.",
            buckets=_LOOP, registry=self.registry,
        )  # fmt: skip
        self.busy = Histogram(
            "pushcli_event_loop_busy_seconds",
            "Processor time of the event loop between two of its timers.",
            buckets=_LOOP, registry=self.registry,
        )  # fmt: skip
        self.answers = Counter(
            "pushcli_http_answers", "Answers to HTTP requests.", ["status"], registry=self.registry
        )
        self.connections = Gauge(
            "pushcli_connections", "Connections that are open, by port.", ["port"],
            registry=self.registry,
        )  # fmt: skip
        self.unread = Gauge(
            "pushcli_unread_seconds",
            "How long a message of an agent may have waited to be read.",
            registry=self.registry,
        )

    def committed(self, seconds: float | None) -> None:
        """A commit took so long; None: it failed."""
        if seconds is None:
            self.commit_failures.inc()
        else:
            self.commits.observe(seconds)

    def looped(self, sample: Sample) -> None:
        """The event loop came round."""
        self.lag.observe(sample.lag)
        self.busy.observe(sample.used)


class Counted(Collector):
    """A count that somebody else keeps."""

    def __init__(self, name: str, documentation: str, count: Callable[[], int]) -> None:
        self._name, self._documentation, self._count = name, documentation, count

    def collect(self) -> Iterator[Metric]:
        """As it is now."""
        yield CounterMetricFamily(self._name, self._documentation, value=self._count())


class Standing(Collector):
    """How the server stands at the moment of the question."""

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        store: Store,
        channel: CommandChannel,
    ) -> None:
        self._fleet, self._clock, self._store, self._channel = fleet, clock, store, channel

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead: what there is depends on the moment."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        yield _gauges(
            "pushcli_nodes", "Nodes that were heard of since the start, by state.",
            ("organization", "state"), node_states(self._fleet, self._clock.now()),
        )  # fmt: skip
        yield _counters(
            "pushcli_nodes_went_offline", "Nodes that were not heard of in time.",
            ("organization",),
            {(org,): count for org, count in self._fleet.went_offline.items()},
        )  # fmt: skip
        yield _gauges(
            "pushcli_jobs", "Jobs that are not over, by status.", ("organization", "status"),
            Tally((job.key.org, str(job.status)) for job in self._fleet.jobs.values()),
        )  # fmt: skip
        yield _counters(
            "pushcli_messages_received", "Verified messages of agents, by type.", ("type",),
            {(tag_of(kind),): count for kind, count in self._channel.received.items()},
        )  # fmt: skip
        yield _counters(
            "pushcli_messages_dropped", "Messages that were dropped, by reason.", ("reason",),
            {(reason.value,): count for reason, count in self._channel.drops.counts.items()},
        )  # fmt: skip
        waiting, size = self._store.waiting
        yield _gauges(
            "pushcli_store_waiting", "Changes that wait for the database.", (), {(): waiting}
        )
        yield _gauges("pushcli_store_waiting_bytes", "Their size, about.", (), {(): size})
        yield _gauges(
            "pushcli_store_healthy", "1 while the database can be written.", (),
            {(): int(self._store.healthy)},
        )  # fmt: skip


def node_states(fleet: Fleet, now: float) -> Tally[tuple[str, str]]:
    """How many nodes there are by organization and state."""
    return Tally((key.org, _state(fleet, key, node, now)) for key, node in fleet.nodes.items())


def _state(fleet: Fleet, key: NodeKey, node: Node, now: float) -> str:
    if node.phase is Phase.OFFLINE:
        return "offline"
    if fleet.pause(key, now) is not None:
        return "paused"
    if fleet.busy.get(key):
        return "busy"
    return "available" if fleet.why_unavailable(key, now) is None else "unavailable"


def tag_of(kind: type) -> str:
    """What a message of this type is called on the wire."""
    return str(msgspec.inspect.type_info(kind).tag)  # type: ignore[attr-defined]


def _family(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily], name: str, text: str,
    labels: tuple[str, ...], values: Mapping[Any, int],
) -> Metric:  # fmt: skip
    family = kind(name, text, labels=labels)
    for label, value in values.items():
        family.add_metric(label, value)
    return family


_counters = partial(_family, CounterMetricFamily)
_gauges = partial(_family, GaugeMetricFamily)
