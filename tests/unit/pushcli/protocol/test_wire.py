"""Frames and messages, against the recordings and against what a hostile peer sends."""

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli import keys
from pushcli.protocol import messages, wire
from tests.support import recordings
from tests.support.examples import examples

KEY = b"k" * 32
RSA_KEY = keys.generate()
MESSAGES = recordings.messages()
DECODERS = (messages.decode_node_message, messages.decode_command, messages.decode_broadcast)


def decode(recorded: recordings.RecordedMessage) -> messages.Message:
    if recorded.broadcast:
        return messages.decode_broadcast(recorded.body)
    if recorded.direction == "agent to server":
        return messages.decode_node_message(recorded.body)
    return messages.decode_command(recorded.body)


def unseal(recorded: recordings.RecordedMessage, body: bytes) -> bytes:
    frames = [recorded.header, body]
    if b"rsa2048_sha1" in recorded.header:
        key = keys.load_public_key(recordings.server_public_key())
        return wire.unseal_broadcast(frames, key, wire.MAX_BODY_FROM_SERVER)
    return wire.unseal(frames, recorded.session_key, wire.MAX_BODY_FROM_SERVER)


@pytest.mark.parametrize("recorded", MESSAGES, ids=lambda m: m.body[-40:].decode())
def test_a_recorded_message_verifies_unless_it_was_changed(
    recorded: recordings.RecordedMessage,
) -> None:
    assert unseal(recorded, recorded.body) == recorded.body
    with pytest.raises(wire.WireError, match="wrong signature"):
        unseal(recorded, recorded.body + b" ")


@pytest.mark.parametrize("recorded", MESSAGES, ids=lambda m: m.body[-40:].decode())
def test_a_recorded_message_is_read_and_written_back_with_the_same_fields(
    recorded: recordings.RecordedMessage,
) -> None:
    if b'"wibble"' in recorded.body:
        with pytest.raises(messages.MessageError):
            decode(recorded)
        return
    message = decode(recorded)
    assert message.time > 1.7e9
    ours = json.loads(messages.encode(message))
    theirs = json.loads(recorded.body)
    assert {key: ours[key] for key in theirs if key in ours} == {
        key: theirs[key] for key in theirs if key in ours
    }
    missing = set(theirs) - set(ours)
    # Left out by us where they are the default: an empty `server`, `capture: false`.
    assert all(not theirs[key] for key in missing)


def test_what_is_sealed_is_unsealed() -> None:
    frames = wire.seal(b"{}", KEY)
    assert wire.unseal(frames, KEY, 100) == b"{}"
    broadcast = wire.seal_broadcast(b"{}", RSA_KEY)
    assert wire.unseal_broadcast(broadcast, RSA_KEY.public_key(), 100) == b"{}"


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "0 frames"),
        ([b"x"], "1 frames"),
        ([b"a", b"b", b"c", b"d", b"e"], "5 frames"),
        ([b"H" * 2049, b"{}"], "header of 2049 bytes"),
        ([wire.seal(b"{}", KEY)[0], b"x" * 101], "body of 101 bytes"),
        ([b"Version:2.0;SigningMethod:hmac_sha256;Signature:not base64!", b"{}"], "not base64"),
        ([b"Version:1.0;SigningMethod:hmac_sha256;Signature:AAAA", b"{}"], "unknown version"),
        ([b"\xff\xfe", b"{}"], "unknown version"),
        (wire.seal(b"{}", b"other key"), "wrong signature"),
        # RSA is for the broadcast only.
        (wire.seal_broadcast(b"{}", RSA_KEY), "unknown version or signing method"),
    ],
)
def test_frames_that_are_not_ours_are_dropped_with_a_reason(
    frames: list[bytes], reason: str
) -> None:
    with pytest.raises(wire.WireError, match=reason):
        wire.unseal(frames, KEY, 100)


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d.__name__)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{}",
        b'{"type":"abort","sequence":1,"timestamp":"\xff"}',
        b"[" * 60_000,
        b'{"a":' * 60_000,
        b"null",
        b"[]",
        b"{}",
        b'{"type":null}',
        b'{"type":"wibble","sequence":1,"timestamp":"x"}',
        b'{"type":"heartbeat","sequence":"1","timestamp":"x"}',
        b'{"type":"heartbeat","sequence":true,"timestamp":"x"}',
        b'{"type":"heartbeat","sequence":-1,"timestamp":"x"}',
        b'{"type":"heartbeat","sequence":1e400,"timestamp":"x"}',
        b'{"type":"heartbeat","sequence":' + b"9" * 5000 + b',"timestamp":"x"}',
        b'{"type":"abort","sequence":9223372036854775808,"timestamp":"x"}',
    ],
    ids=lambda b: repr(b[:30]),
)
def test_a_hostile_body_is_no_message(
    decoder: Callable[[bytes], messages.Message], body: bytes
) -> None:
    with pytest.raises(messages.MessageError):
        decoder(body)


SAID = {
    "type": "failed", "sequence": 1, "timestamp": "x", "node": "web01", "org": "acme",
    "incarnation_id": "one", "job_id": "two",
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"exit_code": 2**31},
        {"exit_code": -(2**40)},
        {"signal": int("9" * 400)},
        {"started_at": -1},
        {"ended_at": 1e300},
        {"stdout_size": 2**63},
        {"stdout_size": -1},
        {"job_id": "nul\0"},
        {"job_id": "x" * 65},
        {"job_id": "with\n"},
        {"incarnation_id": "nul\0"},
        {"incarnation_id": "é"},
        {"incarnation_id": "x" * 65},
        {"type": "nack_commit", "reason": "nul\0"},
        {"type": "heartbeat", "job_state": "asleep"},
        {"type": "heartbeat", "job_state": "idle", "pending_results": ["x"] * 65},
        {"type": "heartbeat", "job_state": "idle", "pending_results": ["nul\0"]},
        {"type": "output", "channel": "stdin", "offset": 0, "data": ""},
        {"type": "output", "channel": "stdout", "offset": -1, "data": ""},
    ],
    ids=lambda changes: repr(changes)[:60],
)
def test_what_no_database_or_date_can_hold_is_no_message(changes: dict[str, object]) -> None:
    assert messages.decode_node_message(json.dumps(SAID).encode())
    with pytest.raises(messages.MessageError):
        messages.decode_node_message(json.dumps({**SAID, **changes}).encode())


def test_a_reason_may_be_long_and_have_lines() -> None:
    said = {**SAID, "type": "nack_commit", "reason": "é\n" * 1000}
    message = messages.decode_node_message(json.dumps(said).encode())
    assert isinstance(message, messages.NackCommit)
    assert message.reason == said["reason"]


@settings(max_examples=examples(300))
@given(st.binary(max_size=300))
def test_no_bytes_make_a_decoder_raise_anything_else(body: bytes) -> None:
    for decoder in DECODERS:
        try:
            decoder(body)
        except messages.MessageError:
            continue


@pytest.mark.parametrize(
    "text",
    ["", "Mon, 23 Nov 2026 20:43:16 UTC", "Mon, 99 Nov 2026 20:43:16 GMT", "x" * 29,
     "Mon, 23 Nov 2026 20:43:1٣ GMT", "Mon, 23 Nov 2026 25:43:16 GMT"],
)  # fmt: skip
def test_a_timestamp_that_is_no_date_is_a_value_error(text: str) -> None:
    message = messages.Abort(sequence=1, timestamp=text)
    with pytest.raises(ValueError, match=r"date|range|must be|month|literal"):
        _ = message.time


NUMBERS = RSA_KEY.public_key().public_numbers()


def by_numbers(frames: list[bytes], max_body: int = 1000) -> bytes:
    return wire.unseal_broadcast_by_numbers(frames, NUMBERS.n, NUMBERS.e, max_body)


def test_recorded_broadcasts_verify_by_the_keys_bare_numbers() -> None:
    numbers = keys.load_public_key(recordings.server_public_key()).public_numbers()
    broadcasts = [m for m in MESSAGES if m.broadcast]
    assert broadcasts
    for message in broadcasts:
        for body in (message.body, message.body + b" "):
            frames = [message.header, body]
            try:
                assert wire.unseal_broadcast_by_numbers(frames, numbers.n, numbers.e, 1000) == body
                verifies = True
            except wire.WireError:
                verifies = False
            assert verifies == (body == message.body)


@settings(max_examples=examples(200), deadline=None)
@given(body=st.binary(max_size=300), flipped=st.integers(0, 256 * 8 - 1))
def test_both_ways_to_verify_a_broadcast_agree_and_one_wrong_bit_is_seen(
    body: bytes, flipped: int
) -> None:
    header, _ = wire.seal_broadcast(body, RSA_KEY)
    assert by_numbers([header, body]) == body
    assert wire.unseal_broadcast([header, body], RSA_KEY.public_key(), 1000) == body
    prefix, _, text = header.rpartition(b":")
    number = int.from_bytes(base64.b64decode(text), "big") ^ (1 << flipped)
    forged = prefix + b":" + base64.b64encode(number.to_bytes(256, "big"))
    for unseal_it in (
        by_numbers,
        lambda frames: wire.unseal_broadcast(frames, RSA_KEY.public_key(), 1000),
    ):
        with pytest.raises(wire.WireError, match="wrong signature"):
            unseal_it([forged, body])


@pytest.mark.parametrize(
    "number",
    [0, 1, NUMBERS.n - 1, NUMBERS.n, NUMBERS.n + 1, 2**2048 - 1],
    # The modulus is another one in every process, and so would the names be.
    ids=["0", "1", "n-1", "n", "n+1", "2**2048-1"],
)
@pytest.mark.parametrize("size", [255, 256, 257])
def test_degenerate_signatures_verify_nothing(number: int, size: int) -> None:
    if number.bit_length() > size * 8:
        return
    prefix = wire.seal_broadcast(b"{}", RSA_KEY)[0].rpartition(b":")[0]
    frames = [prefix + b":" + base64.b64encode(number.to_bytes(size, "big")), b"{}"]
    with pytest.raises(wire.WireError):
        by_numbers(frames)
    with pytest.raises(wire.WireError):
        wire.unseal_broadcast(frames, RSA_KEY.public_key(), 1000)


@settings(max_examples=examples(300))
@given(frames=st.lists(st.binary(max_size=200), max_size=4), prefix=st.booleans())
def test_no_frames_make_the_framing_raise_anything_else(frames: list[bytes], prefix: bool) -> None:
    if prefix and frames:
        frames = [b"Version:2.0;SigningMethod:rsa2048_sha1;Signature:" + frames[0], *frames[1:]]
    for unseal_it in (
        by_numbers,
        lambda frames: wire.unseal(frames, KEY, 1000),
        lambda frames: wire.unseal_broadcast(frames, RSA_KEY.public_key(), 1000),
    ):
        with pytest.raises(wire.WireError):
            unseal_it(frames)


@settings(max_examples=examples(200))
@given(body=st.binary(max_size=300), other=st.binary(max_size=300), key=st.binary(max_size=40))
def test_a_sealed_body_is_bound_to_its_key_and_bytes(body: bytes, other: bytes, key: bytes) -> None:
    header, _ = wire.seal(body, KEY)
    assert wire.unseal([header, body], KEY, 300) == body
    if other != body:
        with pytest.raises(wire.WireError, match="wrong signature"):
            wire.unseal([header, other], KEY, 300)
    # HMAC pads keys with zeros.
    if key.rstrip(b"\0") != KEY:
        with pytest.raises(wire.WireError, match="wrong signature"):
            wire.unseal([header, body], key, 300)
