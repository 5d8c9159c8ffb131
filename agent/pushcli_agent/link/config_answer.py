"""The server's configuration answer: checked, decrypted, reduced to what the agent needs.

Runs in the child that fetches it (Push Jobs protocol, section 4).
"""

from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from pushcli import keys
from pushcli.errors import PushcliError, ServerError
from pushcli.protocol import extensions, session_keys, wire
from pushcli_agent.core.configuration import ServerConfig

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]
_Interval = Annotated[float, msgspec.Meta(ge=0.01, le=10_000_000)]
"""As the server's own settings have it: shorter ones would keep the agent busy."""
_CurveKey = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")]
"""Z85."""
_Splay = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
"""As the server's own settings have it."""
_Threshold = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
_Address = Annotated[str, msgspec.Meta(pattern=r"^tcp://\S+:\d+$", max_length=512)]


class _Heartbeat(msgspec.Struct, frozen=True):
    out_addr: _Address
    command_addr: _Address
    interval: _Interval
    offline_threshold: _Threshold
    online_threshold: _Threshold
    quiet_interval: _Interval | None = None


class _PushJobs(msgspec.Struct, frozen=True):
    heartbeat: _Heartbeat


class _Answer(msgspec.Struct, frozen=True):
    """The body of the answer (Push Jobs protocol, section 4)."""

    host: str
    node: str
    push_jobs: _PushJobs
    public_key: str
    curve_public_key: _CurveKey
    encoded_session_key: dict[str, str]
    lifetime: _Seconds
    incarnation_id: str
    max_message_skew: _Seconds = 300.0
    max_body_size: Annotated[int, msgspec.Meta(ge=4096, le=2**31)] = wire.MAX_BODY_FROM_AGENT
    extensions: list[str] = []
    reconfigure_splay: _Splay | None = None


def server_config(body: bytes, key: RSAPrivateKey, node: str) -> ServerConfig:
    """The configuration in the body of an answer.

    Args:
        key: the node's, for which the session key is encrypted.

    Raises:
        ServerError: it makes no sense, or is for another node or key.
    """
    return _configuration(_decode(body), key, node)


def one_line(text: object) -> str:
    """What a peer said, short and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:300]).strip("?")


def _decode(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ServerError(
            f"the server's answer is not a configuration ({one_line(error)})",
            "check chef_server_url in agent.toml",
        ) from error


def _configuration(answer: _Answer, key: RSAPrivateKey, node: str) -> ServerConfig:
    if answer.node != node:
        raise ServerError(f"the server answered with the configuration of {answer.node!r}")
    numbers = _server_key(answer.public_key).public_numbers()
    heartbeat = answer.push_jobs.heartbeat
    agreed = extensions.ALL.intersection(answer.extensions)
    quiet = heartbeat.quiet_interval if extensions.QUIET in agreed else None
    splay = answer.reconfigure_splay if extensions.SPLAY in agreed else None
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
        extensions=agreed,
        quiet_interval=quiet or 0.0,
        reconfigure_splay=splay or 0.0,
    )


def _server_key(pem: str) -> RSAPublicKey:
    try:
        return keys.load_public_key(pem)
    except (PushcliError, ValueError) as error:
        raise ServerError("the server's public key is not an RSA key") from error


def _session_key(encoded: dict[str, str], key: RSAPrivateKey) -> bytes:
    try:
        return session_keys.decrypt(encoded, key)
    except ValueError as error:
        raise ServerError(
            f"the session key is unusable ({error})", "enroll the node again"
        ) from error
