"""The nodes of a Chef Infra Server: looked at now and then, and at once where somebody says so.

What is decided is decided in `node_mirror`; here it is asked, stored, and handed on.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.chef import node_answers, node_mirror
from pushcli_server.chef.client import ChefClient
from pushcli_server.chef.measured import NodeMetrics
from pushcli_server.chef.node_answers import NO_ATTRIBUTES, NOTHING, Attributes, Page
from pushcli_server.chef.node_mirror import UNSEEN, Heard, Known, Mirror
from pushcli_server.store import Store, StoreUnavailable, identity_reads, mirrored_nodes, operations
from pushcli_server.store.records import MirroredNode

LOOK = 120.0
"""Seconds for all questions of one look."""
FIRST = 5.0
"""Seconds for which whoever asks for the nodes of an organization waits for the first look."""
TURNS = 8
"""Questions about nodes at a time."""
TIMEOUT = 15.0
"""Seconds for one of them; a page of search takes a while."""
FRESH = 0.2
"""Seconds for which a node that was read is not read again for those who look at it."""
_LOOKED_AT = 20
"""Nodes that are read for somebody who looks at more."""
_GLANCE = 3.0
"""Seconds for which he waits for that."""
_TOGETHER = 3 * TURNS
"""Nodes that are read, stored and told of together."""
_IN_A_ROW = 5
"""Questions that are not answered, after which a look is given up."""
_SAID = 1_000
"""Nodes of which is logged what is wrong; of more, nothing is said."""
_log = logging.getLogger(__name__)


class _Answer(NamedTuple):
    """Of one node, as `Mirror.hear` takes it; or why it did not come."""

    name: str
    said: Attributes | ChefAway | ChefRefuses | None
    shown: str
    ticket: int


class _Organization:
    """What is known of it, and when to look again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.due: float | None = 0.0
        """None: it is not looked at any more."""
        self.failures = 0
        self.rows = node_mirror.ROWS
        self.looks = 0
        self.mirror = Mirror()
        self.is_loaded = False
        """Else what the mirror knows is not what is stored."""
        self.loading, self.keeping = asyncio.Lock(), asyncio.Lock()
        self.was_looked_at = asyncio.Event()
        """Or that was tried."""
        self.untold: set[str] = set()
        """Nodes that were to be stored, and may have been though that was not answered."""
        self.said: dict[str, str] = {}
        self.read_at: dict[str, float] = {}


class ChefNodes:
    """Those of all organizations that were met.

    Args:
        poll: seconds between two looks; 0: only one.
        changed: is told the organization and the nodes whose whitelists may be others.
        now: seconds of a clock that does not jump.
        date: seconds since the epoch.
    """

    def __init__(
        self,
        client: ChefClient,
        store: Store,
        poll: float,
        changed: Callable[[str, Sequence[str]], None],
        metrics: NodeMetrics,
        now: Callable[[], float],
        date: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._poll = poll
        self._changed = changed
        self._metrics = metrics
        self._now = now
        self._date = date
        self._organizations: dict[str, _Organization] = {}
        self._tickets = itertools.count(1)
        self._met = asyncio.Event()
        self._keeping: set[asyncio.Task[None]] = set()

    def meet(self, org: str) -> None:
        """This organization exists there: its nodes are looked at from now on."""
        if org not in self._organizations:
            self._organizations[org] = _Organization(org)
            self._met.set()

    async def names(self, org: str) -> tuple[list[str], list[str]]:
        """The nodes that there are, and those that were deleted and may still be connected.

        Before the first look it is waited for that, a little.

        Raises:
            StoreUnavailable: nothing is known yet, and the database is away.
        """
        self.meet(org)
        organization = self._organizations[org]
        mirror = await self._mirror(organization)
        if not mirror.known and not organization.was_looked_at.is_set():
            await _up_to(FIRST, organization.was_looked_at)
            mirror = await self._mirror(organization)
        return mirror.names, mirror.gone

    async def read(self, org: str, names: Sequence[str]) -> list[str]:
        """Read these nodes now; agents hear of what changed. Returns those that there are not.

        Raises:
            ChefAway, ChefRefuses: one of them cannot be read; others may have been.
            StoreUnavailable: the database is away.
        """
        self.meet(org)
        organization = self._organizations[org]
        missing, refused = [], None
        for together in _batches(names):
            for name, said, *_ in await self._ask_all(organization, together, {}):
                if isinstance(said, ChefAway):
                    raise type(said)(f"{name}: {said}")
                if isinstance(said, ChefRefuses):
                    refused = refused or ChefRefuses(f"{name}: {said}")
                elif said is None:
                    missing.append(name)
        if refused is not None:
            # The others were read.
            raise refused
        return missing

    async def refresh(self, org: str, names: Sequence[str]) -> None:
        """Read these nodes for somebody who looks at them, unless they were just read; for a
        little while, and where it fails, what is known will do.

        Raises:
            StoreUnavailable: the database is away.
        """
        self.meet(org)
        read_at, now = self._organizations[org].read_at, self._now()
        for name in [name for name, at in read_at.items() if now - at >= FRESH]:
            del read_at[name]
        due = [name for name in names if name not in read_at][:_LOOKED_AT]
        read_at.update(dict.fromkeys(due, now))
        with contextlib.suppress(ChefAway, ChefRefuses, TimeoutError):
            async with asyncio.timeout(_GLANCE):
                await self.read(org, due)

    async def run(self) -> None:
        """Look at all organizations until cancelled, at one after the other."""
        for org in await self._store.lists.ask(identity_reads.organizations):
            self.meet(org)
        while True:
            self._met.clear()
            due = [(one.due, one) for one in self._organizations.values() if one.due is not None]
            at, first = min(due, key=itemgetter(0), default=(None, None))
            wait = None if at is None else at - self._now()
            if first is None or (wait is not None and wait > 0):
                await _up_to(wait, self._met)
            else:
                await self._look(first)

    async def _look(self, organization: _Organization) -> None:
        unfinished = False
        try:
            async with asyncio.timeout(LOOK):
                unfinished = await self._look_at_all(organization)
        except TimeoutError:
            self._failed(organization, f"it takes more than {LOOK:g} s")
        except (ChefAway, ChefRefuses, StoreUnavailable) as error:
            self._failed(organization, str(error))
        except Exception as error:
            # Others' nodes are looked at all the same.
            _log.exception("the nodes of %s cannot be looked at", organization.name)
            self._failed(organization, type(error).__name__)
        else:
            self._succeeded(organization)
        pause = node_mirror.pause(self._poll, organization.failures, unfinished=unfinished)
        organization.due = None if pause is None else self._now() + pause
        organization.was_looked_at.set()

    def _failed(self, organization: _Organization, why: str) -> None:
        organization.failures += 1
        self._metrics.failures.labels(organization.name).inc()
        if organization.failures == 1:
            _log.warning(
                "the nodes of %s cannot be looked at on the Chef Infra Server: %s; what is known "
                "stays in force", organization.name, why,
            )  # fmt: skip

    def _succeeded(self, organization: _Organization) -> None:
        if organization.failures:
            _log.info("the nodes of %s are looked at again", organization.name)
        organization.failures = 0
        self._metrics.looked.labels(organization.name).set(self._date())

    async def _look_at_all(self, organization: _Organization) -> bool:
        """Whether some have to wait for the next look."""
        org, mirror = organization.name, await self._mirror(organization)
        answer = await self._client.ask(org, "nodes")
        listed = await asyncio.to_thread(node_answers.listed, answer.status, answer.content)
        organization.rows = node_mirror.rows_to_ask(
            organization.rows, len(listed), organization.looks
        )
        organization.looks += 1
        shown = await self._search(organization, len(listed))
        digests = {name: digest for name, (digest, _) in shown.items()}
        plan = mirror.plan(listed, digests)
        bare = (_Answer(name, NO_ATTRIBUTES, NOTHING, shown[name][1]) for name in plan.bare)
        await self._keep(organization, bare)
        missed, faults = 0, {}
        for together in _batches(plan.read):
            for name, said, *_ in await self._ask_all(organization, together, digests):
                missed = missed + 1 if isinstance(said, ChefAway) else 0
                if not isinstance(said, Exception):
                    organization.said.pop(name, None)
                    continue
                if isinstance(said, ChefRefuses):
                    mirror.refused(name, digests.get(name))
                faults[name] = str(said)
                if missed >= _IN_A_ROW:
                    raise said
        for name, fault in faults.items():
            self._warn_once(organization, name, fault)
        self._metrics.nodes.labels(org).set(len(mirror.names))
        return plan.unfinished

    async def _search(self, organization: _Organization, listed: int) -> dict[str, tuple[str, int]]:
        """What search shows, by node, with the ticket of its question; less than all of it where
        search does not work: those nodes are read one by one.
        """
        shown: dict[str, tuple[str, int]] = {}
        start: int | None = 0
        strange = 0
        while start is not None:
            ticket = next(self._tickets)
            try:
                page = await self._page(organization, start)
            except (ChefAway, ChefRefuses) as error:
                fewer = node_mirror.fewer_rows(organization.rows)
                if isinstance(error, ChefRefuses) or fewer is None:
                    organization.rows = node_mirror.ROWS
                    self._warn_once(organization, "search", str(error))
                    return shown
                organization.rows = fewer
                continue
            shown |= {name: (digest, ticket) for name, digest in page.shown.items()}
            strange += page.strange
            is_empty = not page.shown and not page.strange
            start = node_mirror.next_page(
                start, organization.rows, page.total, listed, is_empty=is_empty
            )
        if strange:
            self._warn_once(organization, "search", f"{strange} rows do not describe a node")
        else:
            organization.said.pop("search", None)
        return shown

    async def _page(self, organization: _Organization, start: int) -> Page:
        query = {"q": "*:*", "start": str(start), "rows": str(organization.rows)}
        answer = await self._client.ask(
            organization.name, "search", "node", query=query, body=node_answers.WANTED
        )
        return await asyncio.to_thread(node_answers.page, answer.status, answer.content)

    async def _ask_all(
        self, organization: _Organization, names: Sequence[str], shown: Mapping[str, str]
    ) -> list[_Answer]:
        """Read nodes, and keep what they say."""
        asked = [(name, next(self._tickets)) for name in names]
        for name, ticket in asked:
            organization.mirror.asks(name, ticket)
        found = await asyncio.gather(*(self._ask(organization.name, name) for name in names))
        answers = [
            _Answer(name, said, shown.get(name, UNSEEN), ticket)
            for (name, ticket), said in zip(asked, found, strict=True)
        ]
        await self._keep(organization, answers)
        return answers

    async def _ask(self, org: str, name: str) -> Attributes | ChefAway | ChefRefuses | None:
        try:
            answer = await self._client.ask(org, "nodes", name)
            return await asyncio.to_thread(
                node_answers.attributes, answer.status, answer.content, name
            )
        except (ChefAway, ChefRefuses) as error:
            return error

    async def _keep(self, organization: _Organization, answers: Iterable[_Answer]) -> None:
        """Store what is new, and tell of it."""
        # Also when whoever asked goes away meanwhile: what is stored is not told by a later look.
        task = asyncio.ensure_future(self._store_and_tell(organization, answers))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)
        await asyncio.shield(task)

    async def _store_and_tell(
        self, organization: _Organization, answers: Iterable[_Answer]
    ) -> None:
        # What is heard first is stored first.
        async with organization.keeping:
            mirror = await self._mirror(organization)
            try:
                new = [
                    heard
                    for name, said, shown, ticket in answers
                    if not isinstance(said, Exception)
                    and (heard := mirror.hear(name, said, shown, ticket)) is not None
                ]
                organization.untold.update(one.name for one in new if one.changed)
                if new:
                    await self._store_all(organization, new)
            except BaseException:
                # What is known is what is stored.
                organization.is_loaded = False
                raise
            changed = sorted(organization.untold)
            organization.untold.clear()
        if changed:
            self._metrics.changes.labels(organization.name).inc(len(changed))
            self._changed(organization.name, changed)

    async def _store_all(self, organization: _Organization, new: Sequence[Heard]) -> None:
        org = organization.name
        gone = [(org, one.name) for one in new if not one.known.there]
        # Of a node whose agent never came nobody has to hear that it is gone.
        there = await self._store.lists.ask(identity_reads.existing_clients, gone)
        forgotten = [name for org, name in gone if (org, name) not in there]
        kept = [_record(one) for one in new if one.name not in forgotten]
        await self._store.write(operations.MirrorNodes(org, kept, forgotten))
        organization.mirror.forget(forgotten)

    async def _mirror(self, organization: _Organization) -> Mirror:
        async with organization.loading:
            if not organization.is_loaded:
                rows = await self._store.lists.ask(
                    mirrored_nodes.of_organization, organization.name
                )
                organization.mirror.known = {
                    name: Known(there, shown, digest) for name, there, shown, digest in rows
                }
                organization.is_loaded = True
            return organization.mirror

    def _warn_once(self, organization: _Organization, name: str, what: str) -> None:
        """In the log, once."""
        said = organization.said
        if said.get(name) == what or (name not in said and len(said) >= _SAID):
            return
        said[name] = what
        _log.warning("of %s on the Chef Infra Server, %s: %s", organization.name, name, what)


def _record(heard: Heard) -> MirroredNode:
    known, attributes = heard.known, heard.attributes
    return MirroredNode(name=heard.name, **known._asdict(), **attributes._asdict())


def _batches(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + _TOGETHER] for start in range(0, len(names), _TOGETHER))


async def _up_to(seconds: float | None, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
