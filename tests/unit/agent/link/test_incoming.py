"""What verifies becomes an event; everything else is to be dropped, with a reason."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol import extensions, messages, wire
from pushcli.protocol.timestamps import format_rfc1123
from pushcli_agent.core.events import CommandReceived, MalformedReceived
from pushcli_agent.link.incoming import Incoming
from tests.unit.agent.core.script import config

KEY = b"secret"
RECORDED = json.loads((Path(__file__).parents[3] / "vectors" / "zmq_messages.json").read_text())
SERVER_KEY = rsa.generate_private_key(65537, 2048)
NUMBERS = SERVER_KEY.public_key().public_numbers()


def incoming(offered: frozenset[str] = extensions.ALL) -> Incoming:
    modulus = NUMBERS.n.to_bytes(256, "big")
    return Incoming(
        config(session_key=KEY, modulus=modulus, exponent=NUMBERS.e, extensions=offered)
    )


def body(kind: str = "ack", sequence: int = 1, late: float = 0.0, **fields: Any) -> bytes:
    stamp = format_rfc1123(time.time() - late)
    return json.dumps({"type": kind, "sequence": sequence, "timestamp": stamp, **fields}).encode()


def test_a_signed_command_is_taken() -> None:
    event = incoming().command(wire.seal(body("run", job_id="x"), KEY))
    assert isinstance(event, CommandReceived)
    assert isinstance(event.message, messages.Run)


def test_a_sequence_that_does_not_rise_is_a_replay_until_there_is_a_new_connection() -> None:
    channel = incoming()
    channel.command(wire.seal(body(sequence=5), KEY))
    for sequence in (5, 4):
        with pytest.raises(ValueError, match="replay"):
            channel.command(wire.seal(body(sequence=sequence), KEY))
    channel.new_connection()
    channel.command(wire.seal(body(sequence=1), KEY))


def test_an_old_server_may_count_anew_at_any_time() -> None:
    old = incoming(offered=frozenset())
    for sequence in (34, 1, 2, 2):
        old.command(wire.seal(body("abort", sequence), KEY))


@pytest.mark.parametrize("late", [301, -302])
def test_a_timestamp_too_far_off_is_refused_in_both_directions(late: float) -> None:
    with pytest.raises(ValueError, match=r"its clock is 30. s (ahead|behind)"):
        incoming().command(wire.seal(body(late=late), KEY))


def test_a_message_that_is_dropped_does_not_use_up_its_sequence() -> None:
    channel = incoming()
    with pytest.raises(ValueError, match="clock"):
        channel.command(wire.seal(body(sequence=9, late=400), KEY))
    channel.command(wire.seal(body(sequence=1), KEY))


def test_rsa_is_not_taken_on_the_command_channel() -> None:
    with pytest.raises(wire.WireError, match="signing method"):
        incoming().command(wire.seal_broadcast(body("run"), SERVER_KEY))


def test_a_wrong_key_is_not_taken() -> None:
    with pytest.raises(wire.WireError, match="wrong signature"):
        incoming().command(wire.seal(body(), b"other"))


def test_a_commit_of_wrong_types_is_malformed_and_still_bound_by_sequence_and_time() -> None:
    channel = incoming()
    event = channel.command(wire.seal(body("commit", 3, job_id=5), KEY))
    assert isinstance(event, MalformedReceived)
    assert event.kind == "commit"
    with pytest.raises(ValueError, match="replay"):
        channel.command(wire.seal(body("run", 3, job_id=5), KEY))
    with pytest.raises(ValueError, match="clock"):
        channel.command(wire.seal(body("run", 4, late=999, job_id=5), KEY))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"type":' * 60_000,
        body("wibble"),
        body("ack_result"),
        b'{"type":"commit"}',
        b'{"type":"run","sequence":1e400,"timestamp":"x"}',
        b'{"type":"run","sequence":1,"timestamp":"yesterday"}',
        b'{"type":"commit","sequence":1,"timestamp":5,"job_id":7}',
    ],
)
def test_what_is_no_message_is_dropped(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        incoming().command(wire.seal(raw, KEY))


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        incoming().command(wire.seal(raw, KEY))
    with pytest.raises(ValueError, match=r"."):
        incoming().command([raw, raw])


def test_a_heartbeat_of_the_server_is_taken() -> None:
    raw = body("heartbeat", server="push", incarnation_id="i")
    assert incoming().broadcast(wire.seal_broadcast(raw, SERVER_KEY)).message.incarnation_id == "i"


def test_a_heartbeat_signed_by_hmac_or_too_old_is_dropped() -> None:
    raw = body("heartbeat", late=400, server="push", incarnation_id="i")
    with pytest.raises(ValueError, match="clock"):
        incoming().broadcast(wire.seal_broadcast(raw, SERVER_KEY))
    with pytest.raises(wire.WireError):
        incoming().broadcast(wire.seal(raw, KEY))


def test_recorded_heartbeats_verify_by_numbers_and_only_whole() -> None:
    key = load_pem_public_key(RECORDED["server_public_key"].encode())
    assert isinstance(key, rsa.RSAPublicKey)
    numbers = key.public_numbers()
    beats = [m for m in RECORDED["messages"] if "rsa2048_sha1" in m["header"]]
    assert beats
    for message in beats:
        frames = [message["header"].encode(), message["body"].encode()]
        raw = wire.unseal_broadcast_by_numbers(frames, numbers.n, numbers.e, 65_536)
        assert raw == frames[1]
        with pytest.raises(wire.WireError):
            wire.unseal_broadcast_by_numbers([frames[0], raw + b" "], numbers.n, numbers.e, 65_536)


@given(st.binary(min_size=0, max_size=300))
def test_no_other_signature_verifies_by_numbers(signature: bytes) -> None:
    header = b"Version:2.0;SigningMethod:rsa2048_sha1;Signature:" + base64.b64encode(signature)
    with pytest.raises(wire.WireError):
        wire.unseal_broadcast_by_numbers([header, b"{}"], NUMBERS.n, NUMBERS.e, 65_536)
