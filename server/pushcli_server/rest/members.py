"""`users` of an organization: who belongs to it."""

import msgspec
from starlette.responses import Response

from pushcli_server.rest import content
from pushcli_server.rest.errors import answer, not_found
from pushcli_server.rest.pieces import array
from pushcli_server.rest.request import Call
from pushcli_server.rest.users import view
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.records import UserRecord


class _Member(msgspec.Struct):
    username: content.Text


class MemberHandlers:
    """Handlers for the users of an organization."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def index(self, call: Call) -> Response:
        """`GET users`."""
        found = await self._store.lists.ask(identity_reads.users, call.org)
        return await array({"user": {"username": name}} for name in found)

    async def associate(self, call: Call) -> Response:
        """`POST users`: a user of the server belongs to the organization from now on."""
        name = content.parse(call, _Member, "user").username
        if not await self._store.ask(identity_reads.user_exists, name):
            raise not_found(f"no such user: {name}")
        with content.making("The association"):
            await call.write(
                operations.AssociateUser(call.org, name), call.audit("user associate", name)
            )
        uri = content.url(call, self._settings, "users", name)
        return answer(201, {"uri": uri}, {"Location": uri})

    async def show(self, call: Call) -> Response:
        """`GET users/NAME`."""
        return answer(200, view(await self._member(call)))

    async def dissociate(self, call: Call) -> Response:
        """`DELETE users/NAME`: out of the organization and its groups."""
        user = await self._member(call)
        await call.write(
            operations.DissociateUser(call.org, user.name),
            call.audit("user dissociate", user.name),
        )
        return answer(200, view(user))

    async def _member(self, call: Call) -> UserRecord:
        name = call.path["user"]
        belongs = await self._store.ask(identity_reads.is_associated, call.org, name)
        found = await self._store.ask(identity_reads.user, name) if belongs else None
        if found is None:
            raise not_found(f"no user {name} in the organization {call.org}")
        return found
