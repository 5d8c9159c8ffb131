"""`principals/NAME`: whose key a name stands for."""

import hashlib

from starlette.responses import Response

from pushcli_server.rest.errors import answer, not_found
from pushcli_server.rest.request import Call
from pushcli_server.store import Store, identity_reads


class PrincipalHandlers:
    """The handler for principals."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def show(self, call: Call) -> Response:
        """`GET principals/NAME`: the client of a name that a user has too."""
        name = call.path["principal"]
        client = await self._store.ask(identity_reads.client, call.org, name)
        user = None if client else await self._store.ask(identity_reads.user, name)
        found = client or user
        if found is None:
            raise not_found(f"no such user or client: {name}")
        kind = "client" if client else "user"
        is_member = client is not None or await self._store.ask(
            identity_reads.is_associated, call.org, name
        )
        return answer(
            200,
            {
                "name": name,
                "type": kind,
                "public_key": found.public_key,
                "authz_id": _authz_id(kind, call.org if client else "", name),
                "org_member": is_member,
            },
        )


def _authz_id(kind: str, org: str, name: str) -> str:
    """What Chef's tools take for an id: the same each time, and nobody else's."""
    return hashlib.sha256(f"{kind}/{org}/{name}".encode()).hexdigest()[:32]
