"""What editors signed with version 0.1.0 still counts, and nothing else does."""

from typing import Any

import msgspec
import pytest

from pushcli.whitelist import rsa_numbers, statements
from pushcli.whitelist.chain import Statement
from pushcli.whitelist.statements import EditorStatement, Record
from tests.upgrade.kept import VECTORS

SIGNED = msgspec.json.decode((VECTORS / "statements.json").read_bytes())
KEYS = {name: rsa_numbers.from_pem(pem) for name, pem in SIGNED["keys"].items()}
CHANGES = SIGNED["entries"] + SIGNED["removals"]


def holds(change: dict[str, Any], **other: Any) -> bool:
    """Whether its signature fits, with something changed beforehand."""
    record = msgspec.convert(change["record"] | other.pop("record", {}), Record)
    said: dict[str, Any] = {"org": SIGNED["org"], "value": None, **change, **other}
    del said["record"]
    return statements.holds(record, KEYS[record.key], **said)


def test_there_are_entries_of_two_signers_removals_and_editors() -> None:
    assert {entry["record"]["signer"] for entry in SIGNED["entries"]} == {"operator", "bob"}
    assert {removal["name"] for removal in SIGNED["removals"]} == {"gone"}
    assert [one["removed"] for one in SIGNED["editors"]].count(True) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_entries_and_removals_verify(change: dict[str, Any]) -> None:
    assert holds(change)


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_since_does_not(change: dict[str, Any]) -> None:
    others: list[dict[str, Any]] = [
        {"org": "other"}, {"node": "n9"}, {"name": "other"}, {"value": "sh"},
        {"record": {"version": change["record"]["version"] + 1}},
    ]  # fmt: skip
    assert [holds(change, **other) for other in others] == [False] * len(others)


@pytest.mark.parametrize("said", SIGNED["editors"])
def test_statements_about_editors_verify(said: dict[str, Any]) -> None:
    statement = msgspec.convert(said, EditorStatement)
    key = KEYS[statement.key]
    assert Statement(said).is_signed_by(key)
    turned = Statement({**said, "removed": not statement.removed})
    assert not turned.is_signed_by(key)
