"""Pages of the list of jobs, as the server gives them."""

from typing import Any

import msgspec

from pushcli.client.answers import checked
from pushcli.protocol.timestamps import parse_rfc1123

EXTENSION = "job-pages"
"""Of servers that list jobs by the page, and find them by the beginning of an id."""


class ListedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a page of `GET jobs` (docs/extensions.md); of an older server the first five.

    Args:
        created_at, updated_at, ended_at: RFC 1123 dates.
        requestor_kind: user or client; None: he has left, or nobody knows.
        states: how many of its nodes are in each state.
        batch: what it has in common with the jobs of other batches.
        duration: seconds from its creation to its end.
    """

    id: str
    command: str
    status: str
    created_at: str
    updated_at: str
    ended_at: str | None = None
    run_timeout: float | None = None
    capture_output: bool = False
    requestor: str | None = None
    requestor_kind: str | None = None
    origin: str | None = None
    quorum: int | None = None
    node_count: int | None = None
    states: dict[str, int] = {}
    duration: float | None = None
    batch: str | None = None

    @property
    def who(self) -> str:
        """Who started it, for people: a client is called one, a user may have its name.

        Of jobs that were taken over from the original server nobody knows; an older server of ours
        does not say.
        """
        if not self.requestor:
            return "" if self.node_count is None else "(unknown)"
        return f"client {self.requestor}" if self.requestor_kind == "client" else self.requestor

    @property
    def created(self) -> float:
        """Seconds since the epoch; 0 if the server says no date."""
        try:
            return parse_rfc1123(self.created_at)
        except ValueError:
            return 0.0


class JobPage(msgspec.Struct, frozen=True):
    """Some jobs, the newest first, with the server's own words for each.

    Args:
        next: where the next page goes on; None: there are no more.
        paged: the server did what it was asked for, and has not given all of its jobs instead.
    """

    jobs: list[ListedJob]
    raw: list[dict[str, Any]]
    next: str | None = None
    paged: bool = True


class _Answer(msgspec.Struct, frozen=True):
    jobs: list[ListedJob]
    next: str | None = None


def page_of(answer: Any) -> JobPage:
    """What the server answered to the request for a page.

    Raises:
        ServerError: it is none.
    """
    if not isinstance(answer, list):
        page = checked(answer, _Answer)
        return JobPage(page.jobs, answer["jobs"], page.next)
    jobs = checked(answer, list[ListedJob])
    # The old server lists them in no order; ours the oldest first, to the microsecond.
    order = sorted(range(len(jobs)), key=lambda i: (jobs[i].created, i), reverse=True)
    return JobPage([jobs[i] for i in order], [answer[i] for i in order], paged=False)
