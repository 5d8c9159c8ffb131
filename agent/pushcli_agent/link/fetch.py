"""`python -m pushcli_agent.link.fetch`: asks the server for this node's configuration.

A child process, because TLS, HTTP and RSA would cost the agent 15 MiB for one request an
hour. It reads a `ConfigRequest` and prints a `ConfigReply`, both JSON.
"""

import http.client
import signal
import ssl
import sys
import urllib.parse
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import __version__, keys, tls
from pushcli.errors import (
    AuthenticationError,
    PermissionDenied,
    PushcliError,
    ServerError,
    ServerUnreachable,
)
from pushcli.protocol import extensions, signing
from pushcli_agent import facts
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.link.config_answer import one_line, server_config
from pushcli_agent.link.config_request import ConfigReply, ConfigRequest

PATIENCE = 5.0
"""Seconds for the server's answer, as the old agent has it."""
_LIFE = 12
"""Seconds after which this process is ended, whatever it waits for."""
_MAX_ANSWER = 65_536


def main() -> None:
    """Answer one request."""
    signal.alarm(_LIFE)
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=ConfigRequest)
        answer = ConfigReply(
            config=fetch(request),
            facts=facts.collect(request.roles, request.tags, request.attributes),
        )
    except PushcliError as error:
        answer = ConfigReply(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


def fetch(request: ConfigRequest) -> ServerConfig:
    """Ask, verify and decrypt.

    Raises:
        PushcliError: no usable answer; the text says why and what to do.
    """
    key = keys.load_private_key(Path(request.client_key))
    status, body = _get(request, key)
    if status != HTTPStatus.OK:
        raise _refusal(status, body, request.node_name)
    return server_config(body, key, request.node_name)


def _get(request: ConfigRequest, key: RSAPrivateKey) -> tuple[int, bytes]:
    tls.require_safe_url(request.chef_server_url)
    url = urllib.parse.urlsplit(request.chef_server_url)
    path = signing.canonical_path(f"{url.path}/pushy/config/{request.node_name}")
    headers = signing.sign(
        key,
        method="GET",
        path=path,
        body=b"",
        user=request.node_name,
        timestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        version=request.signing_version,
    )
    trust = tls.ServerTrust(Path(request.ca_file) if request.ca_file else None, request.fingerprint)
    connection = _connection(url, trust)
    try:
        return _exchange(connection, trust, f"{path}?{_query(request)}", headers)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(error, f"{url.scheme}://{url.netloc}") from error
    finally:
        connection.close()


def _query(request: ConfigRequest) -> str:
    return urllib.parse.urlencode(
        [
            ("ccpk", request.curve_public_key),
            ("version", "2.0"),
            ("client", f"pushcli/{__version__}"),
            ("extensions", extensions.render(extensions.ALL)),
            *(("adopts", job_id) for job_id in request.adopts),
        ]
    )


def _exchange(
    connection: http.client.HTTPConnection,
    trust: tls.ServerTrust,
    target: str,
    headers: dict[str, str],
) -> tuple[int, bytes]:
    connection.connect()
    if isinstance(connection.sock, ssl.SSLSocket):
        trust.check_pin(connection.sock)
    connection.request("GET", target, headers={"Accept": "application/json", **headers})
    response = connection.getresponse()
    return response.status, response.read(_MAX_ANSWER)


def _connection(
    url: urllib.parse.SplitResult, trust: tls.ServerTrust
) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "http":
        return http.client.HTTPConnection(host, url.port, timeout=PATIENCE)
    context = tls.ssl_context(trust)
    return http.client.HTTPSConnection(host, url.port, timeout=PATIENCE, context=context)


def _unreachable(error: Exception, where: str) -> PushcliError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ServerUnreachable(
            f"the certificate of {where} is not trusted ({error.verify_message})",
            "set ca_file or fingerprint in agent.toml",
        )
    if isinstance(error, TimeoutError):
        return ServerUnreachable(f"{where} did not answer within {PATIENCE:g} s")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ServerUnreachable(f"cannot reach {where} ({one_line(reason)})")


def _refusal(status: int, body: bytes, node: str) -> PushcliError:
    text = _error_text(body)
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return AuthenticationError(
                f"the server does not accept the key of {node} (401: {text})",
                "enroll the node, or put its clock right",
            )
        case HTTPStatus.FORBIDDEN:
            return PermissionDenied(f"the server refuses a configuration for {node} (403: {text})")
        case _:
            remedy = "check chef_server_url in agent.toml" if status < 500 else ""
            return ServerError(f"the server answered {status} ({text})", remedy)


def _error_text(body: bytes) -> str:
    """What an error's body says."""
    try:
        error = msgspec.json.decode(body)["error"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        error = "no explanation"
    return one_line(error[0] if isinstance(error, list) and error else error)


if __name__ == "__main__":
    main()
