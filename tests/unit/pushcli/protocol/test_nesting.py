"""Depth and number of values in JSON are known before it is read."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol.nesting import MAX_DEPTH, MAX_VALUES, TooNested, require_bounded

_texts = st.text(alphabet='[]{}",\\a\u00e9', max_size=8)
_values = st.recursive(
    st.none() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0)


def passes(document: bytes, **limits: int) -> bool:
    try:
        require_bounded(document, **limits)
    except TooNested:
        return False
    return True


@given(_values, st.integers(0, 6))
def test_a_document_passes_if_it_is_not_deeper(value: Any, depth: int) -> None:
    document = json.dumps(value).encode()
    assert passes(document, depth=depth) is (depth_of(value) <= depth)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"b":', '{"]":'])
@pytest.mark.parametrize("extra", [0, 1])
def test_the_bound_is_exact(opening: str, extra: int) -> None:
    closing = {"[": "]", "{": "}"}
    per = sum(character in "[{" for character in opening.replace('"]"', ""))
    count = (MAX_DEPTH + extra) // per
    ends = "".join(closing[c] for c in reversed(opening.replace('"]"', "")) if c in closing)
    document = opening * count + "1" + ends * count
    assert json.loads(document)
    if per * count <= MAX_DEPTH:
        require_bounded(document.encode())
    else:
        with pytest.raises(TooNested):
            require_bounded(document.encode())


def test_the_number_of_values_is_bounded() -> None:
    fits = b"[" + b",".join([b"1"] * (MAX_VALUES - 1)) + b"]"
    assert passes(fits)
    assert not passes(fits[:-1] + b",1,1]")
    assert not passes(b"[" + b"[]," * MAX_VALUES + b"[]]")


def test_commas_and_brackets_in_texts_do_not_count() -> None:
    assert passes(json.dumps("[," * MAX_VALUES).encode())
    assert passes(json.dumps({"[{": '\\"[' * 1000}).encode())


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 1_000_000, b'"' + b'\\"' * 500_000, b'"' * 1_000_001, b"[]" * 500_000,
        b"[" * 200 + b"]" * 200 + b'"[' * 300_000, b"\\" * 1_000_000, b'{"a":' * 200_000,
        (b"[" * 100 + b"]" * 100 + b",") * 4_900,
    ],
    ids=range(8),
)  # fmt: skip
def test_no_document_takes_long_to_judge(document: bytes) -> None:
    before = time.thread_time()
    passes(document)
    assert time.thread_time() - before < 1.0


@pytest.mark.parametrize("document", [b"", b"[", b"]" * 300 + b"[" * 300, b"\xff\xfe", b"[}" * 99])
def test_what_is_not_json_is_for_its_reader_to_refuse(document: bytes) -> None:
    assert passes(document)
