"""`keys` of a client, and of a user: several at a time, so that they can be renewed."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import limits
from pushcli.protocol.timestamps import format_iso8601
from pushcli_server.admission import AdmissionService
from pushcli_server.rest import content
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.request import Call
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads, operations
from pushcli_server.store.records import KeyRecord

FOREVER = "infinity"
"""The end of the year 9999, in seconds since the epoch."""


class _NewKey(msgspec.Struct, kw_only=True):
    name: str
    public_key: content.PublicKey | None = None
    create_key: bool = False
    expiration_date: str = FOREVER


class _Change(msgspec.Struct, kw_only=True):
    name: str | None = None
    public_key: content.PublicKey | None = None
    create_key: bool = False
    expiration_date: str | None = None


class KeyHandlers:
    """Handlers for the keys of clients, or of users.

    Args:
        kind: `client` or `user`, which is also what the path calls its name.
    """

    def __init__(
        self, store: Store, settings: Settings, kind: str, admission: AdmissionService
    ) -> None:
        self._store = store
        self._settings = settings
        self._kind = kind
        self._admission = admission

    async def index(self, call: Call) -> Response:
        """`GET .../keys`."""
        found = await self._keys(call)
        return answer(
            200,
            [
                {
                    "name": key.key_name,
                    "uri": self._url(call, key.key_name),
                    "expired": key.expires_at is not None and key.expires_at <= call.at,
                }
                for key in found
            ],
        )

    async def create(self, call: Call) -> Response:
        """`POST .../keys`: one more."""
        new = content.parse(call, _NewKey, "key")
        await self._keys(call)
        name = content.require_name(new.name)
        expires_at = _expiry(new.expiration_date)
        public_key, private_key = await content.another_key(call, new.public_key, new.create_key)
        kind, org, owner = self._owner(call)
        with content.making("Key"):
            await call.write(
                operations.AddKey(
                    kind=kind,
                    org=org,
                    name=owner,
                    key_name=name,
                    public_key=public_key,
                    expires_at=expires_at,
                ),
                call.audit("key add", owner, {"kind": kind, "key": name, "expires": expires_at}),
            )
        uri = self._url(call, name)
        made = {} if private_key is None else {"private_key": private_key}
        return answer(201, {"uri": uri, **made}, {"Location": uri})

    async def show(self, call: Call) -> Response:
        """`GET .../keys/KEY`."""
        return answer(200, _view(await self._key(call)))

    async def update(self, call: Call) -> Response:
        """`PUT .../keys/KEY`: another expiry, or another key under this name."""
        change = content.parse(call, _Change, "key")
        present = await self._key(call)
        content.require_same_name(change.name, present.key_name, "key")
        expires_at = (
            present.expires_at
            if change.expiration_date is None
            else _expiry(change.expiration_date)
        )
        public_key, private_key = await content.next_key(
            call, change.public_key, change.create_key, present.public_key
        )
        kind, org, owner = self._owner(call)
        said = {"kind": kind, "key": present.key_name, "expires": expires_at}
        if public_key is not None:
            said["public_key"] = public_key
        await call.write(
            operations.UpdateKey(
                kind=kind,
                org=org,
                name=owner,
                key_name=present.key_name,
                expires_at=expires_at,
                public_key=public_key,
                now=call.at,
            ),
            call.audit("key update", owner, said),
        )
        if public_key is not None or (expires_at is not None and expires_at <= call.at):
            await self._end_connections(call)
        made = {} if private_key is None else {"private_key": private_key}
        return answer(200, {**_view(await self._key(call)), **made})

    async def delete(self, call: Call) -> Response:
        """`DELETE .../keys/KEY`: it counts no more, at once; the last valid one stays."""
        key = await self._key(call)
        kind, org, owner = self._owner(call)
        await call.write(
            operations.DeleteKey(kind, org, owner, key.key_name, now=call.at),
            call.audit("key delete", owner, {"kind": kind, "key": key.key_name}),
        )
        await self._end_connections(call)
        return answer(200, _view(key))

    async def _end_connections(self, call: Call) -> None:
        """A key counts no more: nor does who was admitted by it."""
        if self._kind == "client":
            await self._admission.keys_revoked(call.org, call.path["client"])

    def _owner(self, call: Call) -> tuple[str, str, str]:
        """Kind, organization (empty for a user) and name."""
        return self._kind, call.org, call.path[self._kind]

    def _url(self, call: Call, key_name: str) -> str:
        owner = call.path[self._kind]
        return content.url(call, self._settings, f"{self._kind}s", owner, "keys", key_name)

    async def _keys(self, call: Call) -> list[KeyRecord]:
        kind, org, owner = self._owner(call)
        known = (
            await self._store.ask(identity_reads.user_exists, owner)
            if kind == "user"
            else await self._store.ask(identity_reads.client_exists, org, owner)
        )
        if not known:
            raise not_found(f"no such {kind}: {owner}")
        return await self._store.ask(identity_reads.keys, kind, org, owner)

    async def _key(self, call: Call) -> KeyRecord:
        name = call.path["key"]
        for key in await self._keys(call):
            if key.key_name == name:
                return key
        raise not_found(f"no such key: {name}")


def _view(key: KeyRecord) -> dict[str, Any]:
    return {
        "name": key.key_name,
        "public_key": key.public_key,
        "expiration_date": FOREVER if key.expires_at is None else format_iso8601(key.expires_at),
    }


def _expiry(text: str) -> float | None:
    """Seconds since the epoch; None: never."""
    if text == FOREVER:
        return None
    try:
        moment = datetime.fromisoformat(text)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        at = -1.0
    if not 0 <= at <= limits.LAST_MOMENT:
        raise Refused(400, [f"expiration_date must be {FOREVER}, or like 2026-11-23T20:00:00Z"])
    return at
