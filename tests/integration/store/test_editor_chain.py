"""Statements about editors in the store: one after the other, and what goes to agents."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from pushcli.protocol import limits
from pushcli.whitelist import chain, checkpoint, following
from pushcli.whitelist.chain import Statement
from pushcli.whitelist.standing import Standing
from pushcli_server.core.editor_chain import Stored
from pushcli_server.store import Store, editor_chain, operations, whitelist_reads
from pushcli_server.store.errors import InvalidStatement, Outdated, WhitelistConflict
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS
from tests.support.editors import LATEST, NOW, ORG, Chain, fp, key_of, old, person, pins

pytestmark = pytest.mark.timeout(60)


def append(link: Statement, kept: Sequence[Statement] = ()) -> operations.AppendStatement:
    return operations.AppendStatement(
        org=ORG, statement=link.raw, kept=[one.digest for one in kept]
    )


def save(said: Statement, **more: Any) -> operations.SaveEditor:
    return operations.SaveEditor(
        org=ORG, key=said.subject, version=said.content.version,
        statement=json.dumps(said.raw), **{"latest": LATEST, **more},
    )  # fmt: skip


async def stored(store: Store) -> Stored:
    found: Stored = await store.ask(editor_chain.stored, ORG)
    return found


def test_links_come_one_after_the_other(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain(old("ann", "bob", NOW - 9))
        await store.write(*ORGS, save(said.base[0]))
        for of in ("carl", "dora", "eve"):
            await store.write(append(said.say("ann", "add", of)))
        assert await stored(store) == Stored(
            [one.raw for one in said.base], [one.raw for one in said.links]
        )
        offered = following.read(*await stored(store))
        extended = following.extend(Standing(), pins("ann"), offered, org=ORG, latest=LATEST)
        assert set(extended.standing.vouched) == {fp(n) for n in ("bob", "carl", "dora", "eve")}
        assert await store.ask(editor_chain.stored, "other") == Stored([], [])

    database.run(scenario)


def test_a_fork_is_refused(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain()
        await store.write(*ORGS)
        first, other = (said.statement("ann", "add", of) for of in ("bob", "carl"))
        await store.write(append(first))
        for fork in (first, other, said.statement("ann", "add", "eve", previous="0" * 64)):
            with pytest.raises(WhitelistConflict, match="meanwhile"):
                await store.write(append(fork))
        assert (await stored(store)).links == [first.raw]

    database.run(scenario)


def test_of_many_at_once_one_is_next(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain()
        await store.write(*ORGS)
        links = [said.statement("ann", "add", of) for of in ("bob", "carl", "dora") * 3]
        done = await asyncio.gather(
            *(store.write(append(link)) for link in links), return_exceptions=True
        )
        assert sum(one is None for one in done) == 1
        assert len((await stored(store)).links) == 1

    database.run(scenario)


def test_a_first_link_that_does_not_name_all_old_statements_is_refused(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain(old("ann", "bob", NOW - 9))
        first = said.statement("ann", "add", "carl")
        await store.write(*ORGS, save(said.base[0]), save(old("ann", "dora", NOW - 5)))
        with pytest.raises(WhitelistConflict, match="meanwhile"):
            await store.write(append(first))

    database.run(scenario)


def test_a_checkpoint_keeps_what_is_there(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain()
        await store.write(*ORGS)
        bob = said.say("ann", "add", "bob")
        carl = said.say("ann", "add", "carl")
        for link in said.links:
            await store.write(append(link))
        stranger = old("ann", "eve")
        said.checkpoint("ann", [bob, stranger])
        with pytest.raises(InvalidStatement, match="not there"):
            await store.write(append(said.links[0], [bob, stranger]))
        with pytest.raises(InvalidStatement, match="not signed over"):
            await store.write(append(said.links[0], [bob]))
        gone = said.statement("ann", "remove", "carl", previous=carl.digest)
        await store.write(append(gone))
        # Neither without the revocation, nor before or with what it takes back.
        for kept in ([bob], [], [gone, bob], [bob, carl, gone]):
            said.links = [bob, carl, gone]
            said.checkpoint("ann", kept)
            with pytest.raises(InvalidStatement, match="does not keep what it has to"):
                await store.write(append(said.links[0], kept))
        said.base, said.links = [], [bob, carl, gone]
        said.checkpoint("ann", [bob, gone])
        await store.write(append(said.links[0], [bob, gone]))
        await store.write(append(said.say("bob", "add", "dora")))
        after = [one.raw for one in said.links]
        assert await stored(store) == Stored([bob.raw, gone.raw], after)
        # Agents hear all of it, as long as there is room.
        whole = [bob.raw, carl.raw, gone.raw, *after]
        assert await store.ask(editor_chain.reaching, ORG) == Stored([], whole)
        while (await store.ask(editor_chain.reaching, ORG)).links[0] == bob.raw:
            await store.write(append(said.say("bob", "add", "dora")))
        left = await store.ask(editor_chain.reaching, ORG)
        assert left == Stored([bob.raw, gone.raw], [one.raw for one in said.links])
        following.read(*left)
        assert sum(one.size for one in (bob, carl, gone, *said.links)) > limits.MAX_STATEMENTS_SIZE

    database.run(scenario)


def test_what_would_not_reach_the_agents_is_refused(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain()
        await store.write(*ORGS)
        refused = None
        while refused is None:
            link = said.say("ann", "add", "bob")
            try:
                await store.write(append(link))
            except WhitelistConflict as error:
                refused = str(error)
                said.links.pop()
        assert "sign a checkpoint" in refused
        assert 80 < len(said.links) < 200
        following.read(*await stored(store))
        bob = said.links[-1]
        said.checkpoint("ann", [bob])
        await store.write(append(said.links[0], [bob]), append(said.say("bob", "add", "carl")))

    database.run(scenario)


def test_what_goes_to_agents_is_measured_in_bytes(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain()
        signer = chain.Signer(key_of("ann"), org=ORG, name=person("ann"))
        await store.write(*ORGS)

        async def append_wide(of: str, count: int) -> None:
            for _ in range(count):
                said.version += 1_000_000
                raw = signer.signed(
                    said.end, said.version, "remove", editor=person(of), subject=fp(of),
                    # What a later version may add; each letter is two bytes.
                    note="\u00e9" * 4000,
                )  # fmt: skip
                said.links.append(Statement(raw))
                await store.write(append(said.links[-1]))

        await append_wide("bob", 10)
        needed = checkpoint.kept(said.all, fp("ann")).statements
        said.checkpoint("ann", needed)
        await store.write(append(said.links[0], needed))
        await append_wide("carl", 5)
        reached = await store.ask(editor_chain.reaching, ORG)
        following.read(*reached)
        assert reached == Stored([one.raw for one in said.base], [one.raw for one in said.links])

    database.run(scenario)


def test_the_old_form_alone_ends_with_the_chain(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain()
        await store.write(*ORGS)
        link = said.say("ann", "add", "bob")
        await store.write(append(link), save(old("ann", "bob", NOW - 9), chained=True))
        with pytest.raises(WhitelistConflict, match="upgrade pushcli"):
            await store.write(save(old("ann", "carl")))
        # Both or neither.
        said.say("ann", "add", "carl")
        with pytest.raises(Outdated):
            await store.write(append(said.links[1]), save(old("ann", "bob", NOW - 9), chained=True))
        assert len((await stored(store)).links) == 1

    database.run(scenario)


def test_what_is_said_of_an_editor_only_gets_newer(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        await store.write(save(old("ann", "bob", 5)))
        await store.write(save(old("ann", "bob", 6)))
        with pytest.raises(Outdated):
            await store.write(save(old("ann", "bob", 6)))
        assert await store.ask(editor_chain.old, ORG) == [old("ann", "bob", 6).raw]
        assert await store.ask(editor_chain.old, "other") == []
        # What is dated ahead of the clock is not newer.
        await store.write(save(old("ann", "bob", 2**62)))
        await store.write(save(old("ann", "bob", 7)))
        assert await store.ask(editor_chain.old, ORG) == [old("ann", "bob", 7).raw]

    database.run(scenario)


def test_agents_of_either_version_get_their_form(database: Database) -> None:
    async def scenario(store: Store) -> None:
        said = Chain(old("ann", "bob", NOW - 9))
        await store.write(
            *ORGS, save(said.base[0]),
            *(operations.CreateClient(org=ORG, name=name, public_key="pem", enrolls=True)
              for name in ("new", "earlier")),
        )  # fmt: skip

        async def messages() -> dict[str, Any]:
            names = ["new", "earlier"]
            return dict(await store.ask(whitelist_reads.messages_to, ORG, names, {"new"}, LATEST))

        before = await messages()
        assert _plain(before["new"]) == ([said.base[0].raw], [])
        assert _plain(before["earlier"]) == ([said.base[0].raw], None)
        link = said.say("ann", "add", "carl")
        beside = old("ann", "carl", link.content.version)
        await store.write(append(link), save(beside, chained=True))
        after = await messages()
        assert _plain(after["new"]) == ([said.base[0].raw], [link.raw])
        assert _plain(after["earlier"])[1] is None
        assert {one["editor"] for one in _plain(after["earlier"])[0]} == {"bob", "carl"}

    database.run(scenario)


def _plain(fields: dict[str, Any]) -> tuple[Any, Any]:
    editors = [json.loads(bytes(one)) for one in fields["editors"]]
    links = fields.get("chain")
    return editors, None if links is None else [json.loads(bytes(one)) for one in links]
