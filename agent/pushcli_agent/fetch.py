"""`python -m pushcli_agent.fetch`: asks the server for this node's configuration.

A child process, because TLS, HTTP and RSA would cost the agent 15 MiB for one request an
hour. It reads a `ConfigRequest` and prints a `ConfigAnswer`, both JSON.
"""

import http.client
import signal
import ssl
import sys
import urllib.parse
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from pushcli import __version__, extensions, keys, session_keys, signing, tls
from pushcli.errors import (
    AuthenticationError,
    PermissionDenied,
    PushcliError,
    ServerError,
    ServerUnreachable,
)
from pushcli_agent.config_request import ConfigAnswer, ConfigRequest
from pushcli_agent.core.configuration import ServerConfig

PATIENCE = 5.0
"""Seconds for the server's answer, as the old agent has it."""
_LIFE = 12
"""Seconds after which this process is ended, whatever it waits for."""
_MAX_ANSWER = 65_536

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]
_Threshold = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
_Address = Annotated[str, msgspec.Meta(pattern=r"^tcp://\S+:\d+$", max_length=512)]


class _Heartbeat(msgspec.Struct, frozen=True):
    out_addr: _Address
    command_addr: _Address
    interval: _Seconds
    offline_threshold: _Threshold
    online_threshold: _Threshold


class _PushJobs(msgspec.Struct, frozen=True):
    heartbeat: _Heartbeat


class _Answer(msgspec.Struct, frozen=True):
    """The body of the answer (Push Jobs protocol, section 4)."""

    host: str
    node: str
    push_jobs: _PushJobs
    public_key: str
    curve_public_key: Annotated[str, msgspec.Meta(min_length=40, max_length=40)]
    encoded_session_key: dict[str, str]
    lifetime: _Seconds
    incarnation_id: str
    max_message_skew: _Seconds = 300.0
    max_body_size: Annotated[int, msgspec.Meta(ge=4096, le=2**31)] = 65_536
    extensions: list[str] = []


def main() -> None:
    """Answer one request."""
    signal.alarm(_LIFE)
    try:
        answer = ConfigAnswer(
            config=fetch(msgspec.json.decode(sys.stdin.buffer.read(), type=ConfigRequest))
        )
    except PushcliError as error:
        answer = ConfigAnswer(error=str(error))
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
    return _configuration(_decode(body), key, request.node_name)


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
    return ServerUnreachable(f"cannot reach {where} ({_one_line(reason)})")


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
            return ServerError(
                f"the server answered {status} ({text})", "check chef_server_url in agent.toml"
            )


def _error_text(body: bytes) -> str:
    """What an error's body says."""
    try:
        error = msgspec.json.decode(body)["error"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        error = "no explanation"
    return _one_line(error[0] if isinstance(error, list) and error else error)


def _one_line(text: object) -> str:
    """What a peer said, short and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:300]).strip("?")


def _decode(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ServerError(
            f"the server's answer is no configuration ({_one_line(error)})",
            "check chef_server_url in agent.toml",
        ) from error


def _configuration(answer: _Answer, key: RSAPrivateKey, node: str) -> ServerConfig:
    if answer.node != node:
        raise ServerError(f"the server answered with the configuration of {answer.node!r}")
    numbers = _server_key(answer.public_key).public_numbers()
    heartbeat = answer.push_jobs.heartbeat
    return ServerConfig(
        host=answer.host,
        command_addr=heartbeat.command_addr,
        heartbeat_addr=heartbeat.out_addr,
        interval=heartbeat.interval,
        offline_threshold=heartbeat.offline_threshold,
        online_threshold=heartbeat.online_threshold,
        curve_public_key=answer.curve_public_key,
        session_key=_session_key(answer.encoded_session_key, key),
        modulus=numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big"),
        exponent=numbers.e,
        lifetime=answer.lifetime,
        max_message_skew=answer.max_message_skew,
        max_body_size=answer.max_body_size,
        incarnation_id=answer.incarnation_id,
        extensions=extensions.ALL.intersection(answer.extensions),
    )


def _server_key(pem: str) -> RSAPublicKey:
    try:
        return keys.load_public_key(pem)
    except (PushcliError, ValueError) as error:
        raise ServerError("the server's public key is no RSA key") from error


def _session_key(encoded: dict[str, str], key: RSAPrivateKey) -> bytes:
    try:
        return session_keys.decrypt(encoded, key)
    except ValueError as error:
        raise ServerError(
            f"the session key is unusable ({error})", "enroll the node again"
        ) from error


if __name__ == "__main__":
    main()
