"""Whose signatures count on a node that enrolls now: it pins their keys."""

import contextlib

from pushcli import keys
from pushcli.errors import KeyFileError
from pushcli.protocol import headers
from pushcli_server.rest.request import Call
from pushcli_server.store import Store, identity_reads


def wants_editors(call: Call) -> bool:
    """Whether the client offered to take them; old ones compare whole objects."""
    return call.http.headers.get(headers.EDITORS) == "1"


async def editors(store: Store, org: str) -> list[dict[str, str]]:
    """The users in `admins`, nested groups included; one for each of their valid keys."""
    found = []
    for editor in await store.ask(identity_reads.editors, org):
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
    return found
