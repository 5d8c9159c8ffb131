"""RSA keys and secrets in files: read with care, written for their owner alone."""

import base64
import hashlib
import os
import pwd
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pushcli.errors import KeyFileError

MIN_BITS = 2048


def generate() -> rsa.RSAPrivateKey:
    """A new RSA key of 2048 bits, the size that the old programs use."""
    return rsa.generate_private_key(public_exponent=65537, key_size=MIN_BITS)


def load_private_key(path: Path, *, proved: bool = False) -> rsa.RSAPrivateKey:
    """Read a private key (PEM).

    Args:
        proved: as of `private_key`.

    Raises:
        KeyFileError: missing, unreadable, no RSA key, or readable by others.
    """
    pem = read_secret(path)
    return private_key(pem, str(path), proved=proved)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def read_secret(path: Path) -> bytes:
    """Read a file that nobody else may read.

    Raises:
        KeyFileError: missing, unreadable, or readable by others.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, PermissionError):
            # Root acts as the user whose server it is.
            reason = f"{reason} for user {_user()}"
        raise KeyFileError(
            f"cannot read the key {path}: {reason}", "check the path and its permissions"
        ) from error
    if mode & 0o077:
        raise KeyFileError(
            f"the key {path} is readable by others (mode {mode:04o})", f"chmod 600 {path}"
        )
    return content


def private_key(pem: bytes, source: str, *, proved: bool = False) -> rsa.RSAPrivateKey:
    """A private key from its PEM text; `source` is for the error.

    Args:
        proved: whether its numbers must be a key's. To prove it takes 40 ms, a third of most
            commands: it is for where a key is first given. What a wrong one signs, nobody accepts.

    Raises:
        KeyFileError: it is none.
    """
    try:
        key = serialization.load_pem_private_key(
            pem, password=None, unsafe_skip_rsa_key_validation=not proved
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"no readable private key in {source}", "give an RSA key without passphrase"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyFileError(f"{source} is not an RSA key", "Push Jobs signs with RSA keys only")
    return key


def load_public_key(pem: str) -> rsa.RSAPublicKey:
    """A public key from its PEM text.

    Raises:
        KeyFileError: it is no RSA key of at least 2048 bits.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError("not a public key", "give an RSA public key in PEM") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_BITS:
        raise KeyFileError("not an RSA key of at least 2048 bits", "make a new one")
    return key


def public_pem(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> str:
    """The public half as PEM (SubjectPublicKeyInfo)."""
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def fingerprint(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> str:
    """`SHA256:` and the digest, in base64, of the public half (DER SubjectPublicKeyInfo)."""
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = base64.b64encode(hashlib.sha256(der).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def private_pem(key: rsa.RSAPrivateKey) -> bytes:
    """The whole key as PEM in the form that the old programs read."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def write_private_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Write a key for its owner alone; never over another file.

    Raises:
        KeyFileError: the file exists or cannot be written.
    """
    write_secret(path, private_pem(key))


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600, durably.

    Raises:
        KeyFileError: the file exists or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise KeyFileError(f"{path} already exists", "move it away first") from error
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}", "check the path") from error
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_public_key(file: Path) -> str:
    """The public key in a file, in the usual form of PEM.

    Raises:
        KeyFileError: it cannot be read, or is no RSA key of at least 2048 bits.
    """
    try:
        pem = file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise KeyFileError(f"cannot read the key {file}: {reason}", "check the path") from error
    if "PRIVATE KEY" in pem:
        raise KeyFileError(
            f"{file} is a private key", f"give the public half: openssl rsa -in {file} -pubout"
        )
    try:
        return public_pem(load_public_key(pem))
    except KeyFileError as error:
        raise KeyFileError(f"{file}: {error.message}", error.remedy) from error
