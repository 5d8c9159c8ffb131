"""What a group of operations does to files: once, however often its transaction is tried."""

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from pushcli_server.store import blobs
from pushcli_server.store.faults import is_away
from pushcli_server.store.operations import AppendOutput, InsertJob, Operation, StoreOutput

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
        self._left: deque[AppendOutput | StoreOutput | InsertJob] = deque(
            op for op in operations if isinstance(op, AppendOutput | StoreOutput | InsertJob)
        )

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

    def _do(self, operation: AppendOutput | StoreOutput | InsertJob) -> None:
        if not isinstance(operation, AppendOutput):
            self._keep(operation)
            return
        try:
            blobs.append(operation.path, operation.offset, operation.data)
        except FileNotFoundError:
            # Somebody took the directory away while we run.
            operation.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            blobs.append(operation.path, operation.offset, operation.data)

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
    return (None if operation.file is None else operation.file.encode(),)
