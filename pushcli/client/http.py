"""Signed requests, over requests: only successes come back, the rest is raised as ours."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from pushcli import __version__, errors, keys, tls
from pushcli.client import refusals
from pushcli.client.credentials import Profile
from pushcli.protocol import names, signing
from pushcli.protocol.headers import EXTENSIONS
from pushcli.protocol.timestamps import format_iso8601

if TYPE_CHECKING:
    import ssl

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from pushcli.client.signer import Signer

Params = Mapping[str, str | list[str]]
"""Of a query; a list is the same parameter several times."""
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0


class _TrustAdapter(HTTPAdapter):
    """TLS as `tls.ServerTrust` says; urllib3 checks a pin before it sends anything."""

    def __init__(self, trust: tls.ServerTrust) -> None:
        self._tls: dict[str, Any] = {"ssl_context": tls.ssl_context(trust)}
        self._pool: type[HTTPSConnectionPool] | None = None
        if trust.fingerprint is not None:
            self._tls["assert_hostname"] = False
            if len(trust.pins) == 1:
                self._tls["assert_fingerprint"] = trust.pins[0]
            else:
                self._pool = _pinned_pool(trust)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, **self._tls})
        self._pin(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **{**kwargs, **self._tls})
        self._pin(manager)
        return manager

    def _pin(self, manager: Any) -> None:
        if self._pool is not None:
            schemes = manager.pool_classes_by_scheme
            manager.pool_classes_by_scheme = {**schemes, "https": self._pool}

    # Both would put requests' own CAs, or those of REQUESTS_CA_BUNDLE, over the context.

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context has it all."""


def _pinned_pool(trust: tls.ServerTrust) -> type[HTTPSConnectionPool]:
    """Connections that may show any of several certificates; urllib3 knows of one."""

    class Connection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            trust.check_pin(cast("ssl.SSLSocket", self.sock))
            self.is_verified = True

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool


class SignedSession:
    """Signs requests as one user or client of one organization, and sends them.

    Raises:
        ConfigError: plain HTTP over a network, or a name or key that cannot be used.
    """

    def __init__(self, profile: Profile, *, timeout: float = READ_TIMEOUT) -> None:
        tls.require_safe_url(profile.chef_server_url)
        self.base = profile.chef_server_url.rstrip("/")
        self._root = self.base.rpartition("/organizations/")[0]
        self._profile = profile
        self._timeout = timeout
        self._key = _key(profile)
        self._session = session(profile)
        self.extensions: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Of the user or client that signs."""
        return self._profile.client_name

    @property
    def signer(self) -> "Signer":
        """Signs statements about whitelists with the key that signs the requests."""
        from pushcli.client.signer import Signer  # noqa: PLC0415 - few commands need it

        org = self.base.rpartition("/organizations/")[2]
        return Signer(self._key, org=org, name=self._profile.client_name)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a request below the organization's URL; only a success comes back.

        A path that begins with `/` is outside of the organizations.

        Raises:
            PushcliError: everything else, as what it is.
        """
        try:
            response = self._send(method, self._url(path), params, body, headers or {})
        except requests.RequestException as error:
            raise refusals.of_failure(error, self.base) from error
        self.extensions = _extensions(response)
        if not response.ok or response.is_redirect:
            raise refusals.of_answer(response, self._profile, self.base)
        return response

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _url(self, path: str) -> str:
        return f"{self._root}{path}" if path.startswith("/") else f"{self.base}/{path}"

    def _send(
        self,
        method: str,
        url: str,
        params: Params | None,
        body: bytes,
        headers: dict[str, str],
    ) -> requests.Response:
        if body:
            headers = {"Content-Type": "application/json", **headers}
        request = self._session.prepare_request(
            requests.Request(method, url, params=params, data=body or None, headers=headers)
        )
        # What is signed is the path as it goes out: requests writes some in another way.
        target = request.url or url
        request.headers.update(self._signature(method, urlsplit(target).path, body))
        environment = self._session.merge_environment_settings(target, {}, None, None, None)
        return self._session.send(
            request,
            timeout=(CONNECT_TIMEOUT, self._timeout),
            # The next host would get a signature that was made for this one.
            allow_redirects=False,
            **environment,
        )

    def _signature(self, method: str, path: str, body: bytes) -> dict[str, str]:
        return signing.sign(
            self._key,
            method=method,
            path=path,
            body=body,
            user=self._profile.client_name,
            timestamp=format_iso8601(time.time()),
            version=self._profile.signing_version,
        )


def session(profile: Profile) -> requests.Session:
    """Connections to a profile's server that check it as the profile says."""
    base = profile.chef_server_url
    session = requests.Session()
    if urlsplit(base).scheme == "https":
        # Made only where it is needed: loading the system's CAs takes a while.
        trust = tls.ServerTrust(profile.ca_file, profile.fingerprint)
        session.mount("https://", _TrustAdapter(trust))
    # A proxy of the environment has no business with a server on this machine.
    session.trust_env = not tls.is_loopback_host(urlsplit(base).hostname or "")
    # Else requests would look for a password in ~/.netrc and send it along.
    session.auth = _unchanged
    session.headers["User-Agent"] = f"pushcli/{__version__}"
    return session


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _key(profile: Profile) -> "RSAPrivateKey":
    if not names.is_node_name(profile.client_name):
        raise errors.ConfigError(
            f"{profile.client_name!r} is no name of a user or client",
            f"check client_name of profile {profile.name!r}",
        )
    value = profile.client_key
    if value.lstrip().startswith("-----BEGIN"):
        return keys.private_key(value.encode(), "client_key in the credentials file")
    return keys.load_private_key(Path(value))


def _extensions(response: requests.Response) -> frozenset[str]:
    text = response.headers.get(EXTENSIONS, "")
    return frozenset(name.strip() for name in text.split(",") if name.strip())
