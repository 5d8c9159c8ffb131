"""`tokens`: with which nodes enroll, each for few nodes and a short time (an extension)."""

from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import limits, names
from pushcli_server import tokens
from pushcli_server.rest import content
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.pieces import array
from pushcli_server.rest.request import Call
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.records import TokenRecord

MAX_LIFE = 30 * 86_400.0
"""Seconds."""


class _NewToken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    uses: Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_USES)] = 1
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=MAX_LIFE)] = 3600.0
    node: str | None = None


class TokenHandlers:
    """Handlers for tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def index(self, call: Call) -> Response:
        """`GET tokens`: those that can still be used."""
        found = await self._store.lists.ask(identity_reads.tokens, call.org, call.at)
        return await array(_view(token) for token in found)

    async def create(self, call: Call) -> Response:
        """`POST tokens`: the only answer that has the token itself."""
        new = content.parse(call, _NewToken, "token")
        node = None if new.node is None else content.require_name(new.node, "node")
        if node is not None and names.is_reserved(node):
            raise Refused(400, [f"node: the name {node} is reserved"])
        token, text = tokens.make(
            call.org, node=node, uses=new.uses, expires_in=new.expires_in,
            by=call.principal.name, at=call.at,
        )  # fmt: skip
        said = {"uses": new.uses, "expires": token.expires_at, "node": node}
        await call.write(operations.CreateToken(token), call.audit("token create", token.id, said))
        made = {
            "id": token.id,
            "token": text,
            "uses": new.uses,
            "expires_at": token.expires_at,
            "node": node,
        }
        return answer(201, made)

    async def delete(self, call: Call) -> Response:
        """`DELETE tokens/ID`: what it enrolled stays."""
        token_id = call.path["token"]
        found = await self._store.ask(identity_reads.token, call.org, token_id)
        if found is None:
            raise not_found(f"no such token: {token_id}")
        await call.write(
            operations.DeleteToken(call.org, token_id), call.audit("token delete", token_id)
        )
        return answer(200, _view(found))


def _view(token: TokenRecord) -> dict[str, Any]:
    return {
        "id": token.id,
        "uses": token.uses_left,
        "expires_at": token.expires_at,
        "node": token.node,
        "created_by": token.created_by,
    }
