"""Session keys: derived per node, readable for one key's holder only."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli import keys
from pushcli.protocol import session_keys
from tests.support.examples import examples

KEY = keys.generate()
OTHER_KEY = keys.generate()
SECRET = b"s" * 32

names = st.text("abc_.:-", min_size=1, max_size=12)
salts = st.text("0123456789abcdef", max_size=32)


@settings(max_examples=examples(200))
@given(st.tuples(names, names, salts), st.tuples(names, names, salts))
def test_each_client_of_a_node_has_a_key_of_its_own_that_stays(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    key = session_keys.derive(SECRET, *one)
    assert len(key) == 32
    assert key == session_keys.derive(SECRET, *one)
    assert (key == session_keys.derive(SECRET, *other)) == (one == other)
    assert key != session_keys.derive(b"t" * 32, *one)
    assert key != session_keys.derive(SECRET, *one[:2], one[2] + "0")


def test_a_derived_key_never_changes_between_releases() -> None:
    # Without a salt: clients from before there were any go on with theirs.
    key = session_keys.derive(SECRET, "acme", "web01", "")
    assert key.hex() == "d2484507ef18f4b94b15dc7981b13e0bc18ab18454f4970bf8629e66db1c1051"


def test_what_is_encrypted_is_read_by_its_holder() -> None:
    encoded = session_keys.encrypt(SECRET, KEY.public_key())
    assert encoded["method"] == "hmac_sha256"
    assert session_keys.decrypt(encoded, KEY) == SECRET


def test_line_breaks_in_the_text_are_no_hindrance() -> None:
    encoded = session_keys.encrypt(SECRET, KEY.public_key())
    encoded["key"] = "\n".join(encoded["key"][i : i + 60] for i in range(0, 400, 60))
    assert session_keys.decrypt(encoded, KEY) == SECRET


def test_another_key_does_not_read_it() -> None:
    encoded = session_keys.encrypt(SECRET, KEY.public_key())
    # OpenSSL 3.2 and later answer bad padding with other bytes instead of an error.
    with contextlib.suppress(ValueError):
        assert session_keys.decrypt(encoded, OTHER_KEY) != SECRET


@pytest.mark.parametrize(
    "encoded",
    [
        None,
        [],
        "key",
        {},
        {"method": "rot13", "key": "AAAA"},
        {"method": "hmac_sha256"},
        {"method": "hmac_sha256", "key": None},
        {"method": "hmac_sha256", "key": "A"},
        {"method": "hmac_sha256", "key": "AAAA"},
        {"method": "hmac_sha256", "key": "é"},
        {"method": "hmac_sha256", "key": ["AAAA"]},
        session_keys.encrypt(b"short", KEY.public_key()),
        session_keys.encrypt(b"", KEY.public_key()),
    ],
)
def test_what_is_no_session_key_is_a_value_error(encoded: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        session_keys.decrypt(encoded, KEY)
