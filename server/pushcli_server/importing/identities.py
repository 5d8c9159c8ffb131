"""Users, clients, keys, groups and nodes of a Chef Infra Server's organization into our store.

What is there already stays as it is; where it is something else, that is told. So a repeat adds
what is missing, and an import that broke off goes on.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec

from pushcli.errors import ConfigError
from pushcli_server import settings
from pushcli_server.importing.chef_directory import Directory, Key, Person, Unusable, valid
from pushcli_server.importing.running import Asking, whole, without_server
from pushcli_server.importing.tally import Tally
from pushcli_server.store import (
    CannotApply,
    CannotStore,
    Store,
    chef_nodes,
    identity_reads,
    operations,
)
from pushcli_server.store.identity_reads import DEFAULT_KEY
from pushcli_server.store.records import NodeObject

T = TypeVar("T")
_ASKED = 16
"""Of which is asked at once."""
_TOGETHER = 50
"""Users, clients or nodes in one transaction."""
_BYTES = 8 * 1024 * 1024
KINDS = ("users", "clients", "groups", "nodes")
Progress = Callable[[str, int, int], None]
"""Is told of which kind how many of how many were looked at."""


class Part(msgspec.Struct, kw_only=True):
    """Of one kind: `new` are taken over, `there` are the same here, `others` stay out."""

    new: int = 0
    there: int = 0
    others: int = 0


class Found(msgspec.Struct, kw_only=True):
    """What an import did, or would do; `members` come into groups."""

    parts: dict[str, Part] = msgspec.field(default_factory=lambda: {k: Part() for k in KINDS})
    keys: int = 0
    members: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.members or any(part.new for part in self.parts.values()))


def require_ready(directory: Path, *, stopped: bool) -> None:
    """The server keeps identities of its own, and, to be written to, does not run.

    Raises:
        ConfigError: there is no server, its settings are wrong, or identities are elsewhere.
        StartError: it runs.
    """
    config = settings.load(directory)
    if config.identity != "own":
        raise ConfigError(
            f"{directory / settings.FILE} has identity = {config.identity!r}: nobody is kept here",
            'set identity = "own" there first',
        )
    if stopped:
        without_server(config).close()


def run(directory: Path, source: Directory, org: str, progress: Progress, *, write: bool) -> Found:
    """Take over what is missing, or say what that is.

    Raises:
        ConfigError: there is no server, or it has no such organization.
        StartError: it runs, and is to be written to.
        StoreError: its database cannot be used.
        PushcliError: the Chef Infra Server does not answer, or refuses.
    """
    config = settings.load(directory)

    async def work() -> Found:
        store = Store.open(config.database(directory), directory / "blobs")
        try:
            if write:
                await store.start_alone()
            with closing(Asking()) as ask:
                return await _Import(store, source, org, progress, ask, write=write).run()
        finally:
            await store.close()

    if not write:
        return whole(work)
    with without_server(config):
        return whole(work)


class _Import:
    def __init__(
        self, store: Store, source: Directory, org: str, progress: Progress, ask: Asking,
        *, write: bool,
    ) -> None:  # fmt: skip
        self._store = store
        self._source = source
        self._org = org
        self._progress = progress
        self._ask = ask
        self._write = write
        self._found = Found()
        self._known: dict[str, set[str]] = {"users": set(), "clients": set(), "groups": set()}
        """Names that mean the same on both servers."""
        self._writing: list[tuple[str, str, asyncio.Future[None]]] = []
        self._weight = 0

    async def run(self) -> Found:
        if not await self._store.ask(identity_reads.organization_exists, self._org):
            raise ConfigError(
                f"there is no organization {self._org!r} on our server",
                "make it first: pushcli server init --org, or POST /organizations",
            )
        source = self._source
        users = await self._ask(source.users)
        await self._each("users", users, source.user, self._user)
        clients = await self._ask(source.names, "clients")
        await self._each("clients", clients, source.client, self._client)
        groups = await self._ask(source.names, "groups")
        await self._each("groups", groups, str, self._group)
        for name in sorted(self._known["groups"]):
            await self._members(name)
        nodes = await self._ask(source.names, "nodes")
        await self._each("nodes", nodes, source.node, self._node)
        return self._found

    async def _each(
        self, kind: str, listed: list[str], ask: Callable[[str], T],
        take: Callable[[T], Coroutine[None, None, None]],
    ) -> None:  # fmt: skip
        """Take what is told of each of these names, in their order."""
        names = list(valid(listed))
        kept = set(names)
        for name in listed:
            if name not in kept:
                self._leave_out(kind, "none of ours can have the name", name)
        for start in range(0, len(names), _ASKED):
            some = names[start : start + _ASKED]
            told = await asyncio.gather(*(self._ask(_asked, ask, name) for name in some))
            for name, said in zip(some, told, strict=True):
                try:
                    if isinstance(said, Unusable):
                        raise said
                    await take(said)
                except Unusable as error:
                    self._leave_out(kind, str(error), name)
                if len(self._writing) >= _TOGETHER or self._weight >= _BYTES:
                    await self._settle()
            self._progress(kind, start + len(some), len(names))
        await self._settle()

    def _leave_out(self, kind: str, why: str, name: str) -> None:
        self._found.parts[kind].others += 1
        self._found.tally.add("left out", kind, why, name)

    def _differs(self, kind: str, why: str, name: str) -> None:
        self._found.parts[kind].others += 1
        self._found.tally.add("differs", kind, why, name)

    def _there(self, kind: str, name: str) -> None:
        self._found.parts[kind].there += 1
        if kind in self._known:
            self._known[kind].add(name)

    def _new(self, kind: str, name: str, *changes: operations.Operation) -> None:
        """It is to be made."""
        if self._write:
            self._writing.append((kind, name, self._store.begin(*changes, apart=True)))
            return
        self._made(kind, name)

    def _made(self, kind: str, name: str) -> None:
        self._found.parts[kind].new += 1
        if kind in self._known:
            self._known[kind].add(name)

    async def _settle(self) -> None:
        """Wait for what is being written."""
        writing, self._writing, self._weight = self._writing, [], 0
        for kind, name, answer in writing:
            try:
                await self._store.answered(answer)
            except (CannotApply, CannotStore) as error:
                self._leave_out(kind, f"our database refuses it: {error}", name)
            else:
                self._made(kind, name)

    # --- one of them

    async def _user(self, person: Person) -> None:
        name = person.name
        user = await self._store.ask(identity_reads.user, name)
        associate = operations.AssociateUser(self._org, name)
        if user is None:
            self._require_keys("users", person)
            create = operations.CreateUser(
                name=name, public_key=_first(person), display_name=person.display_name,
                email=person.email,
            )  # fmt: skip
            self._new("users", name, create, *_more_keys("user", "", person), associate)
        elif not await self._has_keys("user", "", person):
            self._differs("users", "here are other keys under the name", name)
        elif await self._store.ask(identity_reads.is_associated, self._org, name):
            self._there("users", name)
        else:
            self._new("users", name, associate)

    async def _client(self, person: Person) -> None:
        name = person.name
        client = await self._store.ask(identity_reads.client, self._org, name)
        if client is None:
            self._require_keys("clients", person)
            create = operations.CreateClient(
                org=self._org, name=name, public_key=_first(person), validator=person.validator,
                created_at=time.time(),
            )  # fmt: skip
            self._new("clients", name, create, *_more_keys("client", self._org, person))
        elif not await self._has_keys("client", self._org, person):
            self._differs("clients", "here are other keys under the name", name)
        elif client.validator != person.validator:
            self._differs("clients", "only one of the two is a validator", name)
        else:
            self._there("clients", name)

    def _require_keys(self, kind: str, person: Person) -> None:
        """Count the keys of somebody new."""
        for why in person.left_out:
            self._found.tally.add("left out", f"keys of {kind}", why, person.name)
        if not person.keys:
            # Nobody could sign as he; and whoever may edit him could give him any key.
            raise Unusable("no key that counts here")
        self._found.keys += len(person.keys)

    async def _has_keys(self, kind: str, org: str, person: Person) -> bool:
        """Whether it is the same person or machine here: no key of either is missing."""
        there = await self._store.ask(identity_reads.keys, kind, org, person.name)
        now = time.time()
        valid = {one.public_key for one in there if one.expires_at is None or one.expires_at > now}
        return valid == {key.public_key for key in person.keys}

    async def _group(self, name: str) -> None:
        if await self._store.ask(identity_reads.group_exists, self._org, name):
            self._there("groups", name)
        else:
            self._new("groups", name, operations.CreateGroup(self._org, name))

    async def _members(self, name: str) -> None:
        """Who means the same on both servers, and is missing in ours, becomes a member."""
        try:
            group = await self._ask(self._source.group, name)
        except Unusable as error:
            self._found.tally.add("left out", "members of groups", str(error), name)
            return
        for why in group.left_out:
            self._found.tally.add("left out", "members of groups", why, name)
        here = await self._store.lists.ask(identity_reads.group, self._org, name)
        wanted: dict[str, list[str]] = {}
        for kind in ("users", "clients", "groups"):
            listed: list[str] = getattr(group, kind)
            present = set(getattr(here, kind)) if here is not None else set()
            for member in listed:
                if member not in self._known[kind]:
                    why = f"{kind[:-1]} that was not taken over"
                    self._found.tally.add("left out", "members of groups", why, f"{name}: {member}")
            missing = dict.fromkeys(one for one in listed if one in self._known[kind])
            wanted[kind] = [one for one in missing if one not in present]
            for member in sorted(present - set(listed)):
                self._found.tally.add(
                    "differs", "groups", f"has a {kind[:-1]} here alone", f"{name}: {member}"
                )
        count = sum(map(len, wanted.values()))
        if count and self._write:
            try:
                await self._store.write(operations.AddMembers(org=self._org, group=name, **wanted))
            except (CannotApply, CannotStore) as error:
                self._found.tally.add("left out", "members of groups", str(error), name)
                return
        self._found.members += count

    async def _node(self, node: NodeObject) -> None:
        name = node.name
        found = await self._store.ask(chef_nodes.of_nodes, self._org, [name])
        if not found:
            self._weight += len(node.automatic) + len(node.normal)
            put = operations.PutNode(node=node, create=True, created_at=time.time())
            self._new("nodes", name, put)
        elif _content(found[0]) == _content(node):
            self._there("nodes", name)
        else:
            self._differs("nodes", "the node object here says something else", name)


def _asked(ask: Callable[[str], T], name: str) -> T | Unusable:
    """What is told of it; what is wrong with one stops no other."""
    try:
        return ask(name)
    except Unusable as error:
        return error


def _content(node: NodeObject) -> object:
    """What a node object says; JSON in any order."""
    fields = msgspec.structs.asdict(node)
    fields.pop("revision")
    levels = ("run_list", "automatic", "normal", "default", "override")
    return fields | {level: msgspec.json.decode(fields[level]) for level in levels}


def _first(person: Person) -> str | None:
    """The key that is made with its owner; it is called default and does not expire."""
    first = person.keys[0]
    return first.public_key if _is_default(first) else None


def _is_default(key: Key) -> bool:
    return key.name == DEFAULT_KEY and key.expires_at is None


def _more_keys(kind: str, org: str, person: Person) -> Sequence[operations.AddKey]:
    return [
        operations.AddKey(
            kind=kind, org=org, name=person.name, key_name=key.name, public_key=key.public_key,
            expires_at=key.expires_at,
        )
        for key in person.keys
        if not (key is person.keys[0] and _is_default(key))
    ]  # fmt: skip
