"""`Range` as RFC 9110 has it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.rest import ranges, stored
from pushcli_server.rest.errors import Refused
from pushcli_server.store.contents import in_memory

DATA = bytes(range(10))


@pytest.mark.parametrize(
    ("asked", "status", "content", "part"),
    [
        (None, 200, DATA, None), ("bytes=0-", 206, DATA, "bytes 0-9/10"),
        ("bytes=2-4", 206, DATA[2:5], "bytes 2-4/10"), ("bytes=2-9", 206, DATA[2:], "bytes 2-9/10"),
        ("bytes=3-99", 206, DATA[3:], "bytes 3-9/10"),
        ("bytes=-3", 206, DATA[-3:], "bytes 7-9/10"), ("bytes=-99", 206, DATA, "bytes 0-9/10"),
        (" BYTES=9-9 ", 206, DATA[9:], "bytes 9-9/10"),
        # No range that we know: as if nothing had been said.
        ("bytes=4-2", 200, DATA, None), ("bytes=-", 200, DATA, None),
        ("lines=1-2", 200, DATA, None),
        ("bytes=0-1,3-4", 200, DATA, None), ("bytes=x", 200, DATA, None),
        ("bytes=" + "9" * 5000 + "-", 200, DATA, None), ("bytes=1-\u0662", 200, DATA, None),
    ],
)  # fmt: skip
def test_a_part_is_what_was_asked_for(
    asked: str | None, status: int, content: bytes, part: str | None
) -> None:
    answer = asyncio.run(stored.part(in_memory(DATA), asked))
    assert (answer.status_code, answer.body) == (status, content)
    assert answer.headers.get("content-range") == part
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    ("asked", "data"), [("bytes=10-", DATA), ("bytes=-0", DATA), ("bytes=0-", b"")]
)
def test_nothing_of_it_is_416(asked: str, data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(stored.part(in_memory(data), asked))
    assert refused.value.status == 416
    assert refused.value.headers == {"Content-Range": f"bytes */{len(data)}"}


@given(
    size=st.integers(0, 50),
    first=st.none() | st.integers(0, 60),
    last=st.none() | st.integers(0, 60),
)
def test_no_part_goes_beyond_what_there_is(size: int, first: int | None, last: int | None) -> None:
    text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    try:
        wanted = ranges.part(text, size)
    except Refused:
        return
    assert wanted is None or (0 <= wanted.start < wanted.stop <= size)
