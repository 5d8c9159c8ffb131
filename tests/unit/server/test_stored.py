"""Stored content goes out piece by piece, and what is begun is not hindered by its deletion."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from pushcli_server.rest import stored
from pushcli_server.store import blobs
from pushcli_server.store.contents import Content, in_file

LARGE = bytes(range(256)) * 1000


def content(root: Path, data: bytes = LARGE) -> Content:
    """A content in a file that is gone as soon as it is open."""
    digest = hashlib.sha256(data).hexdigest()
    path = blobs.path_of(root, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    found = in_file(root, digest, len(data))
    path.unlink()
    return found


def sent(held: Content, asked: str | None = None) -> tuple[dict[str, Any], list[bytes], bool]:
    """The first message, the pieces, and whether the last one said so."""
    messages: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        messages.append(message)

    async def whole() -> None:
        await (await stored.part(held, asked))({"type": "http"}, receive, send)

    asyncio.run(whole())
    head, *pieces = messages
    is_whole = not pieces[-1].get("more_body", False)
    return head, [piece["body"] for piece in pieces], is_whole


def test_a_large_content_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    held = content(tmp_path)
    head, pieces, is_whole = sent(held)
    assert (head["status"], is_whole) == (200, True)
    assert (b"content-length", b"%d" % len(LARGE)) in head["headers"]
    assert b"".join(pieces) == LARGE
    assert max(map(len, pieces)) == stored.PIECE


def test_a_part_of_it_is_sent_from_its_first_byte_to_its_last(tmp_path: Path) -> None:
    head, pieces, is_whole = sent(content(tmp_path), "bytes=100-200000")
    assert (head["status"], is_whole) == (206, True)
    assert (b"content-range", b"bytes 100-200000/256000") in head["headers"]
    assert b"".join(pieces) == LARGE[100:200_001]


def test_what_is_lost_meanwhile_is_not_made_up(tmp_path: Path) -> None:
    digest = hashlib.sha256(LARGE).hexdigest()
    path = blobs.path_of(tmp_path, digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(LARGE)
    held = in_file(tmp_path, digest, len(LARGE))
    path.write_bytes(LARGE[:100_000])
    _, pieces, is_whole = sent(held)
    assert not is_whole, "the client sees that it is not all"
    assert LARGE.startswith(b"".join(pieces))
