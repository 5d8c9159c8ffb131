"""What a server's refusal, or no answer at all, means to the user: one error of ours each.

The one place where failures of HTTP are translated, for operators and agents alike.
"""

import http.client
import json
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pushcli import errors, tls
from pushcli.escape import escape_line
from pushcli.protocol.headers import ADMIN, EXTENSIONS, FROZEN, NEEDS, VERSION
from pushcli.protocol.names import is_node_name

if TYPE_CHECKING:
    from pushcli.client.connection import Response
    from pushcli.client.limits import Deadline

_PROBE = 2.0
"""Seconds."""
_QUERY_REMEDY = "write it like 'role:web* AND NOT platform:debian', in quotes"
_LONGEST = 1e9
"""Seconds that a server may ask to wait; nobody waits so long, but it is a number."""
MAX_TEXT = 500
"""Characters of a server's text that are shown."""


def of_connecting(
    error: Exception, base: str, trust_remedy: str, deadline: "Deadline", *, proxied: bool
) -> errors.PushcliError:
    """The error where no connection came about: nothing was sent.

    Args:
        base: the URL.
        trust_remedy: what to do where its certificate is not trusted.
        proxied: whether a proxy stands between.
    """
    kind = errors.ServerUnreachable
    match error:
        case tls.NotPinned():
            kind, why = errors.NotTrusted, "its certificate is not the pinned one"
            remedy = "if it was renewed on purpose, pin the new fingerprint"
        case ssl.SSLCertVerificationError():
            kind, remedy = errors.NotTrusted, trust_remedy
            why = f"its certificate is not trusted ({_cause(error)})"
        case ssl.SSLError():
            why = f"TLS failed: {_cause(error)}"
            remedy = "check that it is https, and the port"
        case UnicodeError() | http.client.InvalidURL():
            return errors.ConfigError(f"cannot use {base}: {_cause(error)}", "check the URL")
        case _ if proxied:
            why = f"the proxy failed: {_cause(error)}"
            remedy = "check HTTPS_PROXY, or name the server in NO_PROXY"
        case TimeoutError():
            why = f"no connection within {deadline.exceeded:g} s"
            remedy = "is the URL right, and does every firewall let it through?"
        case _:
            why, remedy = _cause(error), "is it running, and is the URL right?"
    return kind(f"cannot reach {base}: {why}", remedy)


def of_exchange(error: Exception, base: str, deadline: "Deadline") -> errors.PushcliError:
    """The error where a request went out and no answer, or half of one, came back."""
    if isinstance(error, TimeoutError):
        return errors.ConnectionLost(
            f"cannot reach {base}: no answer within {deadline.exceeded:g} s",
            "try again; is it overloaded?",
        )
    if base.startswith("http:") and _speaks_tls(base):
        return errors.ConnectionLost(
            f"cannot reach {base}: this is an https server", f"give https:{base[len('http:') :]}"
        )
    return errors.ConnectionLost(
        f"cannot reach {base}: the connection broke: {_cause(error)}", "is it running?"
    )


def _speaks_tls(base: str) -> bool:
    """Whether who listens there answers a TLS handshake; nothing of ours is sent."""
    url = urlsplit(base)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((url.hostname or "", url.port or 80), _PROBE) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


def of_answer(response: "Response", base: str, remedy: str, name: str = "") -> errors.PushcliError:
    """The error for an answer that is no success.

    Args:
        remedy: what to do where the server does not accept the signature.
        name: of who asked.
    """
    text = error_text(response.content)
    if (failed := _of_proxy(response)) is not None:
        return failed
    match response.status:
        case 401 if "clock" in text:
            return errors.AuthenticationError(text)
        case 401:
            return errors.AuthenticationError(text or "the server refused the signature", remedy)
        case 403 if (needs := _needs(response.headers.get(NEEDS, ""))) is not None:
            group, who, action = needs
            if not group:
                return errors.PermissionDenied(
                    f"{name} may not {action}: only superusers of the server may",
                    "run it as one: -u NAME -k KEY",
                )
            return errors.PermissionDenied(
                f"{name} may not {action} (group {group})",
                _joining(f"pushcli group add {group} --{who} {name}", response),
            )
        case 403:
            remedy = "ask an administrator to add you to the group that may"
            return errors.PermissionDenied(text or "not allowed", remedy)
        case 404:
            return errors.NotFound(text or "not found", f"check the name, and the URL {base}")
        case 409 if response.headers.get(VERSION, "").isdecimal():
            return errors.Outdated(text, int(response.headers[VERSION]))
        case 406 if text == "invalid-x-ops-server-api-version":
            return errors.UnknownApiVersion(
                "the server does not speak this version of Chef's server API", "upgrade it"
            )
        case code if 400 <= code < 500:
            reason = text or "no reason given"
            kind = errors.Conflict if code == 409 else errors.RequestRefused
            remedy = _QUERY_REMEDY if text.startswith("invalid search query") else ""
            return kind(f"the server refused the request ({code}): {reason}", remedy)
        case 503 if response.headers.get(FROZEN) == "1":
            remedy = "when that is over, an administrator runs `pushcli job unfreeze`"
            return errors.Frozen(text or "no job starts: they are frozen", remedy)
        case 503 if (after := _retry_after(response.headers.get("Retry-After", ""))) is not None:
            remedy = "" if "try again" in text else "try again later"
            return errors.Busy(f"the server failed (503): {text or 'it is busy'}", remedy, after)
        case code if 300 <= code < 400:
            return errors.ServerError(
                f"the server answered with a redirect ({code})", "give its final URL"
            )
        case code:
            return errors.ServerError(
                f"the server failed ({code})" + (f": {text}" if text else ""), "see its log"
            )


def _of_proxy(response: "Response") -> errors.PushcliError | None:
    """The error where a proxy answered with a page of its own; None: it did not."""
    kind = response.headers.get("Content-Type", "")
    if response.headers.get(EXTENSIONS) or not kind.lower().startswith("text/html"):
        return None
    front = "a proxy before the server"
    match response.status:
        case 413:
            return errors.RequestRefused(
                f"{front} takes no request as large as this (413)",
                "raise its limit (nginx: client_max_body_size)",
            )
        case 414 | 431:
            return errors.RequestRefused(
                f"{front} takes no headers as long as these ({response.status})",
                "raise its limit (nginx: large_client_header_buffers), or name fewer nodes",
            )
        case 502 | 503:
            return errors.BadGateway(
                f"{front} cannot reach it ({response.status})",
                "is the server running, where the proxy looks for it?",
            )
        case 504:
            return errors.BadGateway(
                f"{front} got no answer from it in time (504)",
                "what was asked for may be done; see the server's log",
            )
    return None


def _retry_after(text: str) -> float | None:
    """Seconds; None: it names none. Of a date nothing is made: clocks differ."""
    digits = text.strip()
    return min(float(digits), _LONGEST) if digits.isascii() and digits.isdecimal() else None


def _joining(command: str, response: "Response") -> str:
    """How one gets into the group: an administrator need not ask anybody."""
    if response.headers.get(ADMIN) == "1":
        return f"you are an administrator: run `{command}`"
    return f"ask an administrator to run `{command}`"


def _needs(text: str) -> tuple[str, str, str] | None:
    """Group, kind and action that a refusal names; None: it does not.

    Without a group it takes a superuser.
    """
    group, _, rest = text.partition("; ")
    kind, _, action = rest.partition("; ")
    if (group and not is_node_name(group)) or kind not in {"user", "client"} or not action:
        return None
    return group, kind, escape_line(action[:MAX_TEXT])


def error_text(body: bytes) -> str:
    """What the server says went wrong: `{"error": "text"}` or a list of texts; else nothing."""
    try:
        # Not msgspec: an old server may send lone surrogates.
        error = json.loads(body)["error"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""
    texts = error if isinstance(error, list) else [error]
    return escape_line("; ".join(str(text) for text in texts)[:MAX_TEXT]).rstrip(".")


def _cause(error: Exception) -> str:
    """The words for what went wrong."""
    text = (
        getattr(error, "verify_message", None)
        or getattr(error, "strerror", None)
        or str(error)
        or type(error).__name__
    )
    return escape_line(str(text)[:MAX_TEXT]).lower()
