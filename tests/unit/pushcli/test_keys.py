"""Key files: read with care, written for their owner alone."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pushcli import keys
from pushcli.errors import KeyFileError
from tests.support.key_files import damaged_key

KEY = keys.generate()


def private(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def public_text(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def test_a_key_is_written_for_its_owner_alone_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    before = os.umask(0)
    try:
        keys.write_private_key(path, KEY)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN RSA PRIVATE KEY-----")
    assert keys.load_private_key(path).private_numbers() == KEY.private_numbers()


def test_a_key_in_the_newer_form_is_read_too(tmp_path: Path) -> None:
    pem = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = private(tmp_path / "key.pem", pem)
    assert keys.load_private_key(path).private_numbers() == KEY.private_numbers()


def test_nothing_is_ever_overwritten_nor_a_link_followed(tmp_path: Path) -> None:
    path = private(tmp_path / "key.pem", b"precious")
    link = tmp_path / "link.pem"
    link.symlink_to(tmp_path / "elsewhere")
    for taken in (path, link):
        with pytest.raises(KeyFileError, match="already exists"):
            keys.write_private_key(taken, KEY)
    assert path.read_bytes() == b"precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"no/key.pem: No such file or directory"):
        keys.write_secret(tmp_path / "no" / "key.pem", b"secret")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "key.pem", keys.private_pem(KEY), mode)
    with pytest.raises(KeyFileError, match=f"readable by others.*chmod 600 {path}"):
        keys.load_private_key(path)


ENCRYPTED = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"passphrase"),
)
ELLIPTIC = ec.generate_private_key(ec.SECP256R1())
ELLIPTIC_PEM = ELLIPTIC.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no readable private key"),
        (b"\x00\xff" * 100, "no readable private key"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "no readable"),
        (keys.public_pem(KEY).encode(), "no readable private key"),
        (ENCRYPTED, "without passphrase"),
        (ELLIPTIC_PEM, "is not an RSA key"),
    ],
)
def test_a_file_without_a_usable_key_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(KeyFileError, match=words):
        keys.load_private_key(private(tmp_path / "key.pem", content))


def test_a_keys_numbers_are_proved_where_that_is_asked_for_alone(tmp_path: Path) -> None:
    """What has the key already waits for no proof, and signs as well as it can."""
    path = tmp_path / "key.pem"
    keys.write_private_key(path, damaged_key())
    with pytest.raises(KeyFileError, match="no readable private key"):
        keys.load_private_key(path, proved=True)
    key, scheme = keys.load_private_key(path), (padding.PKCS1v15(), hashes.SHA256())
    key.public_key().verify(key.sign(b"said", *scheme), b"said", *scheme)


@pytest.mark.parametrize("name", ["missing.pem", ".", "nul\0l.pem"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyFileError, match="cannot read the key"):
        keys.load_private_key(tmp_path / name)


def test_a_public_key_travels_as_pem() -> None:
    pem = keys.public_pem(KEY)
    assert pem == keys.public_pem(KEY.public_key())
    assert keys.load_public_key(pem).public_numbers() == KEY.public_key().public_numbers()


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        ("", "not a public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
        ("\ud800", "not a public key"),
        (public_text(ELLIPTIC), "not an RSA key of at least 2048 bits"),
        (public_text(rsa.generate_private_key(65537, 1024)), "at least 2048 bits"),
    ],
)
def test_what_is_no_strong_rsa_key_is_refused(pem: str, words: str) -> None:
    with pytest.raises(KeyFileError, match=words):
        keys.load_public_key(pem)
