"""`/pushy/servers`: another server joins for the database of this one (an extension)."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
from starlette.responses import Response

from pushcli.errors import PushcliError
from pushcli_server import sealing
from pushcli_server.rest import content
from pushcli_server.rest.errors import Refused, answer
from pushcli_server.rest.request import Call
from pushcli_server.settings import Settings
from pushcli_server.shared_files import PURPOSE, Shared
from pushcli_server.store import reads
from pushcli_server.store.database import sqlite_file


class _NewServer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_.-]+\Z")]
    public_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class ServerHandlers:
    """Handlers for the servers of a database.

    Args:
        shared: what a new one gets; it reads files.
    """

    def __init__(self, settings: Settings, shared: Callable[[], Shared]) -> None:
        self._settings = settings
        self._shared = shared

    async def join(self, call: Call) -> Response:
        """`POST /pushy/servers`: what all servers share, for the reader of this key alone."""
        new = content.parse(call, _NewServer, "server")
        url = self._settings.database_url
        if not url or sqlite_file(url) is not None:
            raise Refused(
                409,
                ["this server keeps everything in a file, with which no other can work: "
                 "`pushcli server to-postgresql` moves it"],
            )  # fmt: skip
        try:
            shared = await asyncio.to_thread(self._shared)
        except PushcliError as error:
            raise Refused(409, [error.message]) from error
        try:
            sealed = sealing.seal(msgspec.json.encode(shared), new.public_key, PURPOSE)
        except ValueError as error:
            raise Refused(400, ["public_key is not a key"]) from error
        # Whoever reads the answer finds it in the database, where no proxy can write.
        detail = {reads.ANSWER: sealing.digest(sealed)}
        await call.write(call.audit(reads.JOIN, new.host, detail))
        return answer(200, {"sealed": sealed})
