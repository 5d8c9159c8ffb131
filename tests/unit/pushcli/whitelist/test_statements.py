"""Signatures over whitelists: what holds, and that nothing else does."""

import base64
import hashlib
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from pushcli import keys
from pushcli.whitelist import rsa_numbers, statements
from pushcli.whitelist.chain import Statement
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.statements import Change, EditorStatement, Record

KEY, OTHER = keys.generate(), keys.generate()
NUMBERS = statements.public_numbers(KEY)
NODES = [f"web{number:02}" for number in range(1, 8)]
CHANGES = [
    Change("uptime", "uptime"),
    Change("sync", {"command_line": ["ntpdate", "-u"], "lock": True, "timeout": 5}),
    Change("old"),
]


def signed(nodes: list[str], changes: list[Change], version: int = 7) -> statements.Signed:
    return statements.sign(
        KEY, org="acme", nodes=nodes, changes=changes, version=version, signer="ann"
    )


def record_of(nodes: list[str], changes: list[Change], node: str, name: str) -> Record:
    made = statements.records(signed(nodes, changes), org="acme", nodes=nodes, changes=changes)
    return msgspec.convert(made[node][name], Record)


def test_the_fingerprint_is_that_of_the_der_key() -> None:
    for key in (KEY, OTHER, keys.generate()):
        der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
        assert statements.fingerprint(key) == f"SHA256:{digest}"
        assert statements.fingerprint(key.public_key()) == f"SHA256:{digest}"
        # The server and operators show the same one.
        assert keys.fingerprint(key) == keys.fingerprint(key.public_key()) == f"SHA256:{digest}"


def test_numbers_are_read_from_pem() -> None:
    for key in (KEY, OTHER):
        assert rsa_numbers.from_pem(keys.public_pem(key)) == statements.public_numbers(key)


@pytest.mark.parametrize(
    "pem",
    [
        "", "x", keys.public_pem(KEY).replace("M", "N", 1), keys.public_pem(KEY)[:-100],
        keys.private_pem(KEY).decode(), keys.public_pem(KEY).replace("\n", "\n\x00"),
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOC\n-----END PUBLIC KEY-----",
    ],
)  # fmt: skip
def test_what_is_no_rsa_key_in_pem(pem: str) -> None:
    with pytest.raises(ValueError, match="key"):
        rsa_numbers.from_pem(pem)


@given(st.binary(max_size=400))
def test_no_bytes_upset_the_reader_of_keys(der: bytes) -> None:
    text = base64.b64encode(der).decode()
    with pytest.raises(ValueError, match="key"):
        rsa_numbers.from_pem(f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----")


@pytest.mark.parametrize("count", range(1, 8))
def test_every_node_can_check_its_own_entries_alone(count: int) -> None:
    nodes = NODES[:count]
    made = statements.records(signed(nodes, CHANGES), org="acme", nodes=nodes, changes=CHANGES)
    for node in nodes:
        for change in CHANGES:
            record = msgspec.convert(made[node][change.name], Record)
            assert statements.holds(
                record, NUMBERS, org="acme", node=node, name=change.name, value=change.value
            )


@pytest.mark.parametrize(
    "other",
    [
        {"org": "evil"}, {"node": "web02"}, {"name": "sync"}, {"value": "reboot"}, {"value": None},
        {"value": {"command_line": "uptime"}},
    ],
)  # fmt: skip
def test_a_record_holds_for_nothing_else(other: dict[str, Any]) -> None:
    record = record_of(NODES, CHANGES, "web01", "uptime")
    given = {"org": "acme", "node": "web01", "name": "uptime", "value": "uptime"}
    assert statements.holds(record, NUMBERS, **given)
    assert not statements.holds(record, NUMBERS, **{**given, **other})
    assert not statements.holds(record, statements.public_numbers(OTHER), **given)


def test_a_removal_holds_for_a_removal_only() -> None:
    record = record_of(NODES, CHANGES, "web03", "old")
    assert record.removed
    assert statements.holds(record, NUMBERS, org="acme", node="web03", name="old", value=None)
    kept = msgspec.structs.replace(record, removed=False)
    assert not statements.holds(kept, NUMBERS, org="acme", node="web03", name="old", value=None)
    assert not statements.holds(kept, NUMBERS, org="acme", node="web03", name="old", value="x")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 8}, {"path": []}, {"path": ["x" + "A" * 43 + "="] * 3}, {"path": ["l", "r"]},
        {"path": ["lé"]}, {"signature": "!!"}, {"signature": "AAAA"},
        {"signature": base64.b64encode(b"\xff" * 256).decode()},
    ],
)  # fmt: skip
def test_a_record_that_was_touched_does_not_hold(change: dict[str, Any]) -> None:
    record = msgspec.structs.replace(record_of(NODES, CHANGES, "web01", "uptime"), **change)
    assert not statements.holds(
        record, NUMBERS, org="acme", node="web01", name="uptime", value="uptime"
    )


def test_the_server_can_check_the_whole() -> None:
    whole = signed(NODES, CHANGES)
    assert statements.is_signed_by(NUMBERS, whole, org="acme", nodes=NODES, changes=CHANGES)
    swapped = [NODES[1], NODES[0], *NODES[2:]]
    assert not statements.is_signed_by(NUMBERS, whole, org="acme", nodes=swapped, changes=CHANGES)
    assert not statements.is_signed_by(
        statements.public_numbers(OTHER), whole, org="acme", nodes=NODES, changes=CHANGES
    )


def test_the_order_of_keys_in_an_entry_means_nothing() -> None:
    record = record_of(NODES, CHANGES, "web01", "sync")
    value = {"timeout": 5, "lock": True, "command_line": ["ntpdate", "-u"]}
    assert statements.holds(record, NUMBERS, org="acme", node="web01", name="sync", value=value)


def test_versions_only_rise() -> None:
    assert statements.next_version(1.5) == 1_500_000
    assert statements.next_version(1.5, [3, 2_000_000]) == 2_000_001


def test_a_short_key_proves_nothing() -> None:
    small = PublicNumbers((1 << 1023) + 1, 65537)
    assert not small.signed(b"x", base64.b64encode(b"\x01" * 128).decode())
    assert not PublicNumbers(NUMBERS.modulus, 1).signed(b"x", "AAAA")


@given(st.binary(max_size=300))
def test_no_bytes_pass_for_a_signature(raw: bytes) -> None:
    assert not NUMBERS.signed(b"message", base64.b64encode(raw).decode())


def vouch(**change: Any) -> EditorStatement:
    made = statements.editor_statement(
        KEY,
        org="acme",
        signer="ann",
        editor="bob",
        editor_key=OTHER.public_key(),
        version=9,
    )
    return msgspec.convert({**made, **change}, EditorStatement)


def is_signed_by(statement: EditorStatement, key: PublicNumbers) -> bool:
    return Statement(msgspec.to_builtins(statement)).is_signed_by(key)


def test_an_editor_is_vouched_for() -> None:
    statement = vouch()
    assert statement.editor_key().fingerprint == statements.fingerprint(OTHER)
    assert is_signed_by(statement, NUMBERS)
    assert not is_signed_by(statement, statements.public_numbers(OTHER))


@pytest.mark.parametrize(
    "change",
    [{"org": "evil"}, {"editor": "eve"}, {"version": 10}, {"removed": True}, {"exponent": 3}],
)
def test_a_statement_that_was_touched_does_not_hold(change: dict[str, Any]) -> None:
    assert not is_signed_by(vouch(**change), NUMBERS)


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        ([], 1_000_000_000),
        ([5, 999_999_999], 1_000_000_000),
        ([1_000_000_000], 1_000_000_001),
        ([1_100_000_000, 2**62], 1_100_000_001),
        ([2**62], 1_000_000_000),
    ],
)
def test_the_next_version_exceeds_all_that_count(previous: list[int], expected: int) -> None:
    assert statements.next_version(1000.0, previous) == expected


@pytest.mark.parametrize("exponent", [1, 2**64 + 1, 2**2048])
def test_a_key_with_an_exponent_that_would_only_be_slow_signs_nothing(exponent: int) -> None:
    key = PublicNumbers(NUMBERS.modulus, exponent)
    assert not key.signed(b"message", "A" * 344)
