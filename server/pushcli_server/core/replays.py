"""Which signed requests were carried out already: a captured one does nothing a second time.

What names a request is the digest of its signature as bytes: headers say the same signature in
many ways, and nobody but the holder of the key can make another one. It is kept until the
request's signed time leaves the window in which it would be accepted.
"""

import heapq
import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from pushcli_server.core.identity import Requestor

WINDOW = 900.0
"""Seconds for which a signature counts after the time that it names."""
APART = 1.0
"""Seconds within which an equal request is one of its own: old clients sign whole seconds, so
two equal starts of a job have one signature."""
MAX_EQUAL = 5
"""So many requests may have one signature."""
MAX_KEPT = 200_000
"""Signatures of one requestor."""
_SLACK = 100


class Signature(NamedTuple):
    """Of one request; `digest` (SHA-256) is of its bytes, `signed_at` the time that it names."""

    requestor: Requestor
    digest: bytes
    signed_at: float


class Verdict(Enum):
    """What is to become of a request."""

    FIRST = auto()
    """Nothing is known of it: carry it out."""
    BESIDE = auto()
    """One of its own, beside an equal one of this moment: carry it out."""
    UNDER_WAY = auto()
    """The first is not over: ask again then."""
    DOUBTFUL = auto()
    """The first was left to a database that was away: ask it, tell `settle`, judge again."""
    CARRIED_OUT = auto()
    """It was: do nothing."""
    TOO_OLD = auto()
    """Nothing is known of its time any more: do nothing."""


@dataclass(slots=True)
class _Known:
    at: float
    """When the first one came."""
    signed_at: float
    requests: int = 1
    under_way: int = 1
    carried_out: bool = False
    doubtful: bool = False
    job_id: str | None = None


class Replays:
    """The signatures of what was carried out, and of what is under way.

    Args:
        limit: how many are kept of one requestor. Of more, the oldest go, and what is not
            newer than these is refused from then on.
    """

    def __init__(self, limit: int = MAX_KEPT) -> None:
        self._limit = limit
        self._known: dict[Requestor, dict[bytes, _Known]] = {}
        self._by_age: dict[Requestor, list[tuple[float, bytes]]] = {}
        self._forgotten: dict[Requestor, float] = {}

    def judge(self, signature: Signature, now: float) -> Verdict:
        """What to do with a request that came now; with `FIRST` and `BESIDE` it is under way."""
        known = self._find(signature)
        if known is None:
            if signature.signed_at <= self._forgotten.get(signature.requestor, -math.inf):
                return Verdict.TOO_OLD
            self._keep(signature, _Known(now, signature.signed_at))
            return Verdict.FIRST
        # Also if the clock was set back meanwhile: what was sent long ago is not sent together.
        if abs(now - known.at) < APART and known.requests < MAX_EQUAL:
            known.requests += 1
            known.under_way += 1
            return Verdict.BESIDE
        if known.carried_out:
            return Verdict.CARRIED_OUT
        return Verdict.UNDER_WAY if known.under_way else Verdict.DOUBTFUL

    def carried_out(self, signature: Signature, job_id: str | None = None) -> None:
        """One that was under way is done, and durable.

        Args:
            job_id: of the job that it started.
        """
        if (known := self._find(signature)) is not None:
            known.under_way -= 1
            known.carried_out = True
            known.job_id = known.job_id or job_id

    def failed(self, signature: Signature) -> None:
        """One that was under way did nothing: it may come again."""
        if (known := self._find(signature)) is not None:
            known.under_way -= 1
            self._forget_if_nothing_came_of_it(signature, known)

    def doubtful(self, signature: Signature) -> None:
        """Nobody knows yet whether one that was under way will be carried out."""
        if (known := self._find(signature)) is not None:
            known.under_way -= 1
            known.doubtful = True

    def settle(self, signature: Signature, *, stored: bool, job_id: str | None = None) -> None:
        """The database knows whether a doubtful one was carried out."""
        if (known := self._find(signature)) is not None:
            known.doubtful = False
            if stored:
                known.carried_out = True
                known.job_id = known.job_id or job_id
            self._forget_if_nothing_came_of_it(signature, known)

    def job(self, signature: Signature) -> str | None:
        """The id of the first job that was started with this signature."""
        known = self._find(signature)
        return None if known is None else known.job_id

    def restore(self, signature: Signature, at: float, job_id: str | None) -> None:
        """One that a previous run of the server carried out."""
        known = _Known(at, signature.signed_at, MAX_EQUAL, 0, carried_out=True, job_id=job_id)
        self._keep(signature, known)

    def prune(self, now: float) -> None:
        """Forget what is too old to be accepted at all.

        Args:
            now: of the clock that signed times are held against.
        """
        for requestor, ages in list(self._by_age.items()):
            while ages and ages[0][0] + WINDOW <= now:
                self._drop_oldest(requestor, ages)
            if not ages:
                del self._by_age[requestor], self._known[requestor]
                self._forgotten.pop(requestor, None)

    def __len__(self) -> int:
        """How many are kept, of all requestors."""
        return sum(map(len, self._known.values()))

    def _find(self, signature: Signature) -> _Known | None:
        of_requestor = self._known.get(signature.requestor)
        return None if of_requestor is None else of_requestor.get(signature.digest)

    def _keep(self, signature: Signature, known: _Known) -> None:
        requestor, digest, signed_at = signature
        of_requestor = self._known.setdefault(requestor, {})
        ages = self._by_age.setdefault(requestor, [])
        of_requestor[digest] = known
        heapq.heappush(ages, (signed_at, digest))
        if len(ages) > 2 * len(of_requestor) + _SLACK:
            # Most of them failed, and are not kept.
            ages[:] = sorted((one.signed_at, digest) for digest, one in of_requestor.items())
        while len(of_requestor) > self._limit:
            oldest = self._drop_oldest(requestor, ages)
            self._forgotten[requestor] = max(oldest, self._forgotten.get(requestor, -math.inf))

    def _drop_oldest(self, requestor: Requestor, ages: list[tuple[float, bytes]]) -> float:
        signed_at, digest = heapq.heappop(ages)
        self._known[requestor].pop(digest, None)
        return signed_at

    def _forget_if_nothing_came_of_it(self, signature: Signature, known: _Known) -> None:
        if not (known.carried_out or known.doubtful or known.under_way):
            del self._known[signature.requestor][signature.digest]
