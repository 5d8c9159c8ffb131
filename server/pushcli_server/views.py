"""What REST shows of a job: exactly the keys that old scripts compare (section 3)."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from pushcli.protocol import run_wire
from pushcli.protocol.run import RunSpec
from pushcli.protocol.timestamps import format_rfc1123
from pushcli_server.core.job import Job
from pushcli_server.core.states import NodeState


class Described(Protocol):
    """What a job's view needs; a live job and a stored one have it."""

    @property
    def id(self) -> str: ...
    @property
    def run(self) -> RunSpec: ...
    @property
    def has_file(self) -> bool: ...
    @property
    def status(self) -> str: ...
    @property
    def created_at(self) -> float: ...
    @property
    def updated_at(self) -> float: ...


def job_summary(job: Described, *, include_file: bool = False) -> dict[str, Any]:
    """A job as `GET jobs` lists it, without its nodes."""
    run = run_wire.rest_fields(job.run)
    if job.has_file and not include_file:
        run.pop("file", None)
        run["file_specified"] = True
    return {
        "id": job.id,
        "command": job.run.command,
        "status": str(job.status),
        "run_timeout": run_wire.whole(job.run.run_timeout),
        "created_at": format_rfc1123(job.created_at),
        "updated_at": format_rfc1123(job.updated_at),
        **run,
    }


def job_with_nodes(
    job: Described, states: Mapping[str, NodeState], *, include_file: bool = False
) -> dict[str, Any]:
    """A job as `GET jobs/ID` shows it: its nodes under their states."""
    return {**job_summary(job, include_file=include_file), "nodes": by_state(states.items())}


def by_state(states: Iterable[tuple[str, NodeState]]) -> dict[str, list[str]]:
    """The nodes under each state that has any."""
    grouped: dict[str, list[str]] = {}
    for node, state in states:
        grouped.setdefault(str(state), []).append(node)
    return grouped


def out_of_contact(job: Job, node: str) -> bool:
    """Whether a node at work is not heard of, while we still wait for it."""
    return node in job.lost
