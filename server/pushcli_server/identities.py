"""Who there is and who belongs where, wherever that is known."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Protocol

from pushcli_server.store import Store, identity_reads
from pushcli_server.store.records import Principal

_age: ContextVar[float] = ContextVar("bearable age", default=0.0)


def bear(age: float) -> None:
    """What this request may be answered by: what was known so many seconds ago, where those who
    know better do not answer.
    """
    _age.set(age)


def bearable_age() -> float:
    """The same, as it was said."""
    return _age.get()


class Identities(Protocol):
    """What is asked of users, clients and groups to let somebody in.

    Raises:
        StoreUnavailable: of every question: nobody can be asked now.
    """

    async def candidates(self, org: str, name: str) -> list[Principal] | None:
        """The user and the client of this name; None: there is no such organization.

        Args:
            org: empty outside of the organizations.
        """

    async def is_member(self, org: str, principal: Principal, group: str) -> bool:
        """Whether it is in this group, however deep."""

    async def group_exists(self, org: str, group: str) -> bool:
        """Whether there is such a group."""

    async def user_exists(self, org: str, name: str) -> bool:
        """Whether a user that may belong to the organization has this name."""

    async def client_keys(self, org: str, name: str) -> list[tuple[str, str]]:
        """The valid keys of a client (PEM), each with the salt of its session key."""

    async def unknown_clients(self, org: str, wanted: Sequence[str]) -> list[str]:
        """Those of the names that no client of the organization has."""

    async def administrators(self, org: str) -> list[str]:
        """The users in `admins` and in the groups within it, by name."""


class OwnIdentities:
    """Those of our own store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def candidates(self, org: str, name: str) -> list[Principal] | None:
        """See `Identities`."""
        return await self._store.ask(identity_reads.candidates, org, name)

    async def is_member(self, org: str, principal: Principal, group: str) -> bool:
        """See `Identities`."""
        asked = (org, principal.kind, principal.name, group)
        return await self._store.ask(identity_reads.is_member, *asked)

    async def group_exists(self, org: str, group: str) -> bool:
        """See `Identities`."""
        return await self._store.ask(identity_reads.group_exists, org, group)

    async def user_exists(self, org: str, name: str) -> bool:
        """See `Identities`: users are the whole server's."""
        return await self._store.ask(identity_reads.user_exists, name)

    async def client_keys(self, org: str, name: str) -> list[tuple[str, str]]:
        """See `Identities`."""
        return await self._store.ask(identity_reads.client_keys, org, name)

    async def unknown_clients(self, org: str, wanted: Sequence[str]) -> list[str]:
        """See `Identities`."""
        pairs = [(org, name) for name in wanted]
        there = await self._store.lists.ask(identity_reads.existing_clients, pairs)
        return [name for name in wanted if (org, name) not in there]

    async def administrators(self, org: str) -> list[str]:
        """See `Identities`: those of them that have a valid key."""
        found = await self._store.lists.ask(identity_reads.editors, org)
        return sorted({editor.name for editor in found})
