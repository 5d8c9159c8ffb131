"""Watching a job: what its event feed tells as it is told, or, without a feed, by asking.

The feed is read by a thread, so that whoever watches can draw, ask and be interrupted meanwhile. A
server that goes away is waited for, and the feed resumed after the last event.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pushcli.client.answers import checked
from pushcli.client.feed import FeedEvent
from pushcli.errors import (
    NotFound,
    PermissionDenied,
    PushcliError,
    RequestRefused,
    ServerError,
    ServerUnreachable,
)
from pushcli.jobs.model import JobView
from pushcli.jobs.tracker import Tracker
from pushcli.terminal.context import App

FIRST_PAUSE = 0.02
GROWTH = 1.15
"""Each pause to the next: a job's end is noticed late by at most this part of its length."""
PATIENCE = 60.0
"""How long a server may be away (restarted, say) while we watch, in seconds."""
RETRY_PAUSE = 0.5
TICK = 0.2
"""Seconds without news after which whoever watches may show how time passes."""
STALLED = 20.0
"""Seconds in which a feed gave no sign of life, not even the one of every 15 s: something on the
way keeps it back, and we ask as well."""
_AHEAD, _FULL_PAUSE = 64, 0.01
"""Blocks that are read ahead, and seconds between two looks at whether there is room again."""
_LOST_FEEDS = 3
"""Feeds that end one after the other without telling anything, after which none is asked for."""
_AWAY = (ServerUnreachable, ServerError)
_NO_FEED = (NotFound, PermissionDenied, RequestRefused)


class Snapshot(NamedTuple):
    """A job at one moment, and the server's own words for it."""

    job: JobView
    raw: dict[str, Any]


def look(app: App, job_id: str) -> Snapshot:
    """The job as it is now."""
    raw = app.client.job(job_id)
    return Snapshot(checked(raw, JobView), raw)


class _Ended(NamedTuple):
    """The feed came to its end, or to an error."""

    error: PushcliError | None


class Watcher:
    """One job, watched to its end.

    Args:
        interval: the longest pause between two looks where there is no feed, in seconds.
        note: is told when the server is away, and when it is back.
    """

    def __init__(
        self, app: App, job_id: str, tracker: Tracker, *, interval: float,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.tracker = tracker
        self.end: Snapshot | None = None
        """The job when it was over."""
        self._app = app
        self._id = job_id
        self._interval = interval
        self._note = note
        self._pause = min(FIRST_PAUSE, interval)
        self._feed: _Feed | None = None
        self._has_feed = True
        self._fruitless = 0
        self._last_event = ""
        self._away_since: float | None = None
        self._heard_at = app.clock()

    def step(self) -> Sequence[FeedEvent]:
        """Wait for news, for a moment; takes them in and returns them, if they are events.

        It may be interrupted and called again: the end is looked up, whatever was lost.

        Raises:
            PushcliError: the server refused, or was away for longer than `PATIENCE`.
        """
        if self.tracker.is_over:
            self._finish()
            return ()
        if not self._has_feed:
            self._ask()
            return ()
        if self._feed is None:
            self._feed = _Feed(self._app, self._id, self._last_event)
        news = self._feed.next(TICK)
        if news is None:
            if self._app.clock() - self._heard_at > STALLED:
                self._heard_at = self._app.clock()
                self._update(self._look())
            return ()
        if isinstance(news, _Ended):
            self._feed = None
            self._reopen(news.error)
            return ()
        return self._receive(news)

    def _receive(self, events: list[FeedEvent]) -> list[FeedEvent]:
        self._heard_at, self._away_since = self._app.clock(), None
        try:
            for event in events:
                self.tracker.apply(event)
                self._last_event = event.id
                self._fruitless = 0
        except ServerError:
            # It is no feed that we know; how the job stands can still be asked.
            self._has_feed, self._feed = False, None
        return events

    def _finish(self) -> None:
        """The feed said that the job is over: an old server may need a moment to say so too."""
        if self._feed is not None:
            # With its end its connection is free, and serves the next request.
            self._feed.next(FIRST_PAUSE)
        pause = FIRST_PAUSE
        while self.end is None:
            self._update(self._look())
            if self.end is None:
                self._app.sleep(pause)
                pause = min(pause * 2, self._interval)

    def _reopen(self, error: PushcliError | None) -> None:
        """The feed ended before the job did."""
        if isinstance(error, _NO_FEED):
            self._has_feed = False
            return
        if error is not None and not isinstance(error, _AWAY):
            raise error
        if error is None or isinstance(error, ServerError):
            self._fruitless += 1
            self._has_feed = self._fruitless < _LOST_FEEDS
            # Whatever was said last, this is how it stands.
            self._update(self._look())
        else:
            self._be_patient(error)

    def _ask(self) -> None:
        self._update(self._look())
        if self.end is None:
            self._app.sleep(self._pause)
            self._pause = min(self._pause * GROWTH, self._interval)

    def _update(self, snapshot: Snapshot) -> None:
        self.tracker.update(snapshot.job)
        if snapshot.job.is_over:
            self.end = snapshot

    def _look(self) -> Snapshot:
        """The job as it is now, or as it is when the server is back: jobs outlive a restart."""
        while True:
            try:
                snapshot = look(self._app, self._id)
            except _AWAY as error:
                self._be_patient(error)
            else:
                self._away_since = None
                return snapshot

    def _be_patient(self, error: PushcliError) -> None:
        now = self._app.clock()
        if self._away_since is None:
            self._away_since = now
            self._note(f"{error.message}: the job goes on; retrying for {PATIENCE:.0f} s ...")
        if now - self._away_since >= PATIENCE:
            raise error
        self._app.sleep(RETRY_PAUSE)


class _Feed:
    """A feed that a thread of its own reads; it ends with the feed, or with the process."""

    def __init__(self, app: App, job_id: str, last: str) -> None:
        # Not a `Queue`: an interrupt may come while its `get` is between two of its locks, and
        # then ends as an error of theirs.
        self._news: queue.SimpleQueue[list[FeedEvent] | _Ended] = queue.SimpleQueue()
        self._client = app.client
        arguments = (job_id, last)
        threading.Thread(target=self._read, args=arguments, daemon=True, name="feed").start()

    def next(self, timeout: float) -> list[FeedEvent] | _Ended | None:
        """What came; None: nothing within so many seconds."""
        try:
            return self._news.get(timeout=timeout)
        except queue.Empty:
            return None

    def _read(self, job_id: str, last: str) -> None:
        error: PushcliError | None = None
        try:
            for events in self._client.job_feed(job_id, last):
                # A few blocks ahead: whoever watches is not to be filled up.
                while self._news.qsize() >= _AHEAD:
                    time.sleep(_FULL_PAUSE)
                self._news.put(events)
        except PushcliError as caught:
            error = caught
        finally:
            # Whatever ended it: whoever watches asks then, and does not wait for a silent feed.
            self._news.put(_Ended(error))
