"""What a server's refusal, or no answer at all, means to the user: one error of ours each."""

from typing import TYPE_CHECKING

import requests
import urllib3

from pushcli import errors
from pushcli.escape import escape_line
from pushcli.protocol.headers import VERSION

if TYPE_CHECKING:
    from pushcli.client.credentials import Profile

MAX_TEXT = 500
"""Characters of a server's text that are shown."""


def of_failure(error: requests.RequestException, base: str) -> errors.PushcliError:
    """The error for a request that got no answer from `base`."""
    match error:
        case requests.exceptions.SSLError():
            why, remedy = _certificate(error)
        case requests.exceptions.ConnectTimeout():
            why = "no connection in time"
            remedy = "is the URL right, and does every firewall let it through?"
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidProxyURL():
            return errors.ConfigError(f"cannot use {base}: {_cause(error)}", "check the URL")
        case requests.exceptions.ProxyError():
            why = f"the proxy fails: {_cause(error)}"
            remedy = "check HTTPS_PROXY, or name the server in NO_PROXY"
        case requests.Timeout():
            return errors.ConnectionLost(
                f"cannot reach {base}: no answer in time", "try again; is it overloaded?"
            )
        case _ if _was_sent(error):
            return errors.ConnectionLost(
                f"cannot reach {base}: the connection broke: {_cause(error)}", "is it running?"
            )
        case _:
            why, remedy = _cause(error), "is it running, and is the URL right?"
    return errors.ServerUnreachable(f"cannot reach {base}: {why}", remedy)


def of_answer(response: requests.Response, profile: "Profile", base: str) -> errors.PushcliError:
    """The error for an answer that is no success."""
    text = error_text(response)
    match response.status_code:
        case 401 if "clock" in text:
            return errors.AuthenticationError(text)
        case 401:
            remedy = f"check client_name and client_key of profile {profile.name!r}"
            return errors.AuthenticationError(text or "the server refused the signature", remedy)
        case 403:
            remedy = "ask an administrator for the group that it needs"
            return errors.PermissionDenied(text or "not allowed", remedy)
        case 404:
            return errors.NotFound(text or "not found", f"check the name, and the URL {base}")
        case 409 if response.headers.get(VERSION, "").isdecimal():
            return errors.Outdated(text, int(response.headers[VERSION]))
        case code if 400 <= code < 500:
            reason = text or "it does not say why"
            kind = errors.Conflict if code == 409 else errors.RequestRefused
            return kind(f"the server refused the request ({code}): {reason}")
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
    return escape_line("; ".join(str(text) for text in texts)[:MAX_TEXT]).rstrip(".")


def _certificate(error: requests.exceptions.SSLError) -> tuple[str, str]:
    text = str(error)
    if "ingerprint" in text:
        remedy = "if it was renewed on purpose, pin the new fingerprint"
        return "its certificate is not the pinned one", remedy
    if "CERTIFICATE_VERIFY_FAILED" in text:
        remedy = "give ca_file or fingerprint in the profile"
        return f"its certificate is not trusted ({_cause(error)})", remedy
    return f"no TLS: {_cause(error)}", "is it https there, and the right port?"


def _was_sent(error: requests.RequestException) -> bool:
    """Whether it broke while the answer was awaited or read, not before."""
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return True
    reason = error.args[0] if error.args else None
    return isinstance(reason, urllib3.exceptions.ProtocolError)


def _cause(error: BaseException) -> str:
    """The innermost words for what went wrong."""
    for _ in range(10):
        error = error.__cause__ or error.__context__ or error
    text = (
        getattr(error, "verify_message", None)
        or getattr(error, "strerror", None)
        or str(error)
        or type(error).__name__
    )
    return escape_line(str(text)[:MAX_TEXT]).lower()
