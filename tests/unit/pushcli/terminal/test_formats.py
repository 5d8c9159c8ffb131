import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pushcli.terminal.formats import Format, render, to_json, to_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.dictionaries(TEXT, st.one_of(TEXT, st.lists(TEXT), st.integers(), st.booleans()))


@given(VALUES)
def test_json_reads_back_and_holds_printable_ascii_only(value: dict[str, object]) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert all(" " <= c <= "~" or c == "\n" for c in text)


@given(VALUES)
def test_yaml_reads_back_and_holds_printable_ascii_only(value: dict[str, object]) -> None:
    text = to_yaml(value)
    assert yaml.safe_load(text) == value
    assert all(" " <= c <= "~" or c == "\n" for c in text)


def test_yaml_keeps_the_order_of_keys() -> None:
    assert to_yaml({"b": 1, "a": [2]}) == "b: 1\na:\n- 2\n"


@given(st.lists(VALUES))
def test_a_list_is_a_line_of_json_for_each_entry(values: list[dict[str, object]]) -> None:
    lines = render(values, Format.NDJSON).splitlines()
    assert [json.loads(line) for line in lines] == values
    assert render({"a": 1}, Format.NDJSON) == '{"a": 1}\n'


def test_text_is_no_machine_format() -> None:
    with pytest.raises(ValueError, match="text"):
        render({}, Format.TEXT)
