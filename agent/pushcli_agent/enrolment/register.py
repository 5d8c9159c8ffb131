"""Registering a new node with the server: signed by the validator, or with an enrolment token."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import errors, keys
from pushcli.client.answers import decoded
from pushcli.client.http import HttpClient, Requestor, Server
from pushcli.protocol import enrolment, headers, signing
from pushcli_agent import config


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
            f"a client named {node} is already registered",
            "choose another --node-name, or have an administrator delete that client",
        ) from error
    return answer if isinstance(answer, dict) else {}


def _as_validator(server: Server, validator: Validator, node: str, key: RSAPrivateKey) -> Any:
    requestor = Requestor(
        validator.name or f"{_organization(server)}-validator",
        keys.load_private_key(validator.key),
        version=signing.DEFAULT_VERSION,
        remedy="check --validator and --validator-name",
    )
    wanted = {"name": node, "public_key": keys.public_pem(key)}
    return _post(HttpClient(server, requestor), "clients", wanted, {headers.EDITORS: "1"})


def _with_token(server: Server, token: str, node: str, key: RSAPrivateKey) -> Any:
    proof = enrolment.prove(key, org=_organization(server), name=node, token=token)
    wanted = {
        "token": token, "name": node, "public_key": keys.public_pem(key), "proof": proof,
    }  # fmt: skip
    try:
        return _post(HttpClient(server, None), "enroll", wanted)
    except errors.PermissionDenied as error:
        raise errors.PermissionDenied(
            error.message, "get a new token: `pushcli node token create`"
        ) from error
    except errors.NotFound as error:
        raise errors.NotFound(
            error.message, "check the URL; an old server accepts --validator only"
        ) from error


def _post(
    client: HttpClient, path: str, value: object, more: Mapping[str, str] | None = None
) -> Any:
    sent = {"Accept": "application/json", **(more or {})}
    with contextlib.closing(client):
        body = msgspec.json.encode(value)
        return decoded(client.request("POST", path, body=body, headers=sent).content)


def _organization(server: Server) -> str:
    return config.check_server_url(server.url)
