"""Whose signatures count on a node that enrolls now: it pins their keys."""

import asyncio
import contextlib
from functools import lru_cache

import msgspec

from pushcli import keys
from pushcli.errors import KeyFileError
from pushcli.protocol import headers, limits
from pushcli.whitelist import following, statements
from pushcli.whitelist.standing import Pin, Pins, Standing
from pushcli_server.rest.request import Call
from pushcli_server.store import Store, editor_chain, identity_reads


def wants_editors(call: Call) -> bool:
    """Whether the client offered to take them; old ones compare whole objects."""
    return call.http.headers.get(headers.EDITORS) == "1"


async def editors(store: Store, org: str) -> list[dict[str, str]]:
    """The users in `admins`, nested groups included; one for each of their valid keys.

    Without those keys that editors took back: a node would pin what no other goes by.
    """
    found = []
    for editor in await store.lists.ask(identity_reads.editors, org):
        # What is no key signs nothing.
        with contextlib.suppress(KeyFileError):
            key = keys.load_public_key(editor.public_key)
            found.append(
                {
                    "name": editor.name,
                    "public_key": editor.public_key,
                    "fingerprint": keys.fingerprint(key),
                }
            )
    inherited = await store.lists.ask(editor_chain.inherited_removals, org)
    stored = await store.lists.ask(editor_chain.reaching, org)
    pinned = tuple((editor["name"], editor["public_key"]) for editor in found)
    text = msgspec.json.encode([stored.base, stored.links])
    taken_back = await asyncio.to_thread(_taken_back, org, pinned, text)
    gone = {*inherited, *taken_back}
    return [editor for editor in found if editor["fingerprint"] not in gone]


@lru_cache(maxsize=64)
def _taken_back(org: str, pinned: tuple[tuple[str, str], ...], stored: bytes) -> tuple[str, ...]:
    """Those of the keys that statements take back from nodes that pinned all of them."""
    base, links = msgspec.json.decode(stored)
    if not links:
        return ()
    trusted = {}
    for name, pem in pinned:
        key = statements.public_numbers(keys.load_public_key(pem))
        trusted[key.fingerprint] = Pin(name, key)
    # What is stored was not ahead of the clock when it came.
    offered = following.read(base, links)
    extended = following.extend(
        Standing(), Pins(trusted), offered, org=org, latest=limits.MAX_VERSION
    )
    return extended.standing.taken_back
