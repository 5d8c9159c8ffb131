"""Chef signed headers: what is signed, signing, and reading (Push Jobs protocol, section 2).

Versions 1.0 and 1.1 pad the string itself, without a digest; 1.2 signs it with SHA-1, 1.3
with SHA-256. Pure: headers and bytes in and out. Verification stands in `verification`.
"""

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from pushcli.errors import ConfigError
from pushcli.protocol.headers import API_VERSION

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

DEFAULT_VERSION = "1.3"
ALGORITHMS = {"1.0": "sha1", "1.1": "sha1", "1.2": "sha1", "1.3": "sha256"}
LINE = 60
"""Characters of base64 in one X-Ops-Authorization header."""


def canonical_path(path: str) -> str:
    """The path as it is signed: without query, slashes collapsed, none at the end."""
    collapsed = re.sub(r"/+", "/", path.partition("?")[0])
    return collapsed if collapsed == "/" else collapsed.removesuffix("/")


def content_hash(body: bytes, version: str) -> str:
    """`X-Ops-Content-Hash` of a body."""
    return _digest(body, ALGORITHMS[version])


def string_to_sign(
    *,
    version: str,
    method: str,
    path: str,
    content_hash: str,
    timestamp: str,
    user: str,
    api_version: str = "0",
) -> str:
    """What the signature is made of; `path` may be raw.

    Raises:
        KeyError: unknown version.
    """
    path = canonical_path(path)
    method = method.upper()
    lines: tuple[str, ...]
    if version == "1.3":
        lines = (
            f"Method:{method}",
            f"Path:{path}",
            f"X-Ops-Content-Hash:{content_hash}",
            f"X-Ops-Sign:version={version}",
            f"X-Ops-Timestamp:{timestamp}",
            f"X-Ops-UserId:{user}",
            f"{API_VERSION}:{api_version}",
        )
    else:
        algorithm = ALGORITHMS[version]
        named = user if version == "1.0" else _digest(user.encode(), algorithm)
        lines = (
            f"Method:{method}",
            f"Hashed Path:{_digest(path.encode(), algorithm)}",
            f"X-Ops-Content-Hash:{content_hash}",
            f"X-Ops-Timestamp:{timestamp}",
            f"X-Ops-UserId:{named}",
        )
    return "\n".join(lines)


def sign(
    key: "RSAPrivateKey",
    *,
    method: str,
    path: str,
    body: bytes,
    user: str,
    timestamp: str,
    version: str = DEFAULT_VERSION,
    api_version: str = "0",
) -> dict[str, str]:
    """The headers that sign a request.

    Args:
        timestamp: UTC, `2026-11-23T20:00:00Z`.
        api_version: sent and, in 1.3, signed.

    Raises:
        ConfigError: the user's name is too long for version 1.0 and this key.
    """
    digest = content_hash(body, version)
    text = string_to_sign(
        version=version,
        method=method,
        path=path,
        content_hash=digest,
        timestamp=timestamp,
        user=user,
        api_version=api_version,
    )
    signature = base64.b64encode(_signature(key, text.encode(), version)).decode()
    lines = [signature[i : i + LINE] for i in range(0, len(signature), LINE)]
    return {
        # No white space: the old server does not trim.
        "X-Ops-Sign": f"algorithm={ALGORITHMS[version]};version={version};",
        "X-Ops-Userid": user,
        "X-Ops-Timestamp": timestamp,
        "X-Ops-Content-Hash": digest,
        API_VERSION: api_version,
        **{f"X-Ops-Authorization-{n}": line for n, line in enumerate(lines, 1)},
    }


def _signature(key: "RSAPrivateKey", text: bytes, version: str) -> bytes:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding, utils  # noqa: PLC0415

    if version in {"1.0", "1.1"}:
        try:
            return key.sign(text, padding.PKCS1v15(), utils.NoDigestInfo())
        except ValueError as error:
            raise ConfigError(
                f"the request is too long to be signed in version {version}",
                "set signing_version to 1.3",
            ) from error
    algorithm = hashes.SHA256() if version == "1.3" else hashes.SHA1()  # noqa: S303
    return key.sign(text, padding.PKCS1v15(), algorithm)


def _digest(data: bytes, algorithm: str) -> str:
    digest = hashlib.new(algorithm, data, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
