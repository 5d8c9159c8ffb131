"""Whose signatures count on a node that enrolls now: it pins their keys."""

from pushcli import keys
from pushcli_server.rest.request import Call
from pushcli_server.store import Store, identity_reads

_HEADER = "x-pushcli-editors"


def wants_editors(call: Call) -> bool:
    """Whether the client offered to take them; old ones compare whole objects."""
    return call.http.headers.get(_HEADER) == "1"


async def editors(store: Store, org: str) -> list[dict[str, str]]:
    """The users in `admins`, nested groups included; one for each of their valid keys."""
    return [
        {
            "name": editor.name,
            "public_key": editor.public_key,
            "fingerprint": keys.fingerprint(keys.load_public_key(editor.public_key)),
        }
        for editor in await store.ask(identity_reads.editors, org)
    ]
