"""`pushcli server use-chef` and `use-own`: whose users, clients and groups count.

Our own stay in the store, and count again after the way back.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from pushcli.errors import ConfigError, ServerUnreachable, StoreError
from pushcli.protocol import chef_answers
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses, ChefUnproven
from pushcli_server import settings, settings_file
from pushcli_server.chef.client import TURNS, ChefClient, chef_server
from pushcli_server.chef.comparing import Comparison, Membership, Side, Who, compare
from pushcli_server.chef.identities import ChefIdentities
from pushcli_server.chef.measured import Measured
from pushcli_server.rest.rights import ADMINS, READERS, WRITERS
from pushcli_server.settings import Settings
from pushcli_server.stopped import alone
from pushcli_server.store import (
    CannotApply,
    CannotStore,
    Store,
    StoreUnavailable,
    database,
    identity_reads,
    operations,
)
from pushcli_server.store.records import AuditRecord, Principal

_GROUPS = (READERS, WRITERS, ADMINS)
_POWERFUL = (WRITERS, ADMINS)
_AGE = 3600.0
"""Seconds for which an answer counts here: each is asked for once."""


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of its own.

    Args:
        sides: its organizations in which there is anybody.
        has_users: without any nobody could do anything after the way back.
        keyless: clients that came while theirs were elsewhere, as ORGANIZATION/NAME.
        allows_chef: it need not count.
    """

    sides: dict[str, Side]
    has_users: bool
    keyless: list[str]
    allows_chef: bool


def chef_settings(directory: Path, values: Sequence[str]) -> Settings:
    """The server's settings with `identity = "chef"` and these `NAME=VALUE`.

    Raises:
        ConfigError: there is no server, or they cannot be used.
    """
    present = settings.load(directory)
    for value in values:
        if not value.startswith("chef_"):
            raise ConfigError(
                f"--set: {value.partition('=')[0]} is not about a Chef Infra Server",
                f"change it in {directory / settings.FILE}",
            )
    wanted = settings.with_values(present, ["identity=chef", *values], "--set")
    return settings.check(wanted, "--set")


def own(config: Settings, directory: Path) -> Own:
    """Look into the store; the server may be running.

    Raises:
        StoreError: it cannot be read.
    """
    with database.reading(config.database(directory)) as connection:
        sides, keyless = {}, []
        for org in sorted(identity_reads.organizations(connection)):
            found = identity_reads.everybody(connection, org)
            keyless += [f"{org}/{name}" for (kind, name), pems in found.items()
                        if kind == "client" and not pems]  # fmt: skip
            people = {Who(*who): pems for who, pems in found.items() if pems}
            members = frozenset(
                Membership(group, who)
                for group in _GROUPS
                for one in identity_reads.members(connection, org, group)
                if (who := Who(*one)) in people
            )
            if people:
                sides[org] = Side(keys=people, memberships=members)
        return Own(
            sides=sides,
            has_users=bool(identity_reads.all_users(connection)),
            keyless=keyless,
            allows_chef=identity_reads.allows_chef(connection),
        )


def comparisons(config: Settings, directory: Path, sides: dict[str, Side]) -> list[Comparison]:
    """Hold them against the Chef Infra Server, an organization each.

    Raises:
        ServerUnreachable: it does not answer.
        ConfigError: it cannot be used.
        StoreError: the store cannot be opened.
    """

    async def ask() -> list[Comparison]:
        async with _asking(config, directory) as (client, identities):
            return [
                compare(org, here, await _there(client, identities, config, org, here), _POWERFUL)
                for org, here in sides.items()
            ]

    try:
        return asyncio.run(ask())
    except ChefUnproven as error:
        raise ServerUnreachable(
            f"the Chef Infra Server cannot be asked: {error}", "nothing was changed"
        ) from error
    except ChefAway as error:
        raise ServerUnreachable(
            f"the Chef Infra Server cannot be asked: {error}", "nothing was changed: try again"
        ) from error
    except ChefRefuses as error:
        raise ConfigError(
            f"the Chef Infra Server cannot be used: {error}", "nothing was changed"
        ) from error


@asynccontextmanager
async def _asking(
    config: Settings, directory: Path
) -> AsyncIterator[tuple[ChefClient, ChefIdentities]]:
    store = Store.open(config.database(directory), directory / "blobs")
    try:
        client = ChefClient(chef_server(directory, config))
        try:
            measured = Measured(CollectorRegistry())
            yield client, ChefIdentities(client, store, _AGE, time.monotonic, measured)
        finally:
            client.close()
    finally:
        await store.close()


async def _there(
    client: ChefClient, identities: ChefIdentities, config: Settings, org: str, here: Side
) -> Side | None:
    """The same people, as they are there; None: there is no such organization.

    Nothing of it is stored.
    """
    turns = asyncio.Semaphore(TURNS)

    async def owners(name: str) -> list[chef_answers.Owner] | None:
        async with turns:
            answer = await client.ask(org, "principals", name, unsigned=True)
        return chef_answers.owners(answer.status, answer.content, name)

    people = sorted(here.keys)
    try:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(owners(who.name)) for who in people]
    except ExceptionGroup as failed:
        # None of the others is left behind, to fail when nobody listens.
        raise failed.exceptions[0] from None
    found = [task.result() for task in asking]
    if None in found:
        return None
    known = {
        who: owner.public_keys
        for who, some in zip(people, found, strict=True)
        for owner in some or ()
        if owner.kind == who.kind and owner.is_member
    }
    # Signed, whoever is there: principals are told without, and a wrong key would pass.
    us = Principal(kind="user", name=config.chef_user, public_keys=(), associated=True)
    await identities.is_member(org, us, ADMINS)
    asked = {one.who for one in here.memberships if one.who in known}
    memberships = set()
    for who in asked:
        principal = Principal(kind=who.kind, name=who.name, public_keys=(), associated=True)
        for group in _GROUPS:
            if await identities.is_member(org, principal, group):
                memberships.add(Membership(group, who))
    return Side(keys=known, memberships=frozenset(memberships))


def require_stopped(directory: Path) -> None:
    """A server that runs would go on as before.

    Raises:
        StartError: it runs.
        ConfigError: there is none, or its settings are wrong.
    """
    _alone(settings.load(directory)).close()


def use_chef(directory: Path, config: Settings, orgs: Iterable[str]) -> None:
    """Have the Chef Infra Server's identities count from the next start on.

    Args:
        config: the settings that are to be.
        orgs: in whose audit trail it stands.

    Raises:
        StartError: the server runs.
        ConfigError, StoreError: something cannot be written.
    """
    present = settings.load(directory)
    values = {
        name: value
        for name, value in msgspec.structs.asdict(config).items()
        if value != getattr(present, name)
    }
    text = settings_file.changed(directory, values)
    with _alone(present):
        # Before the settings: of these alone the server would not start.
        now = time.time()
        records = [_record(now, org, "use chef", config.chef_server_url) for org in orgs]
        allow = operations.AllowChef(url=config.chef_server_url, at=now)
        asyncio.run(_write(config, directory, allow, *records))
        settings_file.save(directory, text)


def use_own(directory: Path, orgs: Iterable[str]) -> None:
    """Have the store's own identities count again, from the next start on.

    Raises:
        StartError, ConfigError, StoreError: as `use_chef`.
    """
    present = settings.load(directory)
    named = [name for name in msgspec.structs.asdict(present) if name.startswith("chef_")]
    text = settings_file.changed(directory, {"identity": "own"}, named)
    with _alone(present):
        now = time.time()
        records = [_record(now, org, "use own", present.chef_server_url) for org in orgs]
        save = partial(settings_file.save, directory, text)
        asyncio.run(_write(present, directory, operations.RefuseChef(), *records, before=save))


def _alone(config: Settings) -> socket.socket:
    return alone(config, why=", and would go on as before", remedy="stop it first")


def _record(now: float, org: str, action: str, target: str) -> operations.Audit:
    return operations.Audit(
        AuditRecord(
            at=now, org=org, actor_kind="server", actor="server", action=action, target=target,
            origin="local",
        )
    )  # fmt: skip


async def _write(
    config: Settings,
    directory: Path,
    *ops: operations.Operation,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Have these stored.

    Args:
        before: what is to be done first, once it is sure that no server works with the database.
    """
    store = Store.open(config.database(directory), directory / "blobs")
    try:
        await store.start_alone()
        before()
        await store.write(*ops)
    except (CannotApply, CannotStore, StoreUnavailable) as error:
        raise StoreError(f"cannot write the database: {error}", "check database_url") from error
    finally:
        await store.close()
