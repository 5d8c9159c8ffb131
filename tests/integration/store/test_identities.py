"""Users, clients, groups, keys and tokens, on both databases."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from pushcli_server.store import CannotApply, Store, identity_reads, operations, reads
from pushcli_server.store.errors import (
    LastAdministrator,
    LastKey,
    Missing,
    ReservedName,
    TokenRefused,
    TooManyKeys,
    UnknownMembers,
)
from pushcli_server.store.identity_keys import MAX_KEYS
from pushcli_server.store.records import AuditRecord, GroupRecord, NodeRecord, TokenRecord
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS

pytestmark = pytest.mark.timeout(60)
ADMINS = "admins"


def user(name: str, *orgs: str, **more: Any) -> list[operations.Operation]:
    return [
        operations.CreateUser(name=name, public_key=f"{name}'s", **more),
        *(operations.AssociateUser(org, name) for org in orgs),
    ]


def client(name: str, org: str = "acme", key: str = "PEM") -> operations.CreateClient:
    return operations.CreateClient(org=org, name=name, public_key=key, enrolls=True)


def joins(group: str, kind: str, name: str, org: str = "acme") -> operations.AddMember:
    return operations.AddMember(org, group, kind, name)


def groups(*names: str, org: str = "acme") -> list[operations.CreateGroup]:
    return [operations.CreateGroup(org, name) for name in names]


# --- the last administrator


async def administrated(store: Store) -> None:
    """ann administrates acme by way of a nested group; bob and a robot are there too."""
    await store.write(
        *ORGS, *user("root", superuser=True), *user("ann", "acme"), *user("bob", "acme"),
        client("robot"), *groups(ADMINS, "team"),
        joins(ADMINS, "group", "team"), joins("team", "user", "ann"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "taken",
    [
        operations.DissociateUser("acme", "ann"),
        operations.DeleteUser("ann"),
        operations.DeleteGroup("acme", "team"),
        operations.SetGroup(org="acme", group="team"),
        operations.SetGroup(org="acme", group=ADMINS, groups=[ADMINS]),
        operations.RemoveMember("acme", "team", "user", "ann"),
        operations.RemoveMember("acme", ADMINS, "group", "team"),
    ],
    ids=lambda operation: f"{type(operation).__name__}-{getattr(operation, 'group', '')}",
)
@pytest.mark.parametrize("another", ["nobody", "stranger", "user", "client"])
def test_the_last_administrator_stays(
    database: Database, taken: operations.Operation, another: str
) -> None:
    others: dict[str, list[operations.Operation]] = {
        "nobody": [],
        "stranger": [joins(ADMINS, "user", "root")],
        "user": [joins(ADMINS, "user", "bob")],
        "client": [joins(ADMINS, "client", "robot")],
    }
    sets_others = isinstance(taken, operations.SetGroup) and taken.group == ADMINS

    async def scenario(store: Store) -> None:
        await administrated(store)
        await store.write(*others[another])
        if another in {"nobody", "stranger"} or sets_others:
            with pytest.raises(LastAdministrator, match="acme"):
                await store.write(taken)
            assert await store.ask(identity_reads.is_member, "acme", "user", "ann", ADMINS)
        else:
            await store.write(taken)
            assert not await store.ask(identity_reads.is_member, "acme", "user", "ann", ADMINS)

    database.run(scenario)


def test_the_last_client_that_administrates_stays(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(
            *ORGS, client("robot"), client("other"), *groups(ADMINS),
            joins(ADMINS, "client", "robot"), joins(ADMINS, "client", "other"),
        )  # fmt: skip
        await store.write(operations.DeleteClient("acme", "other"))
        with pytest.raises(LastAdministrator):
            await store.write(operations.DeleteClient("acme", "robot"))
        assert await store.ask(identity_reads.clients, "acme") == ["robot"]

    database.run(scenario)


def test_where_nobody_administrates_everybody_may_go(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *user("ann", "acme"), client("c"), *groups(ADMINS))
        await store.write(
            operations.DissociateUser("acme", "ann"), operations.DeleteClient("acme", "c")
        )
        assert await store.ask(identity_reads.clients, "acme") == []
        assert await store.ask(identity_reads.users, "acme") == []

    database.run(scenario)


def test_the_last_superuser_stays(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*user("root", superuser=True), *user("ann"))
        for last in (
            operations.DeleteUser("root"),
            operations.UpdateUser(name="root", superuser=False),
        ):
            with pytest.raises(LastAdministrator, match="superuser"):
                await store.write(last)
        await store.write(operations.UpdateUser(name="ann", superuser=True))
        await store.write(operations.DeleteUser("root"))
        assert await store.ask(identity_reads.all_users) == ["ann"]

    database.run(scenario)


# --- what goes, goes with everything


def test_a_deleted_user_leaves_nothing_to_the_next_of_that_name(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(
            *ORGS, *user("ann", "acme"), *groups("team"), *groups("team", org="other"),
            joins("team", "user", "ann"), joins("team", "user", "ann", "other"),
            operations.AddKey(kind="user", org="", name="ann", key_name="two", public_key="K"),
        )  # fmt: skip
        await store.write(operations.DeleteUser("ann"))
        assert await store.ask(identity_reads.principals, "acme", "ann") == []
        await store.write(operations.CreateUser(name="ann", public_key="fresh"))
        [again] = await store.ask(identity_reads.principals, "acme", "ann")
        assert (again.associated, again.public_keys) == (False, ("fresh",))
        await store.write(operations.AssociateUser("acme", "ann"))
        assert not await store.ask(identity_reads.is_member, "acme", "user", "ann", "team")
        assert not await store.ask(identity_reads.is_member, "other", "user", "ann", "team")

    database.run(scenario)


def test_whoever_leaves_an_organization_leaves_its_groups_only(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(
            *ORGS, *user("ann", "acme", "other"), *groups("team"), *groups("team", org="other"),
            joins("team", "user", "ann"), joins("team", "user", "ann", "other"),
            # By an administrator: it could not register itself so.
            operations.CreateClient(org="acme", name="ann", public_key="PEM"),
            joins("team", "client", "ann"),
        )  # fmt: skip
        await store.write(operations.DissociateUser("acme", "ann"))
        assert not await store.ask(identity_reads.is_member, "acme", "user", "ann", "team")
        assert await store.ask(identity_reads.is_member, "acme", "client", "ann", "team")
        assert await store.ask(identity_reads.is_member, "other", "user", "ann", "team")
        with pytest.raises(Missing, match="no user ann"):
            await store.write(operations.DissociateUser("acme", "ann"))

    database.run(scenario)


def test_nobody_registers_himself_under_a_users_name(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *user("Ann"))
        for name in ("Ann", "ann", "ANN", "pivotal", "x-Validator"):
            with pytest.raises(ReservedName, match=f"the name {name} is"):
                await store.write(client(name))
        await store.write(client("anna"))
        assert await store.ask(identity_reads.clients, "acme") == ["anna"]

    database.run(scenario)


def test_a_deleted_clients_node_is_gone_with_all_that_was_known_of_it(database: Database) -> None:
    def saved(org: str) -> operations.SaveNode:
        record = NodeRecord(
            org=org, name="n", curve_key="k" * 40, previous_curve_key="p" * 40, configured_at=5.0
        )
        return operations.SaveNode(record)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS, client("n"), client("n", "other"), *groups("team"))
        await store.write(joins("team", "client", "n"), saved("acme"), saved("other"))
        await store.write(operations.DeleteClient("acme", "n"))
        assert await store.ask(reads.nodes, "acme") == []
        [node] = await store.ask(reads.nodes, "other")
        assert (node.curve_key, node.previous_curve_key) == ("k" * 40, "p" * 40)
        # What was under way when it was deleted brings it back no more.
        await store.write(saved("acme"))
        assert await store.ask(reads.nodes, "acme") == []
        await store.write(client("n", key="fresh"))
        [node] = await store.ask(reads.nodes, "acme")
        assert (node.curve_key, node.previous_curve_key) == (None, None)
        [again] = await store.ask(identity_reads.principals, "acme", "n")
        assert again.public_keys == ("fresh",)
        assert not await store.ask(identity_reads.is_member, "acme", "client", "n", "team")

    database.run(scenario)


# --- groups


def test_a_group_takes_only_who_is_in_the_organization(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(
            *ORGS, *user("ann", "acme"), *user("eve", "other"), client("c"), client("d", "other"),
            *groups("team", "sub"), *groups("far", org="other"),
        )  # fmt: skip
        whole = operations.SetGroup(
            org="acme", group="team", users=["ann", "ann"], clients=["c"], groups=["sub", "team"]
        )
        await store.write(whole)
        wanted = GroupRecord(users=["ann"], clients=["c"], groups=["sub", "team"])
        assert await store.ask(identity_reads.group, "acme", "team") == wanted
        for kind in (operations.SetGroup, operations.AddMembers):
            with pytest.raises(UnknownMembers) as caught:
                await store.write(
                    kind(org="acme", group="team", users=["eve", "c"], clients=["c", "d"],
                         groups=["far"])
                )  # fmt: skip
            users = "user eve, user c" if kind is operations.AddMembers else "user c"
            known = "in the organization" if kind is operations.AddMembers else "known here"
            assert str(caught.value) == f"not {known}: {users}, client d, group far"
            with pytest.raises(Missing, match="no such group: nosuch"):
                await store.write(kind(org="acme", group="nosuch", users=["ann"]))
        assert await store.ask(identity_reads.group, "acme", "team") == wanted
        assert await store.ask(identity_reads.group, "other", "team") is None

    database.run(scenario)


def test_members_that_come_and_go_one_by_one_lose_nobody(database: Database) -> None:
    async def scenario(store: Store) -> None:
        names = [f"n{number:02}" for number in range(20)]
        await store.write(*ORGS, *(client(name) for name in names), *groups("team"))
        await asyncio.gather(
            *(
                store.write(operations.AddMembers(org="acme", group="team", clients=[name]))
                for name in names
            )
        )
        await asyncio.gather(
            *(
                store.write(operations.RemoveMember("acme", "team", "client", name, required=True))
                for name in names[::2]
            )
        )
        found = await store.ask(identity_reads.group, "acme", "team")
        assert found is not None
        assert found.clients == names[1::2]
        gone = operations.RemoveMember("acme", "team", "client", names[0], required=True)
        with pytest.raises(Missing, match="no client n00 in the group team"):
            await store.write(gone)

    database.run(scenario)


def test_a_large_group_is_set_at_once(database: Database) -> None:
    async def scenario(store: Store) -> None:
        names = [f"n{number:04}" for number in range(1200)]
        await store.write(*ORGS, *(client(name) for name in names), *groups("team"))
        await store.write(operations.SetGroup(org="acme", group="team", clients=names))
        found = await store.ask(identity_reads.group, "acme", "team")
        assert found is not None
        assert found.clients == names
        strangers = [f"x{number}" for number in range(1200)]
        more = operations.AddMembers(org="acme", group="team", clients=[*names, *strangers])
        with pytest.raises(UnknownMembers, match=r"client x0, .* and 1190 more"):
            await store.write(more)

    database.run(scenario)


def test_editors_are_the_users_who_administrate_with_each_valid_key(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await administrated(store)
        await store.write(
            joins(ADMINS, "user", "ann"),
            joins(ADMINS, "client", "robot"),
            joins(ADMINS, "user", "root"),
            operations.AddKey(kind="user", org="", name="ann", key_name="two", public_key="second"),
            operations.AddKey(
                kind="user", org="", name="ann", key_name="old", public_key="x", expires_at=1.0
            ),
        )
        found = await store.ask(identity_reads.editors, "acme")
        assert [(one.name, one.public_key) for one in found] == [
            ("ann", "ann's"),
            ("ann", "second"),
        ]
        assert await store.ask(identity_reads.editors, "other") == []

    database.run(scenario)


# --- keys


def add_key(name: str, expires_at: float | None = None, public_key: str = "P") -> operations.AddKey:
    return operations.AddKey(
        kind="client", org="acme", name="n", key_name=name, public_key=public_key,
        expires_at=expires_at,
    )  # fmt: skip


def test_keys_expire_by_the_clock(database: Database) -> None:
    async def scenario(store: Store) -> None:
        end = time.time() + 2
        await store.write(*ORGS, client("n"), add_key("soon", end))
        [before] = await store.ask(identity_reads.principals, "acme", "n")
        # A machine may be too busy to look in time.
        assert set(before.public_keys) == {"PEM", "P"} or time.time() > end
        await asyncio.sleep(end - time.time() + 0.05)
        [after] = await store.ask(identity_reads.principals, "acme", "n")
        assert after.public_keys == ("PEM",)

    database.run(scenario)


def test_one_valid_key_stays(database: Database) -> None:
    now = time.time()

    def expire(name: str, at: float | None) -> operations.UpdateKey:
        return operations.UpdateKey(
            kind="client", org="acme", name="n", key_name=name, expires_at=at, now=now
        )

    def drop(name: str) -> operations.DeleteKey:
        return operations.DeleteKey("client", "acme", "n", name, now=now)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS, client("n"), add_key("expired", now - 10))
        for last in (drop("default"), expire("default", now - 1)):
            with pytest.raises(LastKey, match="last valid key of n"):
                await store.write(last)
        await store.write(drop("expired"), add_key("next", now + 100))
        await store.write(drop("default"))
        with pytest.raises(LastKey):
            await store.write(drop("next"))
        for missing in (drop("default"), expire("nosuch", None)):
            with pytest.raises(Missing, match="no such key"):
                await store.write(missing)
        found = await store.ask(identity_reads.keys, "client", "acme", "n")
        assert [key.key_name for key in found] == ["next"]

    database.run(scenario)


def test_two_that_go_at_once_leave_one_key(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, client("n"), add_key("next"))
        results = await asyncio.gather(
            *(
                store.write(operations.DeleteKey("client", "acme", "n", name, now=time.time()))
                for name in ("default", "next")
            ),
            return_exceptions=True,
        )
        assert [type(result) for result in results if result is not None] == [LastKey]

    database.run(scenario)


def test_a_replaced_key_counts_no_more_and_the_others_do(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, client("n"), client("n", "other"), add_key("next", None, "N"))
        for key in ("first", "second"):
            await store.write(
                operations.ReplaceKey(kind="client", org="acme", name="n", public_key=key)
            )
            [found] = await store.ask(identity_reads.principals, "acme", "n")
            assert set(found.public_keys) == {key, "N"}
        [elsewhere] = await store.ask(identity_reads.principals, "other", "n")
        assert elsewhere.public_keys == ("PEM",)

    database.run(scenario)


def test_there_are_so_many_keys_and_no_more(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, client("n"))
        await store.write(*(add_key(f"k{number}") for number in range(MAX_KEYS - 1)))
        with pytest.raises(TooManyKeys):
            await store.write(add_key("one-more"))
        with pytest.raises(CannotApply):
            await store.write(add_key("k0"))

    database.run(scenario)


# --- tokens


def token(token_id: str, **more: Any) -> operations.CreateToken:
    fields = {
        "org": "acme", "digest": "d" * 64, "node": None, "uses_left": 1, "expires_at": 100.0,
        "created_by": "ann", "created_at": 1.0, **more,
    }  # fmt: skip
    return operations.CreateToken(TokenRecord(id=token_id, **fields))


def use(token_id: str, node: str, now: float = 50.0, org: str = "acme") -> operations.UseToken:
    return operations.UseToken(org=org, token_id=token_id, node=node, now=now)


def test_a_use_is_taken_together_with_what_it_is_for(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, client("taken"), token("t", uses_left=3))
        results = await asyncio.gather(
            *(store.write(use("t", f"n{i}"), client(f"n{i}")) for i in range(8)),
            return_exceptions=True,
        )
        assert [type(result) for result in results if result is not None] == [TokenRefused] * 5
        assert len(await store.ask(identity_reads.clients, "acme")) == 1 + 3
        await store.write(token("u"))
        with pytest.raises(CannotApply):
            await store.write(use("u", "taken"), client("taken"))
        left = await store.ask(identity_reads.token, "acme", "u")
        assert left is not None
        assert left.uses_left == 1

    database.run(scenario)


def test_a_token_is_for_its_organization_node_and_time(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, token("t", node="n", uses_left=5))
        for wrong in (
            use("t", "m"),
            use("t", "n", 100.0),
            use("t", "n", org="other"),
            use("x", "n"),
        ):
            with pytest.raises(TokenRefused):
                await store.write(wrong)
        await store.write(use("t", "n", 99.9))
        assert await store.ask(identity_reads.token, "other", "t") is None
        [shown] = await store.ask(identity_reads.tokens, "acme", 50.0)
        assert shown.uses_left == 4
        assert await store.ask(identity_reads.tokens, "acme", 100.0) == []
        with pytest.raises(Missing):
            await store.write(operations.DeleteToken("other", "t"))
        await store.write(operations.DeleteToken("acme", "t"))
        assert await store.ask(identity_reads.tokens, "acme", 50.0) == []

    database.run(scenario)


def test_what_ran_out_is_cleared_away_with_the_next_token(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, token("used", uses_left=0), token("old", expires_at=2.0))
        await store.write(token("new", created_at=3.0))
        for token_id, there in (("used", False), ("old", False), ("new", True)):
            found = await store.ask(identity_reads.token, "acme", token_id)
            assert (found is not None) is there

    database.run(scenario)


# --- the audit trail


def test_a_line_about_many_nodes_is_found_by_each_of_them(database: Database) -> None:
    async def scenario(store: Store) -> None:
        names = [*(f"web{number:02d}" for number in range(30)), "a_b"]
        detail = {"changes": [{"name": "entry", "value": "web99"}], "nodes": names}
        text = msgspec.json.encode(detail).decode()
        line = AuditRecord(
            at=1.0, org="acme", actor="ann", action="whitelist edit", target="31 nodes",
            origin="", detail=text,
        )  # fmt: skip
        other = msgspec.structs.replace(line, target="web50")
        await store.write(operations.Audit(line), operations.Audit(other))
        for target, found in [
            ("web00", [line]), ("web29", [line]), ("a_b", [line]), ("axb", []), ("web", []),
            ("entry", []), ("web99", []), ("%", []), ("web50", [other]), ("31 nodes", [line]),
        ]:  # fmt: skip
            assert await store.ask(reads.audit, "acme", target=target) == found, target

    database.run(scenario)


def test_the_newest_of_the_audit_trail_are_read_oldest_first(database: Database) -> None:
    def line(at: float, actor: str, target: str, org: str = "acme") -> operations.Audit:
        return operations.Audit(
            AuditRecord(at=at, org=org, actor=actor, action="x", target=target, origin="")
        )

    async def scenario(store: Store) -> None:
        await store.write(
            line(1.0, "ann", "web1"), line(2.0, "bob", "web1,web2"), line(2.0, "ann", "web11"),
            line(3.0, "ann", "w_b1"), line(4.0, "ann", "web1", org="other"),
        )  # fmt: skip

        async def found(**given: Any) -> list[tuple[float, str]]:
            lines = await store.ask(reads.audit, "acme", **given)
            return [(one.at, one.target) for one in lines]

        whole = [(1.0, "web1"), (2.0, "web1,web2"), (2.0, "web11"), (3.0, "w_b1")]
        assert await found() == whole
        assert await found(limit=2) == whole[-2:]
        assert await found(since=2.0) == whole[1:]
        assert await found(actor="bob") == whole[1:2]
        assert await found(target="web1") == whole[:2]
        assert await found(target="web2") == whole[1:2]
        assert await found(target="w_b1") == whole[3:]
        assert await found(target="eb1", actor="ann") == []
        assert await found(target="%") == []

    database.run(scenario)
