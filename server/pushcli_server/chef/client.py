"""Asks a Chef Infra Server, beside the event loop."""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec

from pushcli.client.connection import Response
from pushcli.client.http import HttpClient, Requestor, Server
from pushcli.client.limits import Limits
from pushcli.errors import PushcliError
from pushcli.keys import load_private_key
from pushcli.protocol.chef_answers import ChefAway, ChefUnproven
from pushcli.protocol.headers import CHEF_VERSION
from pushcli.tls import NotPinned
from pushcli_server.askers import Askers
from pushcli_server.settings import Settings

TIMEOUT = 5.0
"""Seconds for a question, its wait for a turn included."""
TURNS = 16
"""Questions at a time."""
_UNSIGNED = dict.fromkeys(
    ("X-Ops-UserId", "X-Ops-Sign", "X-Ops-Timestamp", "X-Ops-Content-Hash"), ""
)
_MAX_ANSWER = 32 * 1024 * 1024
_NOTHING: Mapping[str, str] = {}


class ChefServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is, what proves it, and as whom we ask.

    Args:
        url: without an organization.
        direct_url: where `principals` is answered without a signature, on loopback.
        api_version: of a chef-client, as which we ask.
    """

    url: str
    user: str
    key: Path
    ca_file: Path | None = None
    fingerprint: str | None = None
    direct_url: str | None = None
    api_version: str = ""


def chef_server(directory: Path, settings: Settings) -> ChefServer:
    """What the settings say; files are relative to the server's directory."""
    return ChefServer(
        url=settings.chef_server_url.rstrip("/"),
        user=settings.chef_user,
        key=directory / settings.chef_key,
        ca_file=directory / settings.chef_ca_file if settings.chef_ca_file else None,
        fingerprint=settings.chef_fingerprint or None,
        direct_url=settings.chef_direct_url.rstrip("/") or None,
        api_version=settings.chef_api_version,
    )


class ChefClient:
    """Puts questions to it.

    Args:
        turns: questions at a time.
        timeout: seconds for a question, its wait for a turn included.

    Raises:
        ConfigError, KeyFileError: a URL, CA file or key that cannot be used.
    """

    def __init__(self, server: ChefServer, *, turns: int = TURNS, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        limits = Limits(
            connect=TIMEOUT, silence=timeout, total=timeout, size=_MAX_ANSWER, patience=0.0
        )
        requestor = Requestor(
            server.user, load_private_key(server.key), version="1.3", remedy="check chef_key"
        )
        place = Server(
            url=server.url, ca_file=server.ca_file, fingerprint=server.fingerprint,
            remedy="give chef_ca_file or chef_fingerprint",
        )  # fmt: skip
        self._version = {CHEF_VERSION: server.api_version} if server.api_version else {}
        self._signed = HttpClient(place, requestor, limits=limits)
        self._direct = None
        if server.direct_url is not None:
            self._direct = HttpClient(Server(url=server.direct_url), None, limits=limits)
        self._threads = Askers(turns)

    async def ask(
        self,
        org: str,
        *parts: str,
        unsigned: bool = False,
        query: Mapping[str, str] = _NOTHING,
        body: bytes = b"",
        method: Literal["GET", "POST", "PUT"] | None = None,
    ) -> Response:
        """Ask for what is below the organization; whatever the answer, it comes back.

        Args:
            unsigned: it needs no signature, so that it may be asked directly.
            body: of a question that takes one.
            method: POST where there is a body, else GET, unless it is given.

        Raises:
            ChefAway: there is no answer.
            ChefUnproven: its certificate is not trusted, or not the pinned one.
        """
        path = "/".join(quote(part, safe="") for part in ("", "organizations", org, *parts))
        direct = self._direct if unsigned else None
        client, headers = (self._signed, {}) if direct is None else (direct, _UNSIGNED)
        loop = asyncio.get_running_loop()
        headers = {**headers, **self._version}
        how = method or ("POST" if body else "GET")
        asked = loop.run_in_executor(self._threads, _ask, client, how, path, headers, query, body)
        try:
            return await asyncio.wait_for(asked, self._timeout)
        except TimeoutError:
            within = f"within {self._timeout:g} s"
            raise ChefAway(f"no answer from {client.base} {within}") from None
        except PushcliError as error:
            if isinstance(error.__cause__, (ssl.SSLCertVerificationError, NotPinned)):
                raise ChefUnproven(str(error)) from None
            raise ChefAway(error.message) from None

    def close(self) -> None:
        """Ask no more; what is under way is left to its end."""
        self._threads.shutdown()
        for client in (self._signed, self._direct):
            if client is not None:
                client.close()


def _ask(
    client: HttpClient,
    method: str,
    path: str,
    headers: dict[str, str],
    query: Mapping[str, str],
    body: bytes,
) -> Response:
    return client.answer(method, path, headers=headers, params=query, body=body)
