"""What is measured of a Chef Infra Server: how often it is asked, and how it answers."""

from collections.abc import Callable
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Answering = Literal["answered", "refused", "away"]
Age = Literal["fresh", "stale"]


class Measured:
    """Counters of questions, by kind and outcome, and of answers that needed none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._questions = Counter(
            "pushcli_chef_questions",
            "Questions to the Chef Infra Server, by what they are about and what came of them.",
            ["kind", "outcome"], registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "pushcli_chef_question_seconds", "How long they took, whatever came of them.", ["kind"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._remembered = Counter(
            "pushcli_chef_remembered_answers",
            "Answers that were known: fresh, or stale because the server did not answer.",
            ["age"], registry=registry,
        )  # fmt: skip
        self._kept = Gauge("pushcli_chef_kept", "Answers that are remembered.", registry=registry)

    def asked(self, kind: str, outcome: Answering, seconds: float) -> None:
        """It was asked, and took so long."""
        self._questions.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)

    def remembered(self, age: Age) -> None:
        """It was known."""
        self._remembered.labels(age).inc()

    def count_kept(self, count: Callable[[], int]) -> None:
        """What is remembered is counted so, when somebody asks."""
        self._kept.set_function(count)


class NodeMetrics:
    """What is measured of looks at nodes; each by organization."""

    def __init__(self, registry: CollectorRegistry) -> None:
        of: dict[str, Any] = {"labelnames": ["organization"], "registry": registry}
        self.looked = Gauge(
            "pushcli_chef_nodes_looked_timestamp_seconds",
            "When all nodes of the Chef Infra Server were last looked at, since the epoch.", **of,
        )  # fmt: skip
        self.nodes = Gauge("pushcli_chef_nodes", "Nodes that the Chef Infra Server has.", **of)
        self.changes = Counter(
            "pushcli_chef_node_changes",
            "Nodes that came, went, or whose whitelist changed on the Chef Infra Server.", **of,
        )  # fmt: skip
        self.failures = Counter(
            "pushcli_chef_node_failures", "Looks at nodes that did not come to their end.", **of
        )
