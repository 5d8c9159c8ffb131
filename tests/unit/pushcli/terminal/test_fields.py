"""Values of any shape in one safe line."""

from typing import Any

import pytest

from pushcli.durations import local
from pushcli.identities.audit_trail import detail_text
from pushcli.terminal.fields import value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "yes"), (False, "no"), ("a\x1b[2J\n", r"a\x1b[2J\n"), (7, "7"),
        (["a", "b\r"], r"a, b\r"), ([1, "a"], '[1, "a"]'), ({"a": {"b": "\x7f\x1b"}},
         r'{"a": {"b": "\u007f\u001b"}}'), ([], ""),
    ],
)  # fmt: skip
def test_a_value_is_one_line(value: Any, text: str) -> None:
    assert value_text(value) == text


def test_details_of_the_audit_trail_are_words() -> None:
    detail = {"uses": 3, "expires": 1_800_000_000.5, "node": None, "added": {"users": ["a"]}}
    said = f'uses=3, expires={local(1_800_000_000.5)}, added={{"users": ["a"]}}'
    assert detail_text(detail) == said
    assert detail_text("plain\x1b") == r"plain\x1b"
    assert detail_text(None) == ""
