"""Output, kept once however often it occurs: small in a table, large in files by digest."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

INLINE = 8192
"""Bytes up to which the table holds it: a file would cost an fsync of its own."""
_CHUNK = 1 << 20


def digest_of(content: bytes | Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def path_of(root: Path, digest: str) -> Path:
    """Where the file of this digest lies."""
    return root / digest[:2] / digest[2:]


def keep(root: Path, digest: str, content: bytes | Path) -> None:
    """Have the content under its digest, durably; a file is moved there or, if known, removed."""
    target = path_of(root, digest)
    if target.exists():
        if isinstance(content, Path):
            content.unlink()
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if isinstance(content, Path):
        _sync(content)
        shutil.move(content, target)
    else:
        descriptor, name = tempfile.mkstemp(dir=root)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    _sync(target.parent)
    _sync(root)


def append(path: Path, offset: int, data: bytes) -> None:
    """Write a chunk at its place; safe to repeat."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.pwrite(descriptor, data, offset)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
