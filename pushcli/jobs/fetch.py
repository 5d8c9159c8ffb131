"""What the commands of a job wrote: each distinct output is fetched once, several at a time."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pushcli.errors import NotFound
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.output import CHANNELS, Outputs
from pushcli.jobs.results import never_ran
from pushcli.terminal.context import App

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

AT_ONCE = 4
"""Connections; each request is signed, so that more would only wait for the processor."""
_TOLD_FROM = 50
_DIGEST = re.compile("[0-9a-f]{64}")


def fetch_outputs(
    app: App, job: JobView, results: Sequence[NodeResult], channels: Sequence[str] = CHANNELS
) -> dict[str, Outputs]:
    """What each node's command wrote, by channel; nothing of those that have none.

    Raises:
        PushcliError: the server did not answer.
    """
    if not job.capture_output:
        return {}
    ran = [result for result in results if not never_ran(result)]
    wanted = list(dict.fromkeys(digest for r in ran for digest in _digests(r, channels)))
    if len(wanted) >= _TOLD_FROM:
        app.remark(f"Fetching {len(wanted)} different outputs ...")
    contents = _fetched(app.client, job.id, wanted)
    return {result.node: _of_node(app, job.id, result, channels, contents) for result in ran}


def unarrived(result: NodeResult, outputs: Outputs, channels: Sequence[str]) -> list[str]:
    """Those of the channels on which the node wrote something that is not there."""
    return [channel for channel in channels if _size(result, channel) and channel not in outputs]


def _digests(result: NodeResult, channels: Sequence[str]) -> Iterator[str]:
    for channel in channels:
        digest = _digest(result, channel)
        if digest is not None and _size(result, channel) != 0:
            yield digest


def _digest(result: NodeResult, channel: str) -> str | None:
    found = result.stdout_digest if channel == "stdout" else result.stderr_digest
    return found if found is not None and _DIGEST.fullmatch(found) else None


def _size(result: NodeResult, channel: str) -> int | None:
    return result.stdout_size if channel == "stdout" else result.stderr_size


def _fetched(client: "ApiClient", job_id: str, digests: Sequence[str]) -> dict[str, bytes]:
    def fetch(digest: str) -> bytes | None:
        try:
            return client.output_of(job_id, digest)
        except NotFound:
            # The job, or its output, was deleted meanwhile.
            return None

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        found = zip(digests, pool.map(fetch, digests), strict=True)
        return {digest: content for digest, content in found if content is not None}
    finally:
        # Whoever presses Ctrl-C does not wait for the rest.
        pool.shutdown(cancel_futures=True)


def _of_node(
    app: App, job_id: str, result: NodeResult, channels: Sequence[str], contents: dict[str, bytes]
) -> Outputs:
    outputs: Outputs = {}
    for channel in channels:
        if _size(result, channel) == 0:
            outputs[channel] = b""
        elif (digest := _digest(result, channel)) is not None:
            if digest in contents:
                outputs[channel] = contents[digest]
        elif "output-digests" not in app.client.extensions:
            try:
                outputs[channel] = app.client.job_output(job_id, result.node, channel)
            except NotFound:
                continue
    return outputs
