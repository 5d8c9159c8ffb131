"""Statements about editors on a server: read, signed after what is there, and signed anew if
somebody was faster (docs/editors.md).
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli import errors
from pushcli.client.answers import checked
from pushcli.protocol import limits
from pushcli.whitelist import chain
from pushcli.whitelist.chain import Statement, Unreadable
from pushcli.whitelist.checkpoint import Kept, kept
from pushcli.whitelist.statements import fingerprint, next_version

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from pushcli.client.api import ApiClient

EXTENSION = "editors"
PATH = "pushy/editors"
OLD_PATH = "pushy/whitelist_editors"
_TRIES = 5


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    base: list[dict[str, Any]]
    links: list[dict[str, Any]]
    end: str
    version: int = 0
    now: float


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a server has of statements about editors.

    Args:
        statements: in their order.
        end: what the next one has to name; None: the server knows the old form only.
        version: above all that count.
    """

    statements: Sequence[Statement]
    end: str | None
    version: int


def read(client: "ApiClient") -> Known:
    """All that the server has.

    Raises:
        PushcliError: it has none of this.
    """
    try:
        answer = client.get(PATH)
    except (errors.NotFound, errors.RequestRefused, errors.ServerError):
        if EXTENSION in client.extensions:
            raise
        return _read_old(client)
    found = checked(answer, _Answer)
    statements = _statements([*found.base, *found.links])
    if not found.links:
        statements = chain.in_order(statements)
    # Not ahead of the server's clock either: it, and the agents, would not take that.
    now = min(time.time(), found.now)
    past = [one.content.version for one in statements if one.content.version <= _latest(found.now)]
    return Known(
        statements=statements, end=found.end, version=next_version(now, [found.version, *past])
    )


def vouch(client: "ApiClient", editor: str, key: "RSAPublicKey") -> dict[str, Any]:
    """Vouch for a key; returns the statement.

    Raises:
        PushcliError: the server refused it.
    """

    def signed(known: Known) -> dict[str, Any]:
        end, version = known.end or "", known.version
        return client.signer.link.add(editor, key, previous=end, version=version)

    return _append(client, signed, editor, key, removed=False)


def revoke(client: "ApiClient", editor: str, key: "RSAPublicKey") -> dict[str, Any]:
    """Say that a key is no editor's any more; returns the statement.

    Raises:
        PushcliError: the server refused it.
    """
    subject = fingerprint(key)

    def signed(known: Known) -> dict[str, Any]:
        end, version = known.end or "", known.version
        return client.signer.link.remove(editor, subject, previous=end, version=version)

    return _append(client, signed, editor, key, removed=True)


def to_keep(client: "ApiClient", known: Known) -> Kept:
    """What a checkpoint would keep."""
    return kept(known.statements, client.signer.fingerprint)


def checkpoint(client: "ApiClient", known: Known, keep: Sequence[Statement]) -> dict[str, Any]:
    """Let these statements stand for all that there are; returns the statement.

    Raises:
        RequestRefused: the server knows no chains.
        PushcliError: it refused it.
    """
    if known.end is None:
        raise errors.RequestRefused("this server cannot do that", "upgrade it")
    statement = client.signer.link.checkpoint(
        chain.digest_of_set(keep), previous=known.end, version=known.version
    )
    client.post(PATH, {"statement": statement, "kept": [one.digest for one in keep]})
    return statement


def _append(
    client: "ApiClient",
    signed: Callable[[Known], dict[str, Any]],
    editor: str,
    key: "RSAPublicKey",
    *,
    removed: bool,
) -> dict[str, Any]:
    for left in reversed(range(_TRIES)):
        known = read(client)
        old = client.signer.vouch(editor, key, known.version, removed=removed)
        if known.end is None:
            client.post(OLD_PATH, {"statement": old})
            return old
        statement = signed(known)
        try:
            if not _fits(known, statement):
                _make_room(client, known)
                continue
            client.post(PATH, {"statement": statement, "old": old})
        except (errors.Conflict, errors.Outdated):
            # Somebody signed another statement meanwhile: this one goes after it.
            if not left:
                raise
            continue
        return statement
    raise errors.Conflict("others keep signing statements about editors", "try again")


def _fits(known: Known, statement: dict[str, Any]) -> bool:
    said = [*known.statements, Statement(statement)]
    size = sum(one.size for one in said)
    return len(said) <= limits.MAX_STATEMENTS and size <= limits.MAX_STATEMENTS_SIZE


def _make_room(client: "ApiClient", known: Known) -> None:
    keep = to_keep(client, known)
    if keep.dropped:
        raise errors.RequestRefused(
            f"no room for another statement: {len(keep.dropped)} of the keys that are vouched for "
            "would have to go",
            "see `pushcli whitelist editors checkpoint`",
        )
    checkpoint(client, known, keep.statements)


def _read_old(client: "ApiClient") -> Known:
    answer = checked(client.get(OLD_PATH), dict[str, list[dict[str, Any]]])
    statements = _statements(answer.get("statements", []))
    versions = [one.content.version for one in statements]
    return Known(statements=statements, end=None, version=next_version(time.time(), versions))


def _statements(raw: Sequence[dict[str, Any]]) -> list[Statement]:
    try:
        return [Statement(one) for one in raw]
    except Unreadable as error:
        raise errors.ServerError(
            f"unexpected answer from the server: {error}", "is pushcli older than the server?"
        ) from error


def _latest(now: float) -> int:
    return int((now + limits.MAX_AHEAD) * 1_000_000)
