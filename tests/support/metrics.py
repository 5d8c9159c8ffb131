"""What a server measures of itself."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from pushcli.sandbox.sandbox import Sandbox


def metric(fleet: Sandbox, name: str, **labels: str) -> float:
    """A sample of `/metrics`, summed up over its other labels."""
    base = fleet.url.partition("/organizations")[0]
    with urllib.request.urlopen(f"{base}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
