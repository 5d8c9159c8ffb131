"""The original server's jobs over its REST API (Push Jobs protocol, section 3)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from pushcli.errors import BadGateway, Busy, NotFound, RequestRefused, ServerError
from pushcli.protocol import names
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli_server.importing.original_job import MAX_NODES, OriginalJob
from pushcli_server.importing.source import (
    MAX_OUTPUT,
    Captured,
    Named,
    Output,
    Passing,
    Read,
    Unreadable,
)

_TOGETHER = 100
_AGAIN = "it cannot be read just now: import again later"


class Api(Protocol):
    """What is asked of the server; every call raises `PushcliError`s."""

    def jobs(self) -> Any:
        """All jobs, without their nodes."""
        ...

    def job(self, job_id: str, *, include_file: bool = False) -> Any:
        """One job with its nodes by state, and with its file if wanted."""
        ...

    def job_output(self, job_id: str, node: str, channel: str) -> bytes:
        """What the node's command wrote to `stdout` or `stderr`."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class OriginalRest:
    """Jobs of one organization.

    Args:
        name: of the server, for people.
        org: what the URL calls the organization.
    """

    def __init__(self, api: Api, name: str, org: str) -> None:
        self._name = name
        self._api = api
        self._org = org

    @property
    def name(self) -> str:
        """See `Source`."""
        return self._name

    def close(self) -> None:
        """See `Source`."""
        self._api.close()

    def jobs(self) -> tuple[int, Iterator[list[Named]]]:
        """See `Source`; the original has no pages."""
        found = self._api.jobs()
        if not isinstance(found, list):
            raise ServerError(
                "the server's list of jobs is not one", "does the URL point to a Push Jobs server?"
            )
        named = [Named(_id(one), self._org) for one in found]
        starts = range(0, len(named), _TOGETHER)
        return len(named), (named[start : start + _TOGETHER] for start in starts)

    def read(self, job_ids: Sequence[str], *, outputs: bool) -> Iterator[Read]:
        """See `Source`."""
        for job_id in job_ids:
            try:
                job = self._job(job_id)
            except NotFound:
                continue
            except Unreadable as error:
                yield Read(job_id, error)
            else:
                yield Read(job_id, job, self._outputs(job) if outputs and job.capture else ())

    def _job(self, job_id: str) -> OriginalJob:
        try:
            found = self._api.job(job_id, include_file=True)
        except (ServerError, RequestRefused) as error:
            raise Unreadable(error.message) from error
        if not isinstance(found, dict) or found.get("id") != job_id:
            raise Unreadable("the server's answer is another thing than this job")
        remarks: list[str] = []
        return OriginalJob(
            id=job_id, command=found.get("command"), status=str(found.get("status"))[:100],
            run_timeout=found.get("run_timeout"),
            created_at=moment(found.get("created_at"), "created_at", remarks),
            updated_at=moment(found.get("updated_at"), "updated_at", remarks),
            user=found.get("user"), dir=found.get("dir"), env=found.get("env"),
            capture=found.get("capture_output") is True, file=found.get("file"),
            parts=list(_parts(found.get("nodes"))), remarks=remarks,
        )  # fmt: skip

    def _outputs(self, job: OriginalJob) -> Iterator[Output]:
        for node, _ in job.parts:
            # It becomes a part of a path.
            if not names.is_node_name(node):
                continue
            try:
                channels = [
                    _channel(self._api.job_output(job.id, node, channel))
                    for channel in ("stdout", "stderr")
                ]
            except NotFound:
                continue
            except (BadGateway, Busy) as error:
                raise Passing(f"{_AGAIN}: output of {node}: {error.message}") from error
            except (ServerError, RequestRefused) as error:
                raise Unreadable(f"of {node}: {error.message}") from error
            yield Output(node, *channels)


def moment(text: object, what: str, remarks: list[str]) -> float | None:
    """Seconds since the epoch; None: it is no time. One without a zone is taken for UTC.

    Args:
        what: what `remarks` call it.
    """
    if not isinstance(text, str) or len(text) > 100:
        return None
    try:
        return parse_rfc1123(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        remarks.append(f"{what} names no zone: UTC")
        found = found.replace(tzinfo=UTC)
    return found.timestamp()


def _id(job: object) -> str:
    found = job.get("id") if isinstance(job, dict) else None
    return found if isinstance(found, str) else ""


def _parts(nodes: object) -> Iterator[tuple[str, str]]:
    if not isinstance(nodes, Mapping):
        return
    count = 0
    for state, members in nodes.items():
        for node in members if isinstance(members, list) else []:
            if isinstance(node, str) and count <= MAX_NODES:
                count += 1
                yield node, str(state)[:100]


def _channel(data: bytes) -> Captured:
    return Captured(data[:MAX_OUTPUT], len(data))
