"""Identities of a Chef Infra Server: asked of it, and remembered for a while."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar, cast

from pushcli.protocol import chef_answers as answers
from pushcli.protocol import names
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses, Group, Owner
from pushcli_server.chef.client import TIMEOUT, TURNS, ChefClient
from pushcli_server.chef.kept import Kept
from pushcli_server.chef.measured import Answering, Measured
from pushcli_server.identities import bearable_age
from pushcli_server.store import CannotApply, Store, identity_reads, operations
from pushcli_server.store.records import Principal

T = TypeVar("T")
Key = tuple[str, ...]
"""Of a question: its kind, and what it is about."""
NAMES = 50_000
"""Users, clients and groups that are remembered."""
STRANGERS = 1_000
"""Names that nobody has, likewise."""
MOST_GROUPS = 500
"""That lie within one group, however deep."""
MOST_ADMINISTRATORS = 1_000
"""That one organization may have."""
MOST_WAITING = 5_000
"""Questions under way."""
MOST_OF_STRANGERS = TURNS * 3 // 4
"""Questions at a time about names of which nothing is known: anybody may ask with any name."""
_PAUSE = 1.0
"""Seconds for which it is not asked the same again after it did not answer."""


class ChefIdentities:
    """Those of a Chef Infra Server.

    An answer counts for `fresh` seconds. Where the next does not come, it counts for as long as
    the request may bear (`identities.bearable_age`).

    Args:
        store: keeps what belongs to an organization; ours know nobody in it.
        fresh: seconds.
        now: seconds of a clock that does not jump.
        met: is told of each organization that there is, once.
    """

    def __init__(
        self,
        client: ChefClient,
        store: Store,
        fresh: float,
        now: Callable[[], float],
        measured: Measured,
        met: Callable[[str], object] = lambda org: None,
    ) -> None:
        self._client = client
        self._store = store
        self._fresh = fresh
        self._now = now
        self._measured = measured
        measured.count_kept(lambda: len(self._kept) + len(self._unknown))
        self._kept: Kept[Key, object] = Kept(NAMES)
        self._tell_met = met
        # Strangers name whom they like: that takes nobody's place who is there.
        self._unknown: Kept[Key, object] = Kept(STRANGERS)
        self._asking: dict[Key, asyncio.Task[object]] = {}
        self._of_strangers = asyncio.Semaphore(MOST_OF_STRANGERS)
        self._met: set[str] = set()
        self._met_clients: set[tuple[str, str]] = set()
        # A name for which it fails keeps nobody else waiting.
        self._failed: Kept[Key, ChefAway] = Kept(STRANGERS)

    async def candidates(self, org: str, name: str) -> list[Principal] | None:
        """See `Identities`; outside of the organizations there is nobody."""
        if not org:
            return []
        owners = await self._owners(org, name)
        if owners is None:
            return None
        await self._meet(org)
        return [
            Principal(
                kind=owner.kind, name=name, public_keys=owner.public_keys,
                associated=owner.is_member,
            )
            for owner in owners
        ]  # fmt: skip

    async def is_member(self, org: str, principal: Principal, group: str) -> bool:
        """See `Identities`."""
        async for one in self._within(org, group):
            members = one.users if principal.kind == "user" else one.clients
            if principal.name in members:
                return True
        return False

    async def administrators(self, org: str) -> list[str]:
        """See `Identities`."""
        users: set[str] = set()
        async for group in self._within(org, identity_reads.ADMINS):
            users |= group.users
        if len(users) > MOST_ADMINISTRATORS:
            raise answers.ChefRefuses(
                f"more than {MOST_ADMINISTRATORS} users administrate {org}: have fewer"
            )
        return sorted(users)

    async def _within(self, org: str, group: str) -> AsyncIterator[Group]:
        """This group and those within it. Groups that hold each other are looked at once."""
        seen, level = {group}, [group]
        while level:
            found = await asyncio.gather(*(self._group(org, name) for name in level))
            groups = [one for one in found if one is not None]
            for one in groups:
                yield one
            inner = (answers.within(name, org) for one in groups for name in one.groups)
            level = list(dict.fromkeys(name for name in inner if name and name not in seen))
            seen.update(level)
            if len(seen) > MOST_GROUPS:
                raise ChefRefuses(
                    f"more than {MOST_GROUPS} groups lie within {group} of {org}: have fewer"
                )

    async def group_exists(self, org: str, group: str) -> bool:
        """See `Identities`."""
        return await self._group(org, group) is not None

    async def user_exists(self, org: str, name: str) -> bool:
        """See `Identities`."""
        return any(owner.kind == "user" for owner in await self._owners(org, name) or ())

    async def client_keys(self, org: str, name: str) -> list[tuple[str, str]]:
        """See `Identities`. The salt is the one that its client had here before, if any."""
        owners = await self._owners(org, name) or ()
        found = [key for owner in owners if owner.kind == "client" for key in owner.public_keys]
        if not found:
            return []
        await self._meet_client(org, name)
        salt = await self._store.ask(identity_reads.session_salt, org, name)
        return [(key, salt) for key in found]

    async def unknown_clients(self, org: str, wanted: Sequence[str]) -> list[str]:
        """See `Identities`."""

        async def ask() -> frozenset[str]:
            answer = await self._client.ask(org, "clients")
            return answers.names(answer.status, answer.content, "clients")

        there = await self._learned(("clients", org), ask)
        return [name for name in wanted if name not in there]

    def forget(self) -> None:
        """Ask anew of everybody, also of whom an answer is under way: it may be of before."""
        self._asking.clear()
        self._kept.forget()
        self._unknown.forget()
        self._failed.forget()

    async def _meet(self, org: str) -> None:
        """What is stored of an organization stands under its name."""
        if org in self._met:
            return
        if not await self._store.ask(identity_reads.organization_exists, org):
            with contextlib.suppress(CannotApply):
                await self._store.write(operations.CreateOrganization(org))
        self._met.add(org)
        self._tell_met(org)

    async def _meet_client(self, org: str, name: str) -> None:
        """What is stored of a node stands under its client's name."""
        if (org, name) in self._met_clients:
            return
        await self._store.write(operations.KnowClient(org, name))
        self._met_clients.add((org, name))

    async def _owners(self, org: str, name: str) -> list[Owner] | None:
        # They become part of a path.
        if not names.is_organization_name(org):
            return None
        if not names.is_node_name(name):
            return []

        async def ask() -> list[Owner] | None:
            answer = await self._client.ask(org, "principals", name, unsigned=True)
            return answers.owners(answer.status, answer.content, name)

        return await self._learned(("principals", org, name), ask)

    async def _group(self, org: str, name: str) -> Group | None:
        if not names.is_node_name(name):
            return None

        async def ask() -> Group | None:
            answer = await self._client.ask(org, "groups", name)
            return answers.group(answer.status, answer.content, name)

        return await self._learned(("groups", org, name), ask)

    async def _learned(self, key: Key, ask: Callable[[], Awaitable[T]]) -> T:
        """What is known of it, or what the server says; once for all who wait for that."""
        known = self._kept.find(key) or self._unknown.find(key)
        if known is not None and known.is_within(self._fresh, self._now()):
            self._measured.remembered("fresh")
            return cast("T", known.value)
        try:
            return await self._asked(key, ask)
        except ChefAway:
            # It may have been forgotten meanwhile.
            known = self._kept.find(key) or self._unknown.find(key)
            if known is not None and known.is_within(bearable_age(), self._now()):
                self._measured.remembered("stale")
                return cast("T", known.value)
            raise

    async def _asked(self, key: Key, ask: Callable[[], Awaitable[T]]) -> T:
        task = self._asking.get(key)
        if task is None:
            failed = self._failed.find(key)
            if failed is not None and failed.is_within(_PAUSE, self._now()):
                raise type(failed.value)(*failed.value.args)
            if len(self._asking) >= MOST_WAITING:
                raise ChefAway(f"{MOST_WAITING} questions wait for its answers")
            task = self._asking[key] = asyncio.ensure_future(self._put(key, ask))
            task.add_done_callback(lambda done: self._over(key, done))
        # Who goes away while he waits ends it for nobody else.
        return cast("T", await asyncio.shield(task))

    async def _put(self, key: Key, ask: Callable[[], Awaitable[object]]) -> object:
        # Of then it may be, however long it was on its way.
        asked_at = self._now()
        outcome: Answering = "away"
        try:
            value = await (ask() if self._is_known(key) else self._in_turn(ask))
            outcome = "answered"
        except ChefRefuses:
            outcome = "refused"
            raise
        finally:
            self._measured.asked(key[0], outcome, self._now() - asked_at)
        if self._asking.get(key) is not asyncio.current_task():
            return value
        if value:
            self._kept.put(key, value, asked_at)
            self._unknown.drop(key)
        else:
            self._unknown.put(key, value, asked_at)
            self._kept.drop(key)
        return value

    def _is_known(self, key: Key) -> bool:
        """Whether it is about somebody who was there before, or about none who asks."""
        return key[0] != "principals" or self._kept.find(key) is not None

    async def _in_turn(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Strangers wait for each other; those who are known find a turn that is free."""
        try:
            async with asyncio.timeout(TIMEOUT) as limit, self._of_strangers:
                # The question has a limit of its own, which says what was asked.
                limit.reschedule(None)
                return await ask()
        except TimeoutError:
            raise ChefAway(f"too many ask who is not known: no turn within {TIMEOUT:g} s") from None

    def _over(self, key: Key, task: "asyncio.Task[object]") -> None:
        error = None if task.cancelled() else task.exception()
        if self._asking.get(key) is not task:
            # Forgotten meanwhile.
            return
        del self._asking[key]
        if isinstance(error, ChefAway):
            self._failed.put(key, error, self._now())
