"""Each signed write is carried out once, also over a restart of the server.

`core/replays.py` decides; here its memory is joined with the store's, where a signature is
committed together with what it asked for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from pushcli_server.core.replays import WINDOW, Replays, Signature, Verdict
from pushcli_server.store import Store, StoreUnavailable, operations, signatures

PRUNE_INTERVAL = 60.0
"""Seconds between two looks at what is too old."""


class Attempt:
    """One signed write that is under way.

    Args:
        beside: an equal one came a moment ago.
    """

    def __init__(self, store: Store, signature: Signature, at: float, *, beside: bool) -> None:
        self.signature = signature
        self.beside = beside
        self.is_written = False
        self.job_id: str | None = None
        self._store = store
        self._at = at

    async def write(self, *changes: operations.Operation) -> None:
        """Write all of these, and that this request was carried out; or none.

        Raises:
            CannotApply: one cannot be applied.
            StoreUnavailable: the database is away.
        """
        remembered = operations.RememberSignature(self.signature, self._at, self.job_id)
        await self._store.write(*changes, remembered)
        self.is_written = True

    def stored(self, job_id: str | None = None) -> None:
        """What was asked for is stored, and the signature with it.

        Args:
            job_id: of the job that was started.
        """
        self.job_id, self.is_written = job_id, True


class SignedWrites:
    """Knows which writes were carried out.

    Args:
        now: seconds since the epoch, of the clock that signed times are held against.
    """

    def __init__(self, store: Store, replays: Replays, now: Callable[[], float]) -> None:
        self._store = store
        self._replays = replays
        self._now = now
        self._prune_at = 0.0
        self._ended = asyncio.Event()

    @contextlib.asynccontextmanager
    async def once(self, signature: Signature, at: float) -> AsyncIterator[Attempt | Verdict]:
        """An attempt, which counts as carried out if it wrote something; or why there is none.

        Args:
            at: the server's time, in seconds.

        Raises:
            StoreUnavailable: the database is away.
        """
        self._prune()
        verdict = await self._judge(signature, at)
        if verdict not in {Verdict.FIRST, Verdict.BESIDE}:
            yield verdict
            return
        attempt = Attempt(self._store, signature, at, beside=verdict is Verdict.BESIDE)
        try:
            yield attempt
            if not attempt.is_written:
                await attempt.write()
        except (StoreUnavailable, asyncio.CancelledError):
            if not attempt.is_written:
                self._replays.doubtful(signature)
            raise
        except Exception:
            if not attempt.is_written:
                self._replays.failed(signature)
            raise
        finally:
            if attempt.is_written:
                self._replays.carried_out(signature, attempt.job_id)
            self._ended.set()
            self._ended = asyncio.Event()

    def job(self, signature: Signature) -> str | None:
        """The id of the first job that was started with this signature."""
        return self._replays.job(signature)

    async def _judge(self, signature: Signature, at: float) -> Verdict:
        while True:
            match self._replays.judge(signature, at):
                case Verdict.UNDER_WAY:
                    await self._ended.wait()
                case Verdict.DOUBTFUL:
                    found = await self._store.ask(signatures.find, signature.digest)
                    stored, job_id = found is not None, None if found is None else found.job_id
                    self._replays.settle(signature, stored=stored, job_id=job_id)
                case verdict:
                    return verdict

    def _prune(self) -> None:
        now = self._now()
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_INTERVAL
            self._replays.prune(now)
            self._store.submit(operations.ForgetSignatures(signed_before=now - WINDOW))


async def load(store: Store, replays: Replays, now: Callable[[], float]) -> SignedWrites:
    """What previous runs of the server carried out and is still within its window."""
    for found in await store.ask(signatures.since, now() - WINDOW):
        replays.restore(found.signature, found.at, found.job_id)
    return SignedWrites(store, replays, now)
