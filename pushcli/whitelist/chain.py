"""Statements about editors, each of which names the one before it (docs/editors.md).

A statement is a flat JSON object. What is signed and what is hashed is all of it but the
signature, so that a later version may add fields, and this one still follows the chain.

As `statements`, this needs the standard library alone: agents verify with it.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from pushcli.protocol import limits
from pushcli.whitelist import statements
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.statements import EditorStatement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

ADD, REMOVE, CHECKPOINT = "add", "remove", "checkpoint"
EDIT = "edit"
"""The only role that there is: to edit whitelists. Statements of other roles have no effect."""
_PREFIX = b"pushcli editors 1\n"
_SET = b"pushcli editors set 1\n"
_MAX_FIELDS = 32

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_OrNone = Annotated[str, msgspec.Meta(max_length=255)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_OrNoDigest = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
_Base64 = Annotated[str, msgspec.Meta(max_length=2048)]


class Unreadable(ValueError):
    """Something that is no statement; the text is one line."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of the chain.

    Args:
        key: the signer's fingerprint.
        previous: the digest of the statement before; of the first one, that of the set of old
            statements (`digest_of_set`).
        version: its date, microseconds since the epoch.
        action: `add`, `remove` or `checkpoint`; any other has no effect.
        editor: whose key it is about; empty in a checkpoint.
        subject: the fingerprint of that key.
        modulus: of a key that is added (base64).
        kept: of a checkpoint: the digest of the set that stands for all before it.
    """

    org: _Text
    signer: _Text
    key: _Text
    previous: _Digest
    version: Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_VERSION)]
    action: _Text
    role: _Text = EDIT
    editor: _OrNone = ""
    subject: _OrNone = ""
    modulus: _Base64 = ""
    exponent: Annotated[int, msgspec.Meta(ge=0, le=2**32)] = 0
    kept: _OrNoDigest = ""
    signature: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class Statement:
    """A statement as it travels, with its digest, in either form.

    Args:
        raw: as in JSON.

    Raises:
        Unreadable: it is none.
    """

    __slots__ = ("_text", "content", "digest", "raw")

    def __init__(self, raw: Any) -> None:
        self.raw: Mapping[str, Any] = _checked(raw)
        self.content: Link | EditorStatement
        try:
            if "previous" in self.raw:
                self.content = msgspec.convert(self.raw, Link)
                self._text = _text(self.raw)
            else:
                self.content = msgspec.convert(self.raw, EditorStatement)
                self._text = statements.editor_text(self.content)
                self.content.editor_key()
        except ValueError as error:
            raise Unreadable(f"not a statement about an editor: {error}") from error
        self.digest: str = hashlib.sha256(self._text).hexdigest()

    @property
    def size(self) -> int:
        """Bytes that it takes in a message."""
        return len(msgspec.json.encode(self.raw)) + 1

    def is_signed_by(self, key: PublicNumbers) -> bool:
        """Whether the key made it."""
        content = self.content
        return content.key == key.fingerprint and key.signed(self._text, content.signature)

    @property
    def is_old(self) -> bool:
        """Whether it is of the form before there was a chain."""
        return isinstance(self.content, EditorStatement)

    @property
    def subject(self) -> str:
        """The fingerprint of the key that it is about; empty if it is about none."""
        if isinstance(self.content, EditorStatement):
            return self.content.editor_key().fingerprint
        return self.content.subject

    @property
    def action(self) -> str:
        """`add`, `remove`, `checkpoint`, or something that a later version knows."""
        if isinstance(self.content, EditorStatement):
            return REMOVE if self.content.removed else ADD
        return self.content.action


def numbers_of(modulus: str, exponent: int) -> PublicNumbers:
    """A key from a statement.

    Raises:
        ValueError: it is none.
    """
    return PublicNumbers(int.from_bytes(base64.b64decode(modulus, validate=True), "big"), exponent)


def added_key(one: Statement) -> PublicNumbers:
    """The key that a statement vouches for.

    Raises:
        ValueError: it holds none, or another than it names; the text is one line.
    """
    try:
        key = numbers_of(one.content.modulus, one.content.exponent)
    except ValueError as error:
        raise ValueError("it holds no key") from error
    if not key.is_usable or not one.content.editor:
        raise ValueError("it holds no key of an editor")
    if key.fingerprint != one.subject:
        raise ValueError("its key is not the one that it names")
    return key


def in_order(old: Iterable[Statement]) -> list[Statement]:
    """Old statements in the order in which the chain's first link names them."""
    return sorted(old, key=lambda one: (one.content.version, one.digest))


def digest_of_set(said: Sequence[Statement]) -> str:
    """Of statements in their order: what a first link's `previous` and `kept` name."""
    return hashlib.sha256(_SET + "\n".join(one.digest for one in said).encode()).hexdigest()


def end_of(base: Sequence[Statement], links: Sequence[Statement]) -> str:
    """What the next statement has to name as `previous`."""
    return links[-1].digest if links else digest_of_set(in_order(base))


class Signer:
    """Makes statements with a key.

    Args:
        name: whose key it is.
    """

    def __init__(self, key: "RSAPrivateKey", *, org: str, name: str) -> None:
        self._key = key
        self._org = org
        self._name = name

    def add(
        self, editor: str, key: "RSAPublicKey", *, previous: str, version: int
    ) -> dict[str, Any]:
        """Vouch for a key."""
        numbers = statements.public_numbers(key)
        return self.signed(
            previous, version, ADD, editor=editor, subject=numbers.fingerprint,
            modulus=statements.modulus_text(numbers), exponent=numbers.exponent,
        )  # fmt: skip

    def remove(self, editor: str, subject: str, *, previous: str, version: int) -> dict[str, Any]:
        """Take a key back, by its fingerprint."""
        return self.signed(previous, version, REMOVE, editor=editor, subject=subject)

    def checkpoint(self, kept: str, *, previous: str, version: int) -> dict[str, Any]:
        """Let a set of statements stand for all before."""
        return self.signed(previous, version, CHECKPOINT, kept=kept)

    def signed(self, previous: str, version: int, action: str, **more: Any) -> dict[str, Any]:
        """Any statement, of these fields more."""
        said = {
            "org": self._org, "signer": self._name, "key": statements.fingerprint(self._key),
            "previous": previous, "version": version, "action": action, "role": EDIT, **more,
        }  # fmt: skip
        return {**said, "signature": statements.signature(self._key, _text(said))}


def _text(raw: Mapping[str, Any]) -> bytes:
    said = {name: value for name, value in raw.items() if name != "signature"}
    return _PREFIX + msgspec.json.encode(said, order="sorted")


def _checked(raw: Any) -> dict[str, Any]:
    # What a later version adds is hashed too: flat and short, so that it reads the same anywhere.
    if not isinstance(raw, dict) or len(raw) > _MAX_FIELDS:
        raise Unreadable("not a statement about an editor")
    for name, value in raw.items():
        if not isinstance(name, str) or len(name) > 64:
            raise Unreadable("a statement with an invalid field")
        if not (isinstance(value, str) and len(value) <= 4096) and not (
            isinstance(value, int) and abs(value) <= limits.MAX_VERSION
        ):
            raise Unreadable(f"a statement whose field {name[:64]!r} is invalid")
    return raw
