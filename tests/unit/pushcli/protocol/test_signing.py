"""Signed headers, against what the original programs signed and against ourselves."""

import calendar
import time
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli import keys
from pushcli.protocol import signing, verification
from tests.support import recordings
from tests.support.examples import examples

KEY = keys.generate()
OTHER_KEY = keys.generate()
NOW = "2026-11-23T20:00:00Z"
REQUESTS = recordings.requests()


def seconds(timestamp: str) -> float:
    return calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ"))


def read(headers: dict[str, str], now: str = NOW) -> verification.SignedHeaders:
    return verification.parse_headers({k.lower(): v for k, v in headers.items()}, seconds(now))


def signed(version: str = "1.3", **more: Any) -> dict[str, str]:
    values = {"method": "POST", "path": "/organizations/acme/pushy/jobs", "body": b"{}"}
    return signing.sign(KEY, user="ann", timestamp=NOW, version=version, **{**values, **more})


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r["name"])
def test_a_recorded_request_verifies_and_its_string_to_sign_is_rebuilt(request_: Any) -> None:
    headers = request_["headers"]
    parsed = verification.parse_headers(headers, seconds(headers["x-ops-timestamp"]))
    text = signing.string_to_sign(
        version=parsed.version,
        method=request_["method"],
        path=request_["path"],
        content_hash=parsed.content_hash,
        timestamp=parsed.timestamp,
        user=parsed.user,
        api_version=parsed.api_version,
    )
    assert text == request_["string_to_sign"]
    key = keys.load_public_key(request_["public_key"])
    what = {"method": request_["method"], "path": request_["path"]}
    assert verification.verify(parsed, key, body=request_["body"].encode(), **what)
    assert not verification.verify(parsed, key, body=b"other", **what)
    assert not verification.verify(parsed, KEY.public_key(), body=request_["body"].encode(), **what)


@settings(max_examples=examples(200), deadline=None)
@given(
    version=st.sampled_from(sorted(signing.ALGORITHMS)),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.lists(st.text("abc/.%20-", max_size=8), max_size=5).map("/".join).map("/".__add__),
    body=st.binary(max_size=200),
    api_version=st.sampled_from(["0", "1", "2"]),
)
def test_what_is_signed_verifies_and_nothing_else_does(
    version: str, method: str, path: str, body: bytes, api_version: str
) -> None:
    headers = signing.sign(
        KEY, method=method, path=path, body=body, user="ann", timestamp=NOW, version=version,
        api_version=api_version,
    )  # fmt: skip
    parsed = read(headers)
    public = KEY.public_key()
    assert verification.verify(parsed, public, method=method, path=path, body=body)
    assert not verification.verify(parsed, public, method="PATCH", path=path, body=body)
    assert not verification.verify(parsed, public, method=method, path=path + "/x", body=body)
    assert not verification.verify(parsed, public, method=method, path=path, body=body + b"x")
    assert verification.verify_head(parsed, public, method=method, path=path)
    assert verification.is_signed_body(parsed, body)
    assert not verification.is_signed_body(parsed, body + b"x")
    other = OTHER_KEY.public_key()
    assert not verification.verify(parsed, other, method=method, path=path, body=body)


@pytest.mark.parametrize("version", sorted(signing.ALGORITHMS))
def test_our_headers_hold_no_white_space_and_short_lines(version: str) -> None:
    headers = signed(version)
    assert " " not in headers["X-Ops-Sign"]
    lines = [v for k, v in headers.items() if k.startswith("X-Ops-Authorization-")]
    assert max(map(len, lines)) == 60


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("//organizations//acme/", "/organizations/acme"),
        ("/a?b=/c/", "/a"),
        ("/", "/"),
        ("", ""),
        ("/jobs///", "/jobs"),
    ],
)
def test_paths_are_signed_collapsed_and_without_query(path: str, canonical: str) -> None:
    assert signing.canonical_path(path) == canonical


def test_missing_headers_are_named_in_the_documented_order() -> None:
    with pytest.raises(verification.MissingHeaders) as caught:
        read({"X-Ops-Timestamp": " "})
    assert caught.value.names == list(verification.REQUIRED)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"X-Ops-Timestamp": "yesterday"}, verification.BadHeader),
        ({"X-Ops-Timestamp": "2026-11-23T20:15:00Z"}, verification.ClockSkew),
        ({"X-Ops-Timestamp": "2026-11-23T19:45:00Z"}, verification.ClockSkew),
        ({"X-Ops-Sign": "version=1.4"}, verification.UnsupportedVersion),
        ({"X-Ops-Sign": "junk"}, verification.UnsupportedVersion),
        ({"X-Ops-Sign": "algorithm=sha256;version=1.1;"}, verification.UnsupportedVersion),
        ({"X-Ops-Server-API-Version": "two"}, verification.BadHeader),
        # The time is looked at before the version.
        ({"X-Ops-Timestamp": "?", "X-Ops-Sign": "junk"}, verification.BadHeader),
    ],
)
def test_what_cannot_be_accepted_is_refused_as_what_it_is(
    changes: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read({**signed(), **changes})


@pytest.mark.parametrize("timestamp", ["2026-11-23T20:14:59Z", "2026-11-23T19:45:01Z"])
def test_a_skew_below_the_limit_is_accepted(timestamp: str) -> None:
    assert read(signed(), now=timestamp).user == "ann"


@pytest.mark.parametrize(
    "sign", ["version=1.1", " algorithm = sha1 ; version = 1.1 ; ", "version=1.1;algorithm=sha1"]
)
def test_fields_may_be_spaced_swapped_or_left_out(sign: str) -> None:
    parsed = read({**signed("1.1"), "X-Ops-Sign": sign})
    path = "/organizations/acme/pushy/jobs"
    assert verification.verify(parsed, KEY.public_key(), method="POST", path=path, body=b"{}")


def test_missing_signature_lines_do_not_verify() -> None:
    headers = {k: v for k, v in signed().items() if not k.startswith("X-Ops-Authorization")}
    path = "/organizations/acme/pushy/jobs"
    parsed = read(headers)
    assert not verification.verify(parsed, KEY.public_key(), method="POST", path=path, body=b"{}")


# Lone surrogates included: text that cannot be encoded.
junk = st.text(st.characters(exclude_categories=()), max_size=40)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "x-ops-userid": junk,
            "x-ops-timestamp": st.one_of(st.just(NOW), junk),
            "x-ops-sign": st.one_of(
                st.sampled_from(["version=1.0", "version=1.1", "version=1.2", "version=1.3"]), junk
            ),
            "x-ops-content-hash": junk,
            "x-ops-authorization-1": st.one_of(junk, st.text("ABCabc123+/=", max_size=400)),
            "x-ops-server-api-version": junk,
        }
    )
)
def test_hostile_headers_are_refused_or_do_not_verify(headers: dict[str, str]) -> None:
    try:
        parsed = verification.parse_headers(headers, seconds(NOW))
    except ValueError:
        return
    assert not verification.verify(parsed, KEY.public_key(), method="GET", path="/", body=b"")


@pytest.mark.parametrize("version", sorted(signing.ALGORITHMS))
@pytest.mark.parametrize(
    "changes",
    [
        {"user": "\ud800"},
        {"content_hash": "\udfff"},
        {"signature": b""},
        {"signature": b"\0" * 256},
        {"signature": b"\xff" * 256},
        {"signature": b"\x01" * 1536},
        {"user": "x" * 10_000},
    ],
    ids=lambda changes: repr(changes)[:40],
)
def test_no_signature_makes_the_check_raise(version: str, changes: dict[str, Any]) -> None:
    what: dict[str, Any] = {"method": "POST", "path": "/organizations/acme/pushy/jobs"}
    parsed = msgspec.structs.replace(read(signed(version)), **changes)
    assert not verification.verify(parsed, KEY.public_key(), body=b"{}", **what)


def test_a_padded_block_with_more_behind_the_text_does_not_verify() -> None:
    """Versions 1.0 and 1.1 have no DigestInfo: only the whole recovered text may count."""
    what: dict[str, Any] = {"method": "POST", "path": "/"}
    parsed = read(signed("1.1", **what))
    text = signing.string_to_sign(
        version="1.1", content_hash=parsed.content_hash, timestamp=NOW, user="ann", **what
    ).encode()
    for forged in (text + b"\n", text[:-1], b"", b"\0" + text):
        signature = KEY.sign(forged, padding.PKCS1v15(), utils.NoDigestInfo())
        changed = msgspec.structs.replace(parsed, signature=signature)
        assert not verification.verify(changed, KEY.public_key(), body=b"{}", **what)
