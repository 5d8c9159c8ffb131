"""Looks at a Chef Infra Server's node objects for what our own whitelists have, and puts it there.

Each node is read again right before it is written: there is no tag to make that conditional, so
the two stand close together. What is there already is not written again, so it can be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.chef import whitelists
from pushcli_server.chef.client import ChefClient, chef_server
from pushcli_server.chef.node_answers import Attributes
from pushcli_server.chef.whitelists import Difference
from pushcli_server.settings import Settings
from pushcli_server.store import database, identity_reads, whitelist_reads

TURNS = 8
"""Nodes at a time."""
TIMEOUT = 15.0
"""Seconds for a question about one of them, or an edit."""
_IN_A_ROW = 2 * TURNS
"""Nodes for which there is no answer, after which the others are not asked for."""

Whitelists = Mapping[str, Mapping[str, Attributes]]
"""By organization and node."""
T = TypeVar("T")


class Counterpart(msgspec.Struct, frozen=True, kw_only=True):
    """Of an organization's whitelists here what is there, by node.

    Args:
        differences: of nodes whose whitelist is not there as it is here.
        copied: nodes that have what was to be put there.
        failed: why a node could not be looked at, or written.
    """

    differences: dict[str, Difference]
    copied: list[str] = []
    failed: dict[str, str]


Counterparts = Mapping[str, Counterpart]
"""By organization."""


def own_whitelists(config: Settings, directory: Path) -> Whitelists:
    """Those of our own node objects that have any.

    Raises:
        StoreError: the database cannot be read.
    """
    with database.reading(config.database(directory)) as connection:
        return {
            org: {
                name: attributes
                for name, *levels in whitelist_reads.attributes_of_all(connection, org)
                if (attributes := whitelists.own_attributes(*levels)) is not None
            }
            for org in sorted(identity_reads.organizations(connection))
        }


def look(
    config: Settings, directory: Path, own: Whitelists, absent: Collection[str] = ()
) -> Counterparts:
    """Hold them against the Chef Infra Server's; a node that fails keeps no other waiting.

    Args:
        absent: organizations that are not there.
    """

    async def look_at(client: ChefClient, org: str, name: str) -> Difference:
        return (await _read(client, org, name, own[org][name])).difference

    async def ask(client: ChefClient) -> Counterparts:
        counterparts = {}
        for org, nodes in own.items():
            failed: dict[str, str] = {}
            if org in absent:
                found = {name: whitelists.nowhere(ours) for name, ours in nodes.items()}
            else:
                found, failed = await _for_each(nodes, partial(look_at, client, org))
            counterparts[org] = Counterpart(differences=_differing(found), failed=failed)
        return counterparts

    return asyncio.run(_with_client(config, directory, ask))


def to_write(looked: Counterparts) -> dict[str, list[str]]:
    """The nodes into which something can be put, by organization."""
    return {
        org: [
            node
            for node, one in counterpart.differences.items()
            if one.there and (one.missing or one.removals)
        ]
        for org, counterpart in looked.items()
    }


def copy(config: Settings, directory: Path, own: Whitelists, looked: Counterparts) -> Counterparts:
    """Put into these nodes what is missing there; what differs stays. Returns what is so then."""

    async def put(client: ChefClient, org: str, name: str) -> tuple[Difference, bool]:
        ours = own[org][name]
        compared = await _read(client, org, name, ours)
        if compared.body is None:
            # Somebody was there meanwhile: it has them already, or what is in their way.
            return compared.difference, compared.difference.is_none
        answer = await client.ask(org, "nodes", name, method="PUT", body=compared.body)
        whitelists.require_put(answer.status, answer.content, name, ours, compared.difference)
        return compared.difference.stays, True

    async def ask(client: ChefClient) -> Counterparts:
        counterparts = {}
        for org, nodes in to_write(looked).items():
            before = looked[org]
            done, failed = await _for_each(nodes, partial(put, client, org))
            found = {name: difference for name, (difference, _) in done.items()}
            counterparts[org] = Counterpart(
                differences=_differing({**before.differences, **found}),
                copied=sorted(name for name, (_, has_them) in done.items() if has_them),
                failed={**before.failed, **failed},
            )
        return counterparts

    return asyncio.run(_with_client(config, directory, ask))


async def _read(client: ChefClient, org: str, name: str, own: Attributes) -> whitelists.Compared:
    answer = await client.ask(org, "nodes", name)
    return await asyncio.to_thread(whitelists.compare, own, answer.status, answer.content, name)


def _differing(found: Mapping[str, Difference]) -> dict[str, Difference]:
    return {name: found[name] for name in sorted(found) if not found[name].is_none}


async def _with_client(
    config: Settings, directory: Path, use: Callable[[ChefClient], Awaitable[T]]
) -> T:
    client = ChefClient(chef_server(directory, config), turns=TURNS, timeout=TIMEOUT)
    try:
        return await use(client)
    finally:
        client.close()


async def _for_each(
    names: Iterable[str], do: Callable[[str], Awaitable[T]]
) -> tuple[dict[str, T], dict[str, str]]:
    """What became of each, and why not; a few at a time."""
    found: dict[str, T] = {}
    failed: dict[str, str] = {}
    left, missed = iter(names), 0

    async def work() -> None:
        nonlocal missed
        for name in left:
            if missed >= _IN_A_ROW:
                failed[name] = "not asked for: the ones before it had no answer"
                continue
            try:
                found[name] = await do(name)
                missed = 0
            except ChefAway as error:
                missed += 1
                failed[name] = str(error)
            except ChefRefuses as error:
                missed = 0
                failed[name] = str(error)

    await asyncio.gather(*(work() for _ in range(TURNS)))
    return found, dict(sorted(failed.items()))
