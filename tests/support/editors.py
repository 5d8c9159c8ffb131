"""Statements about editors, made by people with keys."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.whitelist import chain, statements
from pushcli.whitelist.chain import Statement
from pushcli.whitelist.following import Offered
from pushcli.whitelist.standing import Pin, Pins

ORG = "acme"
NOW = 1_800_000_000_000_000
"""Microseconds since the epoch."""
LATEST = NOW + 300_000_000


@cache
def key_of(name: str) -> RSAPrivateKey:
    """The key of a person, the same each time; `ann2` is ann's second one."""
    return keys.generate()


@cache
def fp(name: str) -> str:
    """Its fingerprint."""
    return statements.fingerprint(key_of(name))


def person(name: str) -> str:
    """Whose key it is."""
    return name.rstrip("0123456789")


def pins(*names: str, distrusted: Sequence[str] = ()) -> Pins:
    """A node that pinned these keys."""
    trusted = {fp(n): Pin(person(n), statements.public_numbers(key_of(n))) for n in names}
    return Pins(trusted, frozenset(map(fp, distrusted)))


def old(by: str, of: str, version: int = NOW, *, removed: bool = False) -> Statement:
    """A statement of the old form."""
    return Statement(
        statements.editor_statement(
            key_of(by), org=ORG, signer=person(by), editor=person(of),
            editor_key=key_of(of).public_key(), version=version, removed=removed,
        )
    )  # fmt: skip


class Chain:
    """A chain as an honest server keeps it."""

    def __init__(self, *base: Statement) -> None:
        self.base = chain.in_order(base)
        self.links: list[Statement] = []
        self.version = NOW - 1_000_000_000

    @property
    def end(self) -> str:
        """What the next statement names."""
        return chain.end_of(self.base, self.links)

    def say(self, by: str, action: str, of: str, **more: Any) -> Statement:
        """Append `add` or `remove`."""
        self.links.append(self.statement(by, action, of, **more))
        return self.links[-1]

    def statement(
        self, by: str, action: str, of: str, *, version: int = 0, previous: str = "", org: str = ORG
    ) -> Statement:
        """One that could come next."""
        self.version += 1_000_000
        signer = chain.Signer(key_of(by), org=org, name=person(by))
        place: dict[str, Any] = {"previous": previous or self.end}
        place["version"] = version or self.version
        if action == "add":
            return Statement(signer.add(person(of), key_of(of).public_key(), **place))
        return Statement(signer.remove(person(of), fp(of), **place))

    def checkpoint(self, by: str, kept: Sequence[Statement], version: int = 0) -> None:
        """These stand for all before."""
        self.version += 1_000_000
        signer = chain.Signer(key_of(by), org=ORG, name=person(by))
        digest = chain.digest_of_set(kept)
        said = signer.checkpoint(digest, previous=self.end, version=version or self.version)
        self.base, self.links = list(kept), [Statement(said)]

    @property
    def all(self) -> list[Statement]:
        """Everything, in its order."""
        return [*self.base, *self.links]

    @property
    def offered(self) -> Offered:
        """What the server sends."""
        return Offered(list(self.base), list(self.links))


def forged(link: Statement, **change: Any) -> Statement:
    """The link with something in it changed, and its signature as it was."""
    return Statement({**link.raw, **change})
