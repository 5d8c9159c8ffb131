"""What a group of operations does to files: once, however often its transaction is tried."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine

from pushcli_server.store import blob_pieces, blobs, retention, tails
from pushcli_server.store.faults import is_away
from pushcli_server.store.operations import (
    AppendOutput,
    InsertJob,
    JoinTail,
    Operation,
    StoreOutput,
)

_JOB_ID = 32
"""Characters that the name of a gathered file begins with."""
_log = logging.getLogger(__name__)
_OnFiles = AppendOutput | JoinTail | StoreOutput | InsertJob
Kept = blobs.Blob | None
"""Content; None: there was none, or its file was taken before."""


class Files:
    """Appends and keeps what goes into files before the transaction that tells of it.

    A file that was moved cannot be moved again, nor a chunk be added to it: work that is
    done is remembered, and a repeat goes on where the disk failed.
    """

    def __init__(self, operations: Iterable[Operation], root: Path) -> None:
        self._kept: dict[int, list[Kept]] = {}
        self._refused: dict[int, Exception] = {}
        self._root = root
        self._unsynced: set[str] = set()
        self._brought: dict[str, int] = {}
        """Sizes, by digest, of what is in the database, too; or should be."""
        self._spent: set[str] = set()
        """Those whose files nobody needs once the transaction is committed."""
        self._begun: set[str] = set()
        """Those of which a part may be there."""
        self._left_over: dict[str, int] = {}
        self._abandoned: set[str] = set()
        self._dropped_blobs: set[str] = set()
        self._dropped_jobs: set[str] = set()
        self._joined: set[Path] = set()
        self._left: deque[_OnFiles] = deque(op for op in operations if isinstance(op, _OnFiles))

    def of(self, operation: StoreOutput | InsertJob) -> Sequence[Kept]:
        """What became of an operation's `stdout` and `stderr`, or of a job's file."""
        return self._kept[id(operation)]

    def refusal(self, operations: Iterable[Operation]) -> Exception | None:
        """Why one of these cannot ever be done; None: all that concern files are."""
        if not self._refused:
            return None
        found = (self._refused.get(id(operation)) for operation in operations)
        return next((error for error in found if error is not None), None)

    def finish(self) -> None:
        """Do what is left, in order; durable when this returns, but for what is refused.

        Raises:
            OSError: the disk is full or failed; may be called again.
        """
        while self._left:
            operation = self._left[0]
            try:
                self._do(operation)
            except Exception as error:
                if is_away(error):
                    raise
                self._refused[id(operation)] = error
            self._left.popleft()
        blobs.sync_directories(self._root, self._unsynced)
        self._unsynced.clear()

    def _do(self, operation: _OnFiles) -> None:
        if isinstance(operation, JoinTail):
            tails.join(operation.path, operation.kept, operation.mark, operation.tail)
            self._joined.add(operation.tail)
            return
        if not isinstance(operation, AppendOutput):
            self._keep(operation)
            return
        chunk = (operation.path, operation.offset, operation.data)
        try:
            blobs.append(*chunk, cut=operation.cut)
        except FileNotFoundError:
            # Somebody took the directory away while we run.
            operation.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            blobs.append(*chunk, cut=operation.cut)

    def bring(
        self,
        engine: Engine,
        operations: Iterable[Operation],
        require: Callable[[Connection], None],
    ) -> None:
        """Have the large content of these in the database, where other servers can read it.

        Before the transaction that refers to it, which would take long with it.

        Args:
            require: raises, within a transaction, if nothing may be written.

        Raises:
            Exception: the database is away (`is_away`); may be called again.
        """
        wanted = self._large(operations)
        missing = {digest: size for digest, size in wanted.items() if digest not in self._brought}
        if missing:
            self._begun |= missing.keys()
            blob_pieces.bring(engine, missing, self._root, require)
            self._brought |= missing

    def _large(self, operations: Iterable[Operation]) -> dict[str, int]:
        """Sizes, by digest, of what these have in files."""
        kept = (blob for op in operations for blob in self._kept.get(id(op), ()))
        return {blob.digest: blob.size for blob in kept if blob is not None and blob.data is None}

    # --- what goes

    def drop_gathered(self, job_ids: Iterable[str]) -> None:
        """What was gathered of these jobs' output goes once the transaction is committed."""
        self._dropped_jobs.update(job_ids)

    def drop_blobs(self, digests: Iterable[str]) -> None:
        """The files of these digests go once the transaction is committed."""
        self._dropped_blobs.update(digests)

    def drop_spent(self, connection: Connection, digests: Iterable[str]) -> None:
        """The files of these digests of which the database has all go, as above."""
        self._left_over |= blobs.sizes(connection, digests)

    def abandon(self, operations: Iterable[Operation]) -> None:
        """These are not carried out: what was kept for them goes, unless others need it."""
        large = self._large(operations).keys()
        self._abandoned |= large
        self.drop_blobs(large)

    def settle(self, connection: Connection) -> None:
        """At the end of the transaction: what it needs after all stays."""
        if self._begun:
            retention.drop_unused(connection, self._abandoned & self._begun)
            self._spent = self._in_the_database(connection)
        if self._left_over:
            self._spent |= blob_pieces.complete(connection, self._left_over)
        if self._dropped_blobs:
            self._dropped_blobs -= blobs.known(connection, self._dropped_blobs)

    def _in_the_database(self, connection: Connection) -> set[str]:
        """Those of what was brought which are there: also where this transaction, or a database
        that took over, dropped it before somebody referred to it again.
        """
        there = blobs.known(connection, self._brought)
        found = blob_pieces.complete(connection, self._brought)
        if lost := {digest: self._brought[digest] for digest in there - found}:
            blob_pieces.bring_now(connection, lost, self._root)
            found = blob_pieces.complete(connection, self._brought)
        return found

    def discard(self) -> None:
        """The transaction is committed: nobody refers to these files any more.

        What cannot be removed is logged, and serves who stores the same again.
        """
        try:
            # Not before: it says how long the beginning was, should all have to be done again.
            for path in self._joined:
                path.unlink(missing_ok=True)
            for digest in self._dropped_blobs | self._spent:
                blobs.path_of(self._root, digest).unlink(missing_ok=True)
            if self._dropped_jobs:
                for path in (self._root / "incoming").iterdir():
                    if path.name[:_JOB_ID] in self._dropped_jobs:
                        path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("cannot remove files that nobody needs: %s", error)
        self._joined.clear()
        self._spent.clear()
        self._left_over.clear()
        self._dropped_blobs.clear()
        self._dropped_jobs.clear()

    def _keep(self, operation: StoreOutput | InsertJob) -> None:
        kept = self._kept.setdefault(id(operation), [])
        for content in _contents(operation)[len(kept) :]:
            kept.append(self._blob(content))

    def _blob(self, content: bytes | Path | None) -> Kept:
        if content is None or (isinstance(content, Path) and not content.exists()):
            return None
        blob = blobs.keep(self._root, content)
        if blob.data is None:
            self._unsynced.add(blob.digest)
        return blob


def missing(content: bytes | Path | None, kept: Kept, size: int, dropped: int) -> int | None:
    """Bytes that are missing of a content; None: nothing is known of it.

    Args:
        size: what should be in its file.
        dropped: what was missing before it came.
    """
    if content is None:
        return None
    there = 0 if kept is None else kept.size
    return dropped + max(size - there, 0) if isinstance(content, Path) else dropped


def _contents(operation: StoreOutput | InsertJob) -> Sequence[bytes | Path | None]:
    if isinstance(operation, StoreOutput):
        return operation.stdout, operation.stderr
    return tuple(
        None if text is None else text.encode() for text in (operation.file, operation.stdin)
    )
