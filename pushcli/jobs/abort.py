"""Ending jobs, and learning from the nodes that their commands have ended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pushcli.errors import NotFound, NotOffered, PermissionDenied, PushcliError, ServerError
from pushcli.escape import escape_line
from pushcli.jobs.model import PENDING, JobView, NodeResult
from pushcli.jobs.results import node_results
from pushcli.jobs.watch import look
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold

ABORTING = "abort"
"""The extension: without it the server cannot end a job."""
CONFIRMING = 8.0
"""Seconds: agents give a command 5 s to end, and kill it then."""
_LOOK = 0.2
_CANNOT_TELL = (NotFound, PermissionDenied, ServerError)
"""Whoever may abort a job may not read it, or the server does not tell."""


@dataclass(kw_only=True)
class Abort:
    """One job that is aborted, or was over before.

    Args:
        status: the job's, afterwards; empty: it was not asked for.
        over: the job was over before.
        before: parts of its nodes that were not over before.
        pending: nodes of which it is not known yet that nothing runs on them any more.
        lost: those of them that are out of contact.
        ending: nodes that were seen to be ending the command.
        waited: seconds for which it was waited for their word.
    """

    job_id: str
    status: str = ""
    over: bool = False
    before: list[NodeResult] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    ending: set[str] = field(default_factory=set)
    waited: float = 0.0

    @property
    def ran(self) -> set[str]:
        """Nodes on which the command was running: each of them tells how it ended."""
        return {part.node for part in self.before if part.state == "running"}

    @property
    def is_aborted(self) -> bool:
        """Whether it was this that ended the job."""
        return self.status == "aborted" and not self.over

    @property
    def confirmed(self) -> list[str]:
        """Nodes on which the command was running, or was to, and does not any more."""
        open_ = {*self.pending, *self.lost}
        return [part.node for part in self.before if part.node not in open_]

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        open_ = [*self.pending, *self.lost]
        told = {"confirmed": self.confirmed, "unconfirmed": open_} if self.is_aborted else {}
        shown = {name: nodes for name, nodes in told.items() if nodes}
        return {"id": self.job_id, "status": self.status, **shown}


def abort(app: App, job_ids: Sequence[str]) -> None:
    """End jobs; those that are over already stay as they are.

    The server counts nodes as aborted at once. It is waited for a little until the nodes, too, say
    that the command has ended; those that do not are named.

    Raises:
        PushcliError: one could not be aborted; the others were.
    """
    done: list[Abort] = []
    failed: list[tuple[str, PushcliError]] = []
    for job_id in dict.fromkeys(job_ids):
        try:
            done.append(_begun(app, job_id))
        except NotOffered:
            # Nor is it for any other.
            raise
        except PushcliError as error:
            failed.append((job_id, error))
    try:
        confirm(app, [one for one in done if one.is_aborted])
    finally:
        _report(app, done, several=len(done) + len(failed) > 1)
    if failed:
        job_id, why = failed[0]
        if len(done) + len(failed) == 1:
            raise why
        kind = type(why) if len(failed) == 1 else PushcliError
        raise kind(f"{len(failed)} not aborted ({job_id}: {why.message})", why.remedy)


def _begun(app: App, job_id: str) -> Abort:
    one = Abort(job_id=job_id)
    before = _before(app, job_id)
    one.status = app.client.abort_job(job_id)
    if before is not None:
        job, parts = before
        one.over = job.is_over
        one.before = [part for part in parts if part.state in PENDING]
    one.over = one.over or one.status != "aborted"
    return one


def _before(app: App, job_id: str) -> tuple[JobView, list[NodeResult]] | None:
    try:
        job = look(app, job_id).job
        return job, [] if job.is_over else node_results(app, job)
    except _CANNOT_TELL:
        return None


def confirm(app: App, aborted: Sequence[Abort]) -> None:
    """Wait until the nodes have ended the commands; not for those that are out of contact."""
    for one in aborted:
        one.lost = [part.node for part in one.before if part.out_of_contact]
    if "job-nodes" not in app.client.extensions:
        return
    for one in aborted:
        # Until the server was asked, none has confirmed it.
        one.pending = [part.node for part in one.before if not part.out_of_contact]
    began = app.clock()
    for one in aborted:
        while True:
            one.pending = _ending(app, one)
            one.waited = app.clock() - began
            if not one.pending or one.waited >= CONFIRMING:
                break
            app.sleep(_LOOK)


def _ending(app: App, one: Abort) -> list[str]:
    """Nodes that are still ending the command."""
    try:
        parts = node_results(app, look(app, one.job_id).job)
    except _CANNOT_TELL:
        return []
    affected = {part.node for part in one.before} - {*one.lost}
    one.ending |= {part.node for part in parts if part.ending and part.node in affected}
    # One that goes away is not ending it any more, as far as anybody knows: its word is missing.
    silent = {part.node for part in parts if part.late_result is None} & one.ending & one.ran
    return [
        part.node for part in parts if part.ending or part.node in silent if part.node in affected
    ]


def _report(app: App, done: Sequence[Abort], *, several: bool) -> None:
    if not app.is_text:
        told = [one.as_data() for one in done]
        app.emit(told if several else told[0] if told else [])
        return
    for one in done:
        where = f"{one.job_id}: " if several else ""
        app.print(f"{where}{_words(one)}")
        for remark in remarks(one):
            app.note(f"{where}{remark}")


def remarks(one: Abort) -> Iterator[str]:
    """The nodes that did not say that the command has ended, a line for each reason."""
    if one.lost:
        yield (
            f"NOT CONFIRMED by {fold(one.lost)}, out of contact: the command may run on there "
            "until the node is back"
        )
    if one.pending:
        after = f"after {one.waited:.0f} s" if one.waited >= 1 else "so far"
        yield (
            f"NOT CONFIRMED by {fold(one.pending)} {after}: the command may still be ending "
            f"there; see `pushcli job status {one.job_id}`"
        )


def _words(one: Abort) -> str:
    if not one.is_aborted:
        return f"Not aborted: the job was already over ({escape_line(one.status)})."
    if not one.confirmed:
        return "Aborted."
    count = f" ({len(one.confirmed)})" if len(one.confirmed) > 1 else ""
    return f"Aborted.  Confirmed by {fold(map(escape_line, one.confirmed))}{count}"
