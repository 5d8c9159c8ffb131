"""Verifying who signed entries, where no agent says so: what is edited by other means keeps the
record of who signed what was there before.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli.client.paths import quoted
from pushcli.errors import PushcliError, ServerUnreachable
from pushcli.protocol.names import is_node_name
from pushcli.whitelist.rsa_numbers import PublicNumbers, from_pem
from pushcli.whitelist.statements import Record, holds
from pushcli.whitelist.workstation.views import Signature

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

_SIGNERS = 100
"""Names that are asked for."""
_KEYS = 20
"""Keys of one name."""


class Signers:
    """The keys of who signed, as the server has them now; each is asked for once."""

    def __init__(self, client: "ApiClient") -> None:
        self._client = client
        self._keys: dict[str, dict[str, PublicNumbers]] = {}

    def judge(self, record: Any, *, node: str, name: str, value: Any) -> Signature:
        """What the record proves of the entry.

        Args:
            record: as it stands in the node's attributes; anything may.

        Raises:
            ServerUnreachable: the server does not answer any more.
        """
        try:
            read = msgspec.convert(record, Record)
        except msgspec.ValidationError:
            return Signature.MISMATCH
        key = self._of(read.signer).get(read.key)
        if key is None:
            return Signature.UNKNOWN_KEY
        org = self._client.signer.org
        is_meant = holds(read, key, org=org, node=node, name=name, value=value)
        return Signature.HOLDS if is_meant else Signature.MISMATCH

    def _of(self, signer: str) -> Mapping[str, PublicNumbers]:
        """By their fingerprints."""
        if signer not in self._keys and len(self._keys) < _SIGNERS:
            self._keys[signer] = {key.fingerprint: key for key in self._asked(signer)}
        return self._keys.get(signer, {})

    def _asked(self, signer: str) -> Iterator[PublicNumbers]:
        if signer == self._client.name:
            yield self._client.signer.public
        for pem in self._listed(signer) if is_node_name(signer) else ():
            try:
                yield from_pem(pem)
            except ValueError:
                # A key that could not have signed an entry.
                continue

    def _listed(self, signer: str) -> Iterator[str]:
        """All keys of users and clients of this name; on a pushcli server the first of one."""
        try:
            answer = self._client.get(f"principals/{quoted(signer)}")
        except ServerUnreachable:
            raise
        except PushcliError:
            # Not there, or not for who asks.
            return
        rows = answer.get("principals", [answer]) if isinstance(answer, dict) else []
        for row in rows[:_KEYS] if isinstance(rows, list) else ():
            pem = row.get("public_key") if isinstance(row, dict) else None
            if isinstance(pem, str):
                yield pem
