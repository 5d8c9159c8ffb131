"""What the commands of a job wrote: each distinct output is fetched once, several at a time."""

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from pushcli.errors import NotFound
from pushcli.jobs.at_once import Interrupted, at_once
from pushcli.jobs.fetch_bar import fetch_bar
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.output import CHANNELS, Outputs
from pushcli.jobs.results import never_ran
from pushcli.terminal.context import App

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

AT_ONCE = 4
"""Connections; each request is signed, so that more would only wait for the processor."""
_DIGEST = re.compile("[0-9a-f]{64}")
_Key = str | tuple[str, str]
"""Of an output: its digest, or, where a server has none, its node and channel."""


def fetch_outputs(
    app: App, job: JobView, results: Sequence[NodeResult], channels: Sequence[str] = CHANNELS
) -> dict[str, Outputs]:
    """What each node's command wrote, by channel; nothing of those that have none.

    Raises:
        Interrupted: Ctrl-C; it is for the caller to say what that means.
        PushcliError: the server did not answer.
    """
    has_digests = "output-digests" in app.client.extensions
    if not job.capture_output and not has_digests:
        return {}
    ran = [result for result in results if not never_ran(result)]

    def key(result: NodeResult, channel: str) -> _Key | None:
        part = None if has_digests else (result.node, channel)
        return _digest(result, channel) or part

    keys = [key(r, channel) for r in ran for channel in channels if _size(r, channel) != 0]
    wanted = [each for each in dict.fromkeys(keys) if each is not None]
    with fetch_bar(app, len(wanted)) as bar:
        calls = [partial(_fetched, app.client, job.id, each) for each in wanted]
        contents = dict(zip(wanted, at_once(calls, AT_ONCE, bar.note), strict=True))
    outputs: dict[str, Outputs] = {}
    for result in ran:
        outputs[result.node] = of_node = {}
        for channel in channels:
            content: bytes | None = b""
            if _size(result, channel) != 0:
                found = key(result, channel)
                content = None if found is None else contents[found]
            if content is not None:
                of_node[channel] = content
    return outputs


def _fetched(client: "ApiClient", job_id: str, key: _Key) -> bytes | None:
    try:
        if isinstance(key, str):
            return client.output_of(job_id, key)
        return client.job_output(job_id, *key)
    except NotFound:
        # The job, or its output, was deleted meanwhile.
        return None


def unfetched(interrupt: KeyboardInterrupt) -> str:
    """What somebody who does not wait for results is told: how much of them there was."""
    if isinstance(interrupt, Interrupted):
        return f"{interrupt.done:,} of {interrupt.total:,} outputs were fetched, none is shown"
    return "its results were not fetched"


def unarrived(result: NodeResult, outputs: Outputs, channels: Sequence[str]) -> list[str]:
    """Those of the channels on which the node wrote something that is not there."""
    return [channel for channel in channels if _size(result, channel) and channel not in outputs]


def _digest(result: NodeResult, channel: str) -> str | None:
    found = result.stdout_digest if channel == "stdout" else result.stderr_digest
    return found if found is not None and _DIGEST.fullmatch(found) else None


def _size(result: NodeResult, channel: str) -> int | None:
    return result.stdout_size if channel == "stdout" else result.stderr_size
