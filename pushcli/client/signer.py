"""Signing statements about whitelists as one user of one organization."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pushcli.whitelist import chain, statements
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.statements import Change, Signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey


class Signer:
    """Uses a key for statements, and never hands it out."""

    def __init__(self, key: "RSAPrivateKey", *, org: str, name: str) -> None:
        self._key = key
        self.org = org
        self.name = name

    @property
    def fingerprint(self) -> str:
        """What the key is known by."""
        return statements.fingerprint(self._key)

    @property
    def public(self) -> PublicNumbers:
        """The public half of the key."""
        return statements.public_numbers(self._key)

    @property
    def link(self) -> chain.Signer:
        """Makes links of the chain of statements about editors."""
        return chain.Signer(self._key, org=self.org, name=self.name)

    def sign(self, nodes: Sequence[str], changes: Sequence[Change], version: int) -> Signed:
        """One signature over these changes on these nodes."""
        return statements.sign(
            self._key, org=self.org, nodes=nodes, changes=changes, version=version, signer=self.name
        )

    def records(
        self, nodes: Sequence[str], changes: Sequence[Change], version: int
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """For each node and name what stands beside the entry in the node's attributes."""
        signed = self.sign(nodes, changes, version)
        return statements.records(signed, org=self.org, nodes=nodes, changes=changes)

    def vouch(
        self, editor: str, key: "RSAPublicKey", version: int, *, removed: bool = False
    ) -> dict[str, Any]:
        """Say that the key is an editor's, or that it is no more, in the old form."""
        return statements.editor_statement(
            self._key, org=self.org, signer=self.name, editor=editor, editor_key=key,
            version=version, removed=removed,
        )  # fmt: skip
