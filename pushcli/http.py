"""Signed requests over requests: every failure becomes an error of ours, in one place."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from pushcli import __version__, errors, keys, signing, tls
from pushcli.credentials import Profile
from pushcli.render.escape import escape_line
from pushcli.timestamps import format_iso8601

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
MAX_ERROR_TEXT = 500


class _TrustAdapter(HTTPAdapter):
    """TLS as `tls.ServerTrust` says; urllib3 checks a pin before it sends anything."""

    def __init__(self, trust: tls.ServerTrust) -> None:
        self._trust = trust
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs["ssl_context"] = tls.ssl_context(self._trust)
        if self._trust.fingerprint is not None:
            kwargs["assert_fingerprint"] = tls.pin_digest(self._trust.fingerprint)
            kwargs["assert_hostname"] = False
        super().init_poolmanager(*args, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context has it all; requests would put its own bundle of CAs over it."""


class SignedSession:
    """Signs requests as one user or client of one organization, and sends them.

    Raises:
        ConfigError: plain HTTP over a network, or a key that cannot be used.
    """

    def __init__(self, profile: Profile, *, timeout: float = READ_TIMEOUT) -> None:
        tls.require_safe_url(profile.chef_server_url)
        self.base = profile.chef_server_url.rstrip("/")
        self._profile = profile
        self._timeout = timeout
        self._key = _key(profile.client_key)
        self._session = requests.Session()
        trust = tls.ServerTrust(profile.ca_file, profile.fingerprint)
        self._session.mount("https://", _TrustAdapter(trust))
        # A proxy of the environment has no business with a server on this machine.
        host = urlsplit(self.base).hostname or ""
        self._session.trust_env = not tls.is_loopback_host(host)
        self._session.headers["User-Agent"] = f"pushcli/{__version__}"
        self.extensions: frozenset[str] = frozenset()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a request below the organization's URL; only a success comes back.

        Raises:
            PushcliError: everything else, as what it is.
        """
        url = f"{self.base}/{path}"
        signed = signing.sign(
            self._key,
            method=method,
            path=urlsplit(url).path,
            body=body,
            user=self._profile.client_name,
            timestamp=format_iso8601(time.time()),
            version=self._profile.signing_version,
        )
        response = self._send(method, url, params, body, {**signed, **(headers or {})})
        self.extensions = _extensions(response)
        if not response.ok or response.is_redirect:
            raise _refusal(response, self._profile, self.base)
        return response

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _send(
        self,
        method: str,
        url: str,
        params: dict[str, str] | None,
        body: bytes,
        headers: dict[str, str],
    ) -> requests.Response:
        if body:
            headers = {"Content-Type": "application/json", **headers}
        try:
            return self._session.request(
                method,
                url,
                params=params,
                data=body or None,
                headers=headers,
                timeout=(CONNECT_TIMEOUT, self._timeout),
                # The next host would get a signature that was made for this one.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _unreachable(error, self.base) from error


def _key(value: str) -> Any:
    if value.lstrip().startswith("-----BEGIN"):
        return keys.private_key(value.encode(), "the credentials file")
    return keys.load_private_key(Path(value))


def _extensions(response: requests.Response) -> frozenset[str]:
    text = response.headers.get("X-Pushcli-Extensions", "")
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _unreachable(error: requests.RequestException, base: str) -> errors.PushcliError:
    match error:
        case requests.exceptions.SSLError() if "ingerprint" in str(error):
            why = "its certificate is not the pinned one"
            remedy = "if it was renewed on purpose, pin the new fingerprint"
        case requests.exceptions.SSLError():
            why = "its certificate is not trusted"
            remedy = "give ca_file or fingerprint in the profile"
        case requests.Timeout():
            why, remedy = "no answer in time", "is it overloaded? check with `pushcli node status`"
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidHeader():
            return errors.ConfigError(f"cannot use {base}: {error}", "check the profile")
        case _:
            why = _cause(error)
            remedy = "is it running, and is the URL right?"
    return errors.ServerUnreachable(f"cannot reach {base}: {why}", remedy)


def _cause(error: BaseException) -> str:
    """The innermost words for what went wrong."""
    seen = 0
    while (error.__context__ or error.__cause__) is not None and seen < 10:
        error = error.__cause__ or error.__context__ or error
        seen += 1
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return escape_line(str(text)[:MAX_ERROR_TEXT]).lower()


def _refusal(response: requests.Response, profile: Profile, base: str) -> errors.PushcliError:
    text = error_text(response)
    match response.status_code:
        case 401:
            remedy = f"check client_name and client_key of profile {profile.name!r}"
            return errors.AuthenticationError(text or "the server refused the signature", remedy)
        case 403:
            remedy = "ask an administrator for the group that it needs"
            return errors.PermissionDenied(text or "not allowed", remedy)
        case 404:
            return errors.NotFound(text or "not found", f"check the name, and the URL {base}")
        case code if 400 <= code < 500:
            return errors.RequestRefused(f"the server refused the request ({code}): {text}")
        case code if 300 <= code < 400:
            return errors.ServerError(
                f"the server answered with a redirect ({code})", "give its final URL"
            )
        case code:
            return errors.ServerError(
                f"the server failed ({code})" + (f": {text}" if text else ""), "see its log"
            )


def error_text(response: requests.Response) -> str:
    """What the server says went wrong: `{"error": "text"}` or a list of texts; else nothing."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    texts = error if isinstance(error, list) else [error]
    return escape_line("; ".join(str(text) for text in texts)[:MAX_ERROR_TEXT]).rstrip(".")
