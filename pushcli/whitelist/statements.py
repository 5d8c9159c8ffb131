"""Signed statements of operators about whitelists (docs/whitelist.md, docs/extensions.md).

What an operator changes on many nodes is signed once: each change on each node is a leaf of
a Merkle tree, and the signature is over its root. A node gets its leaf's way to the root, so
that it can check that the operator meant this entry, this node and this version, without
hearing of the other nodes.

Checking needs the standard library only: agents do without `cryptography`, which would cost
them 7 MiB.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from pushcli.protocol import limits
from pushcli.whitelist.rsa_numbers import PublicNumbers

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

_ENTRY = "pushcli whitelist entry 1"
_EDITOR = "pushcli whitelist editor 1"
_PREFIX = b"pushcli whitelist 1\n"
_FAR = limits.MAX_AHEAD + 900
"""Seconds: no server answers a clock that is 15 minutes behind its own."""
MAX_DEPTH = 32
"""Of a tree: four thousand million leaves."""

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Version = Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_VERSION)]
_Path = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=46)]], msgspec.Meta(max_length=MAX_DEPTH)
]
_Base64 = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class Change(msgspec.Struct, frozen=True):
    """A new value of an entry (as in JSON); None: it is removed."""

    name: str
    value: Any = None


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A signature over changes on nodes; `key` is the signer's fingerprint."""

    signer: str
    key: str
    version: int
    signature: str
    """Base64."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands beside an entry: who signed it, and the way from its leaf to the root."""

    signer: _Text
    key: _Text
    version: _Version
    signature: _Base64
    path: _Path = []
    removed: bool = False


class EditorStatement(msgspec.Struct, frozen=True, kw_only=True):
    """A signer vouches for an editor's key (modulus in base64), or takes that back."""

    org: _Text
    signer: _Text
    key: _Text
    """The signer's fingerprint."""
    editor: _Text
    modulus: _Base64
    exponent: Annotated[int, msgspec.Meta(ge=3, le=2**32)]
    version: _Version
    removed: bool
    signature: _Base64

    def editor_key(self) -> PublicNumbers:
        """The key that it is about.

        Raises:
            ValueError: it is none.
        """
        modulus = int.from_bytes(base64.b64decode(self.modulus, validate=True), "big")
        return PublicNumbers(modulus, self.exponent)


def public_numbers(key: "RSAPublicKey | RSAPrivateKey") -> PublicNumbers:
    """The public half of a key."""
    public: Any = key.public_key() if hasattr(key, "public_key") else key
    numbers = public.public_numbers()
    return PublicNumbers(numbers.n, numbers.e)


def fingerprint(key: "RSAPublicKey | RSAPrivateKey") -> str:
    """What editors are known by: see `PublicNumbers.fingerprint`."""
    return public_numbers(key).fingerprint


def next_version(now: float, previous: Iterable[int] = ()) -> int:
    """A version above all previous ones: microseconds since the epoch, or one more.

    Versions of the far future count nowhere, and so need not be exceeded.

    Args:
        now: seconds since the epoch.
    """
    last = int((now + _FAR) * 1_000_000)
    counting = (version + 1 for version in previous if version <= last)
    return max([int(now * 1_000_000), *counting])


# --- changes on nodes


def sign(
    key: "RSAPrivateKey",
    *,
    org: str,
    nodes: Sequence[str],
    changes: Sequence[Change],
    version: int,
    signer: str,
) -> Signed:
    """Sign changes, each on each of the nodes."""
    root = _Tree(_leaves(org, nodes, changes, version)).root
    return Signed(
        signer=signer,
        key=fingerprint(key),
        version=version,
        signature=signature(key, _PREFIX + root),
    )


def is_signed_by(
    key: PublicNumbers, signed: Signed, *, org: str, nodes: Sequence[str], changes: Sequence[Change]
) -> bool:
    """Whether the key signed these changes on these nodes, in this order."""
    root = _Tree(_leaves(org, nodes, changes, signed.version)).root
    return signed.key == key.fingerprint and key.signed(_PREFIX + root, signed.signature)


def records(
    signed: Signed, *, org: str, nodes: Sequence[str], changes: Sequence[Change]
) -> dict[str, dict[str, dict[str, Any]]]:
    """For each node and name the record that goes with the entry, as JSON."""
    tree = _Tree(_leaves(org, nodes, changes, signed.version))
    made: dict[str, dict[str, dict[str, Any]]] = {}
    index = 0
    for node in nodes:
        of_node = made.setdefault(node, {})
        for change in changes:
            record = Record(
                signer=signed.signer,
                key=signed.key,
                version=signed.version,
                signature=signed.signature,
                path=tree.path(index),
                removed=change.value is None,
            )
            of_node[change.name] = msgspec.to_builtins(record)
            index += 1
    return made


def holds(
    record: Record, key: PublicNumbers, *, org: str, node: str, name: str, value: Any
) -> bool:
    """Whether the record proves that the key's owner meant this value for this entry.

    Args:
        value: of the entry as in JSON; None for one that is removed.
    """
    message = signed_message(record, org=org, node=node, name=name, value=value)
    return message is not None and key.signed(message, record.signature)


def signed_message(record: Record, *, org: str, node: str, name: str, value: Any) -> bytes | None:
    """What the record's signature has to be over, the same for all of one edit; None: nothing."""
    if record.removed != (value is None):
        return None
    digest = _leaf(org, node, name, value, record.version)
    for step in record.path:
        try:
            sibling = base64.b64decode(step[1:], validate=True)
        except (binascii.Error, ValueError):
            return None
        if step[:1] not in ("l", "r") or len(sibling) != len(digest):
            return None
        digest = _inner(sibling, digest) if step[0] == "l" else _inner(digest, sibling)
    return _PREFIX + digest


def _leaves(org: str, nodes: Sequence[str], changes: Sequence[Change], version: int) -> list[bytes]:
    if not nodes or not changes:
        raise ValueError("nothing to sign")
    return [
        _leaf(org, node, change.name, change.value, version) for node in nodes for change in changes
    ]


def _leaf(org: str, node: str, name: str, value: Any, version: int) -> bytes:
    text = msgspec.json.encode([_ENTRY, org, node, name, version, value], order="sorted")
    return hashlib.sha256(b"\x00" + text).digest()


def _inner(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class _Tree:
    """Pairs are joined level by level; one that is left over goes up as it is."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._levels = [leaves]
        while len(level := self._levels[-1]) > 1:
            pairs = [_inner(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            self._levels.append(pairs + level[2 * len(pairs) :])

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def path(self, index: int) -> list[str]:
        """The siblings on the way up, each with the side that it is on."""
        steps = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                side = "l" if sibling < index else "r"
                steps.append(side + base64.b64encode(level[sibling]).decode("ascii"))
            index //= 2
        return steps


# --- editors


def editor_statement(
    key: "RSAPrivateKey",
    *,
    org: str,
    signer: str,
    editor: str,
    editor_key: "RSAPublicKey",
    version: int,
    removed: bool = False,
) -> dict[str, Any]:
    """Vouch for an editor's key, or take that back; as JSON."""
    numbers = public_numbers(editor_key)
    statement = EditorStatement(
        org=org,
        signer=signer,
        key=fingerprint(key),
        editor=editor,
        modulus=modulus_text(numbers),
        exponent=numbers.exponent,
        version=version,
        removed=removed,
        signature="-",
    )
    signed = signature(key, editor_text(statement))
    made: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(statement, signature=signed))
    return made


def editor_text(statement: EditorStatement) -> bytes:
    """What its signature is over."""
    said = [
        _EDITOR, statement.org, statement.signer, statement.key, statement.editor,
        statement.modulus, statement.exponent, statement.version, statement.removed,
    ]  # fmt: skip
    return _PREFIX + msgspec.json.encode(said)


# --- keys


def modulus_text(numbers: PublicNumbers) -> str:
    """A key's modulus as statements have it (base64)."""
    size = (numbers.modulus.bit_length() + 7) // 8
    return base64.b64encode(numbers.modulus.to_bytes(size, "big")).decode("ascii")


def signature(key: "RSAPrivateKey", message: bytes) -> str:
    """The key's signature (RSA PKCS#1 v1.5 with SHA-256, base64)."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

    signed = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signed).decode("ascii")
