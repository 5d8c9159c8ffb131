"""Frames and messages, against the recordings and against what a hostile peer sends."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli import keys, messages, wire
from tests import recordings

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
        ([b"Version:2.0;SigningMethod:hmac_sha256;Signature:not base64!", b"{}"], "no base64"),
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
def test_a_hostile_body_is_no_message(decoder, body: bytes) -> None:
    with pytest.raises(messages.MessageError):
        decoder(body)


@settings(max_examples=300)
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
