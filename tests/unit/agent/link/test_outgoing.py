"""The bytes of the agent's messages, beside those of the real old agent."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome
from pushcli_agent.core import effects
from pushcli_agent.core.effects import Answer, ResultForm, SendHeartbeat, SendOutput, SendResult
from pushcli_agent.link.outgoing import Identity, Outgoing, fit

JOB = "709e48adccab650bf6b33bd787c63734"
LIMIT = 65_536
RECORDED = json.loads((Path(__file__).parents[3] / "vectors" / "zmq_messages.json").read_text())[
    "messages"
]
IDENTITY = Identity(node="node1", org="acme", client="vm", incarnation_id="an-incarnation")


def written(effect: Any, stdout: bytes = b"", stderr: bytes = b"") -> dict[str, Any]:
    spooled = {"stdout": stdout, "stderr": stderr}
    outgoing = Outgoing(
        IDENTITY, lambda _job, channel, offset, size: spooled[channel][offset : offset + size]
    )
    body = outgoing.body(effect, LIMIT)
    assert len(body) <= LIMIT
    messages.decode_node_message(body)
    value = json.loads(body)
    assert isinstance(value, dict)
    return value


def recorded(kind: str, **fields: Any) -> set[str]:
    """The keys of such a message of the real old agent."""
    for message in RECORDED:
        body = json.loads(message["body"])
        if body["type"] == kind and "node" in body and fields.items() <= body.items():
            return set(body)
    raise LookupError(kind)


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (SendHeartbeat("idle", None, None), "heartbeat"),
        (SendHeartbeat("running", JOB, None), "heartbeat"),
        (Answer(messages.AckCommit, JOB), "ack_commit"),
        (Answer(messages.NackCommit, None), "nack_commit"),
        (Answer(messages.AckRun, JOB), "ack_run"),
        (Answer(messages.NackRun, JOB), "nack_run"),
        (Answer(messages.Aborted, None), "aborted"),
    ],
)
def test_without_extensions_a_message_has_the_old_agent_s_keys_and_no_others(
    effect: Any, kind: str
) -> None:
    assert set(written(effect)) == recorded(kind)


def outcome(**changed: Any) -> Outcome:
    return Outcome(**{"exit_code": 0, "started_at": 1.5, "ended_at": 2.5, **changed})


def test_a_bare_result_for_an_old_server_has_the_old_agent_s_keys() -> None:
    body = written(SendResult(JOB, outcome(), ResultForm.BARE, spooled=False))
    assert set(body) == recorded("succeeded") - {"stdout", "stderr"}


def test_a_captured_result_for_an_old_server_carries_both_channels_as_text() -> None:
    captured = outcome(capture=True, stdout_size=4, stderr_size=0)
    body = written(SendResult(JOB, captured, ResultForm.TEXT, spooled=False), b"a\xff\0\n")
    assert set(body) == recorded("succeeded", stderr="err-line\n")
    # Its PostgreSQL takes no NUL.
    assert (body["stdout"], body["stderr"]) == ("a��\n", "")


def test_a_kept_result_says_how_the_command_ended() -> None:
    body = written(SendResult(JOB, outcome(), ResultForm.BARE, spooled=True))
    assert body["type"] == "succeeded"
    assert body["spooled"] is True
    assert (body["exit_code"], body["started_at"], body["ended_at"]) == (0, 1.5, 2.5)
    assert not {"signal", "timed_out", "stdout", "stdout_size"} & set(body)


@pytest.mark.parametrize(
    "changed",
    [{"exit_code": 1}, {"exit_code": None, "signal": 9}, {"timed_out": True}, {"aborted": True}],
)
def test_whatever_did_not_end_by_itself_with_0_failed(changed: dict[str, Any]) -> None:
    body = written(SendResult(JOB, outcome(**changed), ResultForm.BARE, spooled=True))
    assert body["type"] == "failed"


def test_small_output_travels_as_base64() -> None:
    captured = outcome(capture=True, stdout_size=256, stderr_size=3)
    raw = bytes(range(256))
    body = written(SendResult(JOB, captured, ResultForm.INLINE, spooled=True), raw, b"err")
    assert base64.b64decode(body["stdout_base64"]) == raw
    assert base64.b64decode(body["stderr_base64"]) == b"err"


def test_sizes_are_all_that_is_left_to_say_of_streamed_output() -> None:
    captured = outcome(capture=True, stdout_size=100_000, stderr_size=0)
    body = written(SendResult(JOB, captured, ResultForm.SIZES, spooled=True))
    assert (body["stdout_size"], body["stderr_size"]) == (100_000, 0)


def test_a_full_chunk_fits_into_one_message() -> None:
    raw = bytes(65_536)
    body = written(SendOutput(JOB, "stdout", 32_768, 32_768), raw)
    assert (body["channel"], body["offset"]) == ("stdout", 32_768)
    assert base64.b64decode(body["data"]) == raw[32_768:]


def test_a_heartbeat_with_all_the_results_that_may_wait_fits() -> None:
    pending = tuple(f"{number:032x}" for number in range(64))
    assert written(SendHeartbeat("idle", None, pending))["pending_results"] == list(pending)


def test_the_sequence_rises_over_all_messages() -> None:
    outgoing = Outgoing(IDENTITY, lambda *_: b"")
    effect = SendHeartbeat("idle", None, None)
    bodies = [json.loads(outgoing.body(effect, LIMIT)) for _ in range(3)]
    assert [body["sequence"] for body in bodies] == [1, 2, 3]


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        (b"x" * 500_000, b"y" * 500_000),
        (b"\x00" * 70_000, b""),
        (b"", b"\xff" * 200_000),
        ("𝄞".encode() * 50_000, b"e" * 1000),
    ],
)
def test_output_that_an_old_server_cannot_take_is_cut_with_a_mark(
    stdout: bytes, stderr: bytes
) -> None:
    captured = outcome(capture=True, stdout_size=len(stdout), stderr_size=len(stderr))
    effect = SendResult(JOB, captured, ResultForm.TEXT, spooled=False)
    body = written(effect, stdout, stderr)
    marked = body["stdout"] if len(stdout) > len(stderr) else body["stderr"]
    assert "[output cut: " in marked[-50:]
    assert len(json.dumps(body)) > 15_000


@given(text=st.text(), missing=st.integers(0, 10**9), room=st.integers(60, 300))
def test_what_is_cut_fits_and_begins_as_the_output_does(text: str, missing: int, room: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    result = fit(text, missing, room)
    kept = result.partition("\n[output cut: ")[0] if "\n[output cut: " in result else result
    assert len(json.dumps(result, ensure_ascii=False).encode()) <= room + 20
    assert text.startswith(kept)
    if not missing and len(text.encode()) < room // 6:
        assert result == text


def test_an_answer_carries_its_reason() -> None:
    body = written(effects.Answer(messages.NackCommit, JOB, "not on the whitelist: x"))
    assert body["reason"] == "not on the whitelist: x"
