"""How often a Chef Infra Server is asked, and what counts while it does not answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from pushcli import keys
from pushcli.client.connection import Response
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server import identities as asked_for
from pushcli_server.chef import identities
from pushcli_server.chef.client import TURNS, ChefClient
from pushcli_server.chef.identities import ChefIdentities
from pushcli_server.chef.measured import Measured
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.records import Principal
from tests.support.identities import KEYS

ANN = Principal(kind="user", name="ann", public_keys=(), associated=True)


class Chef:
    """Stands for the other server: it has groups, and may be away."""

    def __init__(self) -> None:
        self.groups: dict[str, list[str]] = {"admins": [], "ops": []}
        self.members = {"ops": ["ann"]}
        self.owners = set[str]()
        self.asked: list[str] = []
        self.is_away = self.is_wrong = False
        self.answers_when = asyncio.Event()
        self.answers_when.set()

    async def was_asked(self, times: int) -> None:
        while len(self.asked) < times:
            await asyncio.sleep(0)

    async def ask(self, org: str, *parts: str, unsigned: bool = False) -> Response:
        self.asked.append(parts[-1])
        name = parts[-1]
        groups = self.groups.get(name)
        body = {"users": self.members.get(name, []), "groups": groups}
        rows = [{"name": name, "type": "user", "org_member": True}] if name in self.owners else []
        # It was looked up; now it is on its way.
        await self.answers_when.wait()
        if self.is_away:
            raise ChefAway("it is away")
        if self.is_wrong:
            return Response(200, HTTPMessage(), b"nonsense")
        if parts[0] == "principals":
            return Response(200, HTTPMessage(), json.dumps({"principals": rows}).encode())
        if groups is None:
            return Response(404, HTTPMessage(), b'{"error":["Cannot load group"]}')
        return Response(200, HTTPMessage(), json.dumps(body).encode())


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.chef = Chef()
        client = cast("ChefClient", self.chef)
        self.registry = CollectorRegistry()
        measured = Measured(self.registry)
        store = cast("Any", None)
        self.identities = ChefIdentities(client, store, 30.0, lambda: self.now, measured)

    def measured(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"pushcli_chef_{name}", labels) or 0.0

    async def exists(self, name: str, *, bears: float = 0.0) -> bool:
        asked_for.bear(bears)
        return await self.identities.group_exists("acme", name)

    async def knows(self, name: str) -> bool:
        asked_for.bear(0.0)
        return await self.identities.user_exists("acme", name)


def played(play: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        await play(World())

    asyncio.run(run())


def test_an_answer_counts_for_so_long_and_then_it_is_asked_again() -> None:
    async def play(world: World) -> None:
        for seconds, times in ((0.0, 1), (30.0, 1), (0.1, 2)):
            world.now += seconds
            assert await world.exists("ops")
            assert world.chef.asked == ["ops"] * times

    played(play)


def test_who_wait_for_one_answer_ask_once_and_one_may_go_away() -> None:
    async def play(world: World) -> None:
        world.chef.answers_when.clear()
        waiting = [asyncio.ensure_future(world.exists("ops")) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        world.chef.answers_when.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert found[1:] == [True] * 4
        assert isinstance(found[0], asyncio.CancelledError)
        assert world.chef.asked == ["ops"]

    played(play)


def test_strangers_leave_turns_to_those_who_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "TIMEOUT", 0.05)

    async def play(world: World) -> None:
        chef, most = world.chef, identities.MOST_OF_STRANGERS
        chef.owners = {"ann"}
        assert await world.knows("ann")
        # A name that nobody has is a stranger's, also when it comes again.
        assert not await world.knows("nobody")
        chef.asked.remove("nobody")
        world.now += 31.0
        chef.answers_when.clear()
        strangers = [asyncio.ensure_future(world.knows(f"x{n}")) for n in range(2 * TURNS)]
        strangers.append(asyncio.ensure_future(world.knows("nobody")))
        await chef.was_asked(1 + most)
        ann = asyncio.ensure_future(world.knows("ann"))
        await chef.was_asked(2 + most)
        assert chef.asked[-1] == "ann"
        assert most < TURNS
        # Who has no turn in time is told that; the others wait for their answers.
        done, _ = await asyncio.wait(strangers[most:])
        assert {str(one.exception()) for one in done} == {
            "too many ask who is not known: no turn within 0.05 s"
        }
        assert len(chef.asked) == 2 + most
        chef.answers_when.set()
        assert await ann
        assert not any(await asyncio.gather(*strangers[:most]))
        assert not await world.knows("late")

    played(play)


def test_while_it_is_away_what_was_known_counts_for_as_long_as_the_request_bears() -> None:
    async def play(world: World) -> None:
        assert await world.exists("ops")
        world.chef.is_away = True
        world.now += 100.0
        assert await world.exists("ops", bears=100.0)
        for bears in (99.0, 0.0):
            with pytest.raises(ChefAway):
                await world.exists("ops", bears=bears)
        with pytest.raises(ChefAway):
            await world.exists("admins", bears=1e6)

    played(play)


def test_it_is_not_asked_the_same_again_at_once_when_it_did_not_answer() -> None:
    async def play(world: World) -> None:
        world.chef.is_away = True
        for _ in range(3):
            with pytest.raises(ChefAway, match="it is away"):
                await world.exists("ops")
        assert len(world.chef.asked) == 1
        world.chef.is_away = False
        # Nobody else waits for that.
        assert await world.exists("admins")
        world.now += 1.1
        assert await world.exists("ops")

    played(play)


def test_groups_that_hold_each_other_are_asked_for_once() -> None:
    async def play(world: World) -> None:
        world.chef.groups = {"admins": ["a", "b"], "a": ["b", "admins"], "b": ["a"], "ops": []}
        assert not await world.identities.is_member("acme", ANN, "admins")
        assert sorted(world.chef.asked) == ["a", "admins", "b"]
        world.chef.groups["b"] = ["acme::ops"]
        world.now += 31.0
        assert await world.identities.is_member("acme", ANN, "admins")

    played(play)


def test_administrators_are_those_in_groups_within_too() -> None:
    async def play(world: World) -> None:
        world.chef.groups = {"admins": ["ops", "other::far", "gone"], "ops": ["admins"]}
        world.chef.members = {"admins": ["carl", "ann"], "ops": ["bob", "ann"]}
        assert await world.identities.administrators("acme") == ["ann", "bob", "carl"]
        assert world.chef.asked == ["admins", "ops", "gone"]

    played(play)


def test_so_many_administrators_are_no_answer() -> None:
    async def play(world: World) -> None:
        many = [f"u{n}" for n in range(identities.MOST_ADMINISTRATORS + 1)]
        world.chef.members = {"admins": many}
        with pytest.raises(ChefRefuses, match="have fewer"):
            await world.identities.administrators("acme")

    played(play)


def test_no_group_leads_on_without_an_end() -> None:
    async def play(world: World) -> None:
        world.chef.groups = {f"g{n}": [f"g{n + 1}"] for n in range(2000)}
        with pytest.raises(ChefRefuses, match="more than 500 groups"):
            await world.identities.is_member("acme", ANN, "g0")
        assert len(world.chef.asked) <= 500

    played(play)


def test_names_that_nobody_has_take_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "NAMES", 2)

    async def play(world: World) -> None:
        assert await world.exists("ops")
        for number in range(50):
            assert not await world.exists(f"no{number}")
        world.chef.asked.clear()
        assert await world.exists("ops")
        assert not await world.exists("no49")
        assert world.chef.asked == []
        # There now, and gone again.
        world.chef.groups["no49"] = []
        world.now += 31.0
        assert await world.exists("no49")
        del world.chef.groups["no49"]
        world.now += 31.0
        assert not await world.exists("no49")
        assert not await world.exists("no49")

    played(play)


def test_what_is_forgotten_is_asked_for() -> None:
    async def play(world: World) -> None:
        assert await world.exists("ops")
        assert not await world.exists("none")
        world.identities.forget()
        await world.exists("ops")
        await world.exists("none")
        assert world.chef.asked == ["ops", "none"] * 2

    played(play)


def test_an_answer_that_was_under_way_when_all_was_forgotten_counts_for_nobody_else() -> None:
    async def play(world: World) -> None:
        for is_away in (False, True):
            world.chef.answers_when.clear()
            before = asyncio.ensure_future(world.identities.is_member("acme", ANN, "ops"))
            await world.chef.was_asked(1)
            world.chef.members["ops"] = []
            world.identities.forget()
            after = asyncio.ensure_future(world.identities.is_member("acme", ANN, "ops"))
            await world.chef.was_asked(2)
            world.chef.is_away = is_away
            world.chef.answers_when.set()
            if is_away:
                found = await asyncio.gather(before, after, return_exceptions=True)
                assert [type(one) for one in found] == [ChefAway, ChefAway]
                return
            assert (await before, await after) == (True, False)
            # What came after that is kept.
            assert not await world.identities.is_member("acme", ANN, "ops")
            assert world.chef.asked == ["ops", "ops"]
            world.chef.members["ops"] = ["ann"]
            world.chef.asked.clear()
            world.identities.forget()

    played(play)


def test_an_answer_is_as_old_as_its_question() -> None:
    async def play(world: World) -> None:
        world.chef.answers_when.clear()
        asking = asyncio.ensure_future(world.exists("ops"))
        await world.chef.was_asked(1)
        world.now += 5.0
        world.chef.answers_when.set()
        assert await asking
        world.now += 25.1
        await world.exists("ops")
        assert world.chef.asked == ["ops", "ops"]

    played(play)


def test_a_client_keeps_the_salt_that_it_had_here(tmp_path: Path) -> None:
    url, blobs = f"sqlite:///{tmp_path / 'a.db'}", tmp_path / "blobs"
    Store.create(url, blobs)
    pem = keys.public_pem(KEYS[0])

    class Clients(Chef):
        async def ask(self, org: str, *parts: str, unsigned: bool = False) -> Response:
            row = {"name": parts[-1], "type": "client", "public_key": pem}
            return Response(200, HTTPMessage(), json.dumps({"principals": [row]}).encode())

    async def play() -> None:
        store = Store.open(url, blobs)
        store.start(asyncio.get_running_loop(), lambda _: None)
        await store.write(
            operations.CreateOrganization("acme"),
            operations.CreateClient(org="acme", name="n1", public_key=pem),
        )
        salts = await store.ask(identity_reads.session_salts)
        measured = Measured(CollectorRegistry())
        asks = ChefIdentities(cast("ChefClient", Clients()), store, 30.0, lambda: 0.0, measured)
        assert await asks.client_keys("acme", "n1") == [(pem, salts["acme", "n1"])]
        assert salts["acme", "n1"]
        assert await asks.client_keys("acme", "n2") == [(pem, "")]
        await store.close()

    asyncio.run(play())


def test_what_is_asked_and_what_was_known_is_counted() -> None:
    async def play(world: World) -> None:
        world.chef.answers_when.clear()
        first, second = (asyncio.ensure_future(world.exists("ops")) for _ in range(2))
        await world.chef.was_asked(1)
        world.now += 0.3
        world.chef.answers_when.set()
        assert await asyncio.gather(first, second) == [True, True]
        assert not await world.exists("none")
        assert await world.exists("ops")
        world.now += 31.0
        world.chef.is_away = True
        assert await world.exists("ops", bears=100.0)
        with pytest.raises(ChefAway):
            # So soon it is not asked again.
            await world.exists("ops")
        world.now += 2.0
        world.chef.is_away, world.chef.is_wrong = False, True
        with pytest.raises(ChefRefuses):
            await world.exists("ops")
        for outcome, times in (("answered", 2), ("away", 1), ("refused", 1)):
            assert world.measured("questions_total", kind="groups", outcome=outcome) == times
        assert world.measured("question_seconds_count", kind="groups") == 4
        assert world.measured("question_seconds_sum", kind="groups") == pytest.approx(0.3)
        assert world.measured("remembered_answers_total", age="fresh") == 1
        assert world.measured("remembered_answers_total", age="stale") == 1
        assert world.measured("kept") == 2
        world.identities.forget()
        assert world.measured("kept") == 0

    played(play)


def test_what_was_forgotten_while_it_was_asked_counts_no_more() -> None:
    async def play(world: World) -> None:
        assert await world.exists("ops")
        world.now += 31.0
        world.chef.answers_when.clear()
        asking = asyncio.ensure_future(world.exists("ops", bears=300.0))
        await world.chef.was_asked(2)
        world.identities.forget()
        world.chef.is_away = True
        world.chef.answers_when.set()
        with pytest.raises(ChefAway):
            await asking

    played(play)


def test_a_client_is_no_member_because_a_user_of_its_name_is() -> None:
    async def play(world: World) -> None:
        assert await world.identities.is_member("acme", ANN, "ops")
        client = Principal(kind="client", name="ann", public_keys=(), associated=True)
        assert not await world.identities.is_member("acme", client, "ops")

    played(play)


def test_a_wrong_answer_is_borne_by_nothing_that_was_known_and_asked_for_again() -> None:
    async def play(world: World) -> None:
        assert await world.exists("ops")
        world.now += 31.0
        world.chef.is_wrong = True
        for times in (2, 3):
            with pytest.raises(ChefRefuses):
                await world.exists("ops", bears=300.0)
            assert world.chef.asked == ["ops"] * times

    played(play)


def test_what_is_no_name_is_not_asked_for() -> None:
    async def play(world: World) -> None:
        assert not await world.exists("../ops")
        assert not await world.knows("../ann")
        assert await world.identities.candidates("../acme", "ann") is None
        assert world.chef.asked == []

    played(play)


def test_that_it_did_not_answer_is_forgotten_too() -> None:
    async def play(world: World) -> None:
        world.chef.is_away = True
        with pytest.raises(ChefAway):
            await world.exists("ops")
        world.chef.is_away = False
        world.identities.forget()
        assert await world.exists("ops")

    played(play)


def test_of_what_went_nothing_is_borne() -> None:
    async def play(world: World) -> None:
        assert await world.exists("ops")
        world.now += 31.0
        del world.chef.groups["ops"]
        assert not await world.exists("ops")
        world.chef.is_away = True
        world.now += 31.0
        assert not await world.exists("ops", bears=300.0)

    played(play)
