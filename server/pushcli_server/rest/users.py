"""`users`: those of the server, outside of the organizations."""

from typing import Any

import msgspec
from starlette.responses import Response

from pushcli_server.rest import content
from pushcli_server.rest.errors import answer, not_found
from pushcli_server.rest.pieces import mapping
from pushcli_server.rest.refusing import Needs, forbidden
from pushcli_server.rest.request import Call
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.records import UserRecord


class _User(msgspec.Struct, kw_only=True):
    """What a user is made from; passwords and other keys of Chef's are thrown away."""

    username: str | None = None
    name: str | None = None
    display_name: content.Text | None = None
    email: content.Text | None = None
    public_key: content.PublicKey | None = None
    create_key: bool = False
    private_key: bool | str | None = None
    superuser: bool | None = None


class UserHandlers:
    """Handlers for the users of the server."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def index(self, call: Call) -> Response:
        """`GET /users`."""
        found = await self._store.lists.ask(identity_reads.all_users)
        return await mapping(
            (name, content.url(call, self._settings, "users", name)) for name in found
        )

    async def create(self, call: Call) -> Response:
        """`POST /users`."""
        new = content.parse(call, _User, "user")
        name = content.require_name(new.username or new.name, "username")
        public_key, private_key = await content.first_key(call, new.public_key, new.create_key)
        user = operations.CreateUser(
            name=name,
            public_key=public_key,
            superuser=bool(new.superuser),
            display_name=new.display_name,
            email=new.email,
        )
        said = {"superuser": True} if user.superuser else None
        with content.making("User"):
            await call.write(user, call.audit("user create", name, said))
        uri = content.url(call, self._settings, "users", name)
        made = {"uri": uri, **content.key_fields(call, uri, public_key, private_key)}
        return answer(201, made, {"Location": uri})

    async def show(self, call: Call) -> Response:
        """`GET /users/NAME`."""
        return answer(200, view(await self._user(call)))

    async def update(self, call: Call) -> Response:
        """`PUT /users/NAME`; what is not given stays."""
        change = content.parse(call, _User, "user")
        present = await self._user(call)
        name = present.name
        content.require_same_name(change.username or change.name, name, "user")
        said: dict[str, Any] = {}
        if change.superuser not in {None, present.superuser}:
            if not call.principal.superuser:
                raise forbidden(call.principal, Needs("", "make superusers"))
            said["superuser"] = change.superuser
        for field in ("display_name", "email"):
            if getattr(change, field) not in {None, getattr(present, field)}:
                said[field] = getattr(change, field)
        ops: list[operations.Operation] = [operations.UpdateUser(name=name, **said)]
        public_key, private_key = await content.next_key(
            call,
            change.public_key,
            change.create_key or change.private_key is True,
            present.public_key,
        )
        if public_key is not None:
            said["public_key"] = public_key
            ops.append(operations.ReplaceKey(kind="user", org="", name=name, public_key=public_key))
        await call.write(*ops, call.audit("user update", name, said or None))
        made = {} if private_key is None else {"private_key": private_key}
        return answer(200, {**view(await self._user(call)), **made})

    async def delete(self, call: Call) -> Response:
        """`DELETE /users/NAME`: from every organization, at once."""
        present = await self._user(call)
        await call.write(
            operations.DeleteUser(present.name), call.audit("user delete", present.name)
        )
        return answer(200, view(present))

    async def _user(self, call: Call) -> UserRecord:
        name = call.path["user"]
        found = await self._store.ask(identity_reads.user, name)
        if found is None:
            raise not_found(f"no such user: {name}")
        return found


def view(user: UserRecord) -> dict[str, Any]:
    """A user, as in JSON."""
    shown: dict[str, Any] = {
        "username": user.name,
        "display_name": user.display_name or user.name,
        "email": user.email,
        "public_key": user.public_key,
    }
    if user.superuser:
        shown["superuser"] = True
    return shown
