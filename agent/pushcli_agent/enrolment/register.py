"""Telling the server of a new node: signed by the validator, or with an enrolment token."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import errors, keys
from pushcli.client import unsigned
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.protocol import enrolment, headers


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is, and what proves it."""

    url: str
    organization: str
    ca_file: Path | None = None
    fingerprint: str | None = None


class Validator(msgspec.Struct, frozen=True, kw_only=True):
    """The client that may register nodes; its name is ORG-validator if none is given."""

    key: Path
    name: str | None = None


class Token(msgspec.Struct, frozen=True):
    """What `pushcli node token create` printed."""

    text: str


def register(
    server: Server, credential: Validator | Token, node: str, key: RSAPrivateKey
) -> Mapping[str, Any]:
    """Register the public half of the node's key.

    Returns:
        The server's answer; what is in it is not checked.

    Raises:
        PushcliError: the server refused; it knows nothing of the node.
    """
    try:
        match credential:
            case Token(text):
                answer = _with_token(server, text, node, key)
            case Validator():
                answer = _as_validator(server, credential, node, key)
    except errors.Conflict as error:
        raise errors.Conflict(
            f"a client named {node} is registered already",
            "choose another --node-name, or have an administrator delete that client",
        ) from error
    return answer if isinstance(answer, dict) else {}


def _as_validator(server: Server, validator: Validator, node: str, key: RSAPrivateKey) -> Any:
    client = ApiClient(
        Profile(
            name="validator",
            chef_server_url=server.url,
            client_name=validator.name or f"{server.organization}-validator",
            client_key=str(validator.key),
            ca_file=server.ca_file,
            fingerprint=server.fingerprint,
        )
    )
    wanted = {"name": node, "public_key": keys.public_pem(key)}
    try:
        return client.post("clients", wanted, {headers.EDITORS: "1"})
    except errors.AuthenticationError as error:
        raise errors.AuthenticationError(
            error.message, "check --validator and --validator-name"
        ) from error
    finally:
        client.close()


def _with_token(server: Server, token: str, node: str, key: RSAPrivateKey) -> Any:
    wanted = {
        "token": token,
        "name": node,
        "public_key": keys.public_pem(key),
        "proof": enrolment.prove(key, org=server.organization, name=node, token=token),
    }
    try:
        return unsigned.post(
            server.url, "enroll", wanted, ca_file=server.ca_file, fingerprint=server.fingerprint
        )
    except errors.PermissionDenied as error:
        raise errors.PermissionDenied(
            error.message, "have a new token made: `pushcli node token create`"
        ) from error
    except errors.NotFound as error:
        raise errors.NotFound(
            error.message, "check the URL; an old server takes --validator only"
        ) from error
