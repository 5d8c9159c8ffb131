"""What `-VV` shows of requests and answers, and what it never does."""

import json

import pytest

from pushcli.client import trace


def test_signatures_keys_tokens_files_and_variables_are_hidden() -> None:
    body = {
        "command": "deploy", "env": {"PASSWORD": "s1"}, "file": "raw:s2", "pushcli": {"env": "s3"},
        "token": "s4", "private_key": "s5", "nested": [{"client_secret": "s6"}],
        "text": "-----BEGIN RSA PRIVATE KEY-----s7", "public_key": "shown", "uses": 3,
    }  # fmt: skip
    headers = [
        ("X-Ops-Userid", "ann"), ("X-Ops-Authorization-1", "s8"), ("Cookie", "s9"),
        ("X-Ops-Content-Hash", "s0"), ("proxy-authorization", "sa"),
    ]  # fmt: skip
    first, *lines = trace.request_lines("POST", "/x", headers, json.dumps(body).encode())
    assert first == "> POST /x"
    assert lines[:2] == ["> X-Ops-Userid: ann", "> X-Ops-Authorization-1: ***"]
    shown = json.loads(lines[-1][2:])
    assert shown["env"] == {"PASSWORD": "***"}
    assert (shown["public_key"], shown["command"], shown["uses"]) == ("shown", "deploy", 3)
    assert not [secret for secret in "0123456789a" if f"s{secret}" in "".join(lines)]


@pytest.mark.parametrize("body", [b"\xff\x00 output", b"[" * 5_000])
def test_of_what_is_no_json_only_the_size_is_told(body: bytes) -> None:
    assert [*trace.answer_lines(200, [], body, 0.0123)] == [
        "< 200 in 12 ms",
        f"< [{len(body):,} bytes]",
    ]


def test_a_long_body_is_cut() -> None:
    _, line = trace.answer_lines(200, [], json.dumps(["x"] * 10_000).encode(), 0)
    assert len(line) < 4_100
