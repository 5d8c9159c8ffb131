"""A store of the server's tables in memory: operations in, records out.

What is submitted is lost with the server until `commit` applies it, in order.
"""

from collections.abc import Iterator

import msgspec

from pushcli_server.store import operations
from pushcli_server.store.records import JobNodeRecord, JobRecord, LiveJob, NodeRecord


class MemoryStore:
    """Jobs, their nodes, nodes and output; an operation on what is not there is a fault."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.files: dict[str, str | None] = {}
        self.job_nodes: dict[str, dict[str, JobNodeRecord]] = {}
        self.nodes: dict[tuple[str, str], NodeRecord] = {}
        self.audit: list[operations.Audit] = []

    def apply(self, operation: operations.Operation) -> None:
        """Do it."""
        match operation:
            case operations.InsertJob(job, nodes, file):
                assert job.id not in self.jobs
                self.jobs[job.id] = job
                self.files[job.id] = file
                self.job_nodes[job.id] = {
                    node: JobNodeRecord(node=node, state=state) for node, state in nodes
                }
            case operations.UpdateJob(job_id=job_id):
                changed = msgspec.structs.asdict(operation)
                del changed["job_id"]
                self.jobs[job_id] = msgspec.structs.replace(self.jobs[job_id], **changed)
            case operations.UpdateJobNodes(job_id, changes):
                for change in changes:
                    self._update(job_id, change)
            case operations.LateResult(job_id, node, detail, partial):
                part = self.job_nodes[job_id][node]
                assert part.late_result in {None, detail}, "another late result"
                self.job_nodes[job_id][node] = msgspec.structs.replace(
                    part, late_result=detail, partial=partial
                )
            case operations.SaveNode(node):
                self.nodes[node.org, node.name] = node
            case operations.Audit():
                self.audit.append(operation)
            case _:
                raise AssertionError(f"nobody here stores {operation}")

    def _update(self, job_id: str, change: operations.NodeChange) -> None:
        part = self.job_nodes[job_id][change.node]
        final = part.state not in {"new", "ready", "running"}
        # One that could not even be asked is told of with the job, and the reason follows.
        assert not final or change.state == part.state, (
            f"{change.node} ended {part.state}, then became {change.state}"
        )
        self.job_nodes[job_id][change.node] = msgspec.structs.replace(
            part, **msgspec.structs.asdict(change)
        )

    def live_jobs(self) -> Iterator[LiveJob]:
        """Jobs that are not over, with their nodes and files."""
        for job in self.jobs.values():
            if job.status in {"voting", "running"}:
                nodes = list(self.job_nodes[job.id].values())
                yield LiveJob(job=job, nodes=nodes, file=self.files[job.id])
