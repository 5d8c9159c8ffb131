"""Registering a new node with the server: signed by the validator, or with an enrolment token."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import errors, keys
from pushcli.client.answers import checked, decoded
from pushcli.client.connection import Response
from pushcli.client.http import API, HttpClient, Requestor, Server
from pushcli.client.limits import Limits
from pushcli.client.paths import quoted
from pushcli.protocol import chef_answers, enrolment, headers, signing
from pushcli_agent import config

T = TypeVar("T")
_LIMITS = Limits(silence=30.0, total=60.0, size=1024 * 1024)
_BEFORE_KEYS_HAD_NAMES = "0"
"""The version of Chef's server API that every one of them speaks."""


class Validator(msgspec.Struct, frozen=True, kw_only=True):
    """The client that may register nodes; its name is ORG-validator if none is given."""

    key: Path
    name: str | None = None


class Token(msgspec.Struct, frozen=True):
    """What `pushcli node token create` printed."""

    text: str


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Args:
        editors: as the server names them; not checked.
        by_ours: whether a server of ours answered; else it is a Chef Infra Server.
    """

    editors: Any = None
    by_ours: bool


class _Key(msgspec.Struct):
    public_key: str | None = None


class _Answer(msgspec.Struct):
    uri: str
    editors: Any = None
    public_key: str | None = None
    """Of version 0."""
    chef_key: _Key = msgspec.field(default_factory=_Key)


def register(
    server: Server, credential: Validator | Token, node: str, key: RSAPrivateKey
) -> Registered:
    """Register the public half of the node's key.

    Raises:
        PushcliError: see `is_refusal`.
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
            "choose another --node-name, or have an administrator delete that client; "
            "with its key, `pushcli migrate agent` needs no enrolment",
        ) from error
    return answer


def is_refusal(error: BaseException) -> bool:
    """Whether the server, after this, surely knows nothing of the node."""
    if isinstance(error, errors.ConnectionLost | errors.ServerError):
        # It may have failed, or become silent, after it did what was asked.
        return False
    return isinstance(error, errors.PushcliError)


def registered(server: Server, node: str, key: RSAPrivateKey) -> Registered | None:
    """What the server says of the node, if it has this very key; None: it has not.

    Raises:
        PushcliError: it does not say.
    """

    def ask(version: str) -> tuple[Response, bool]:
        with contextlib.closing(_as_node(server, node, key, version)) as client:
            answer = client.request("GET", f"principals/{quoted(node)}")
            return answer, bool(client.last_extensions)

    try:
        answer, by_ours = _in_its_version(ask)
    except (errors.AuthenticationError, errors.NotFound):
        return None
    try:
        owners = chef_answers.owners(answer.status, answer.content, node) or []
    except (chef_answers.ChefAway, chef_answers.ChefRefuses) as error:
        raise errors.ServerError(str(error)) from None
    own = keys.fingerprint(key)
    held = (pem for owner in owners if owner.kind == "client" for pem in owner.public_keys)
    return Registered(by_ours=by_ours) if own in _fingerprints(held) else None


def make_node_object(server: Server, node: str, key: RSAPrivateKey) -> None:
    """What chef-client does at its first run: whitelists are attributes of the node's object.

    One that is there stays as it is.

    Raises:
        PushcliError: there is none now.
    """
    wanted = {
        "name": node, "chef_environment": "_default", "json_class": "Chef::Node",
        "chef_type": "node", "run_list": [], "normal": {}, "default": {}, "override": {},
        "automatic": {},
    }  # fmt: skip

    def ask(version: str) -> None:
        with contextlib.closing(_as_node(server, node, key, version)) as client:
            _post(client, "nodes", wanted)

    with contextlib.suppress(errors.Conflict):
        _in_its_version(ask)


def _in_its_version(ask: Callable[[str], T]) -> T:
    """What comes of asking, in a version of the API that the server speaks."""
    try:
        return ask(API)
    except errors.UnknownApiVersion:
        return ask(_BEFORE_KEYS_HAD_NAMES)


def _as_node(server: Server, node: str, key: RSAPrivateKey, version: str) -> HttpClient:
    requestor = Requestor(
        node, key, version=signing.DEFAULT_VERSION, api_version=version, remedy=""
    )
    return HttpClient(server, requestor, limits=_LIMITS)


def _as_validator(
    server: Server, validator: Validator, node: str, key: RSAPrivateKey
) -> Registered:
    name = validator.name or f"{_organization(server)}-validator"
    validator_key = keys.load_private_key(validator.key)
    wanted = {"name": node, "public_key": keys.public_pem(key)}

    def ask(api_version: str) -> Registered:
        requestor = Requestor(
            name, validator_key, version=signing.DEFAULT_VERSION, api_version=api_version,
            remedy="check --validator and --validator-name",
        )  # fmt: skip
        with contextlib.closing(HttpClient(server, requestor, limits=_LIMITS)) as client:
            answer = _post(client, "clients", wanted, {headers.EDITORS: "1"})
            return _registered(client, answer, node, key)

    try:
        return _in_its_version(ask)
    except errors.PermissionDenied as error:
        raise errors.PermissionDenied(
            f"{name} may not register nodes: {error.message}",
            "check --validator and --validator-name",
        ) from error


def _with_token(server: Server, token: str, node: str, key: RSAPrivateKey) -> Registered:
    proof = enrolment.prove(key, org=_organization(server), name=node, token=token)
    wanted = {
        "token": token, "name": node, "public_key": keys.public_pem(key), "proof": proof,
    }  # fmt: skip
    with contextlib.closing(HttpClient(server, None, limits=_LIMITS)) as client:
        try:
            answer = _post(client, "enroll", wanted)
        except errors.PermissionDenied as error:
            raise errors.PermissionDenied(
                error.message, "get a new token: `pushcli node token create`"
            ) from error
        except errors.NotFound as error:
            raise errors.NotFound(
                error.message,
                "check the URL; a Chef Infra Server, or an old server, accepts --validator only",
            ) from error
        return _registered(client, answer, node, key)


def _registered(client: HttpClient, value: Any, node: str, key: RSAPrivateKey) -> Registered:
    """The answer, if it is one to this.

    Raises:
        ServerError: it is not.
    """
    answer = checked(value, _Answer)
    said = answer.chef_key.public_key or answer.public_key
    if said is not None and keys.fingerprint(key) not in _fingerprints([said]):
        raise errors.ServerError(
            f"the server registered another key for {node} than this node's",
            "have an administrator delete that client, then try again",
        )
    return Registered(editors=answer.editors, by_ours=bool(client.last_extensions))


def _fingerprints(pems: Iterator[str] | list[str]) -> set[str]:
    found = set()
    for pem in pems:
        with contextlib.suppress(errors.KeyFileError):
            found.add(keys.fingerprint(keys.load_public_key(pem)))
    return found


def _post(
    client: HttpClient, path: str, value: object, more: Mapping[str, str] | None = None
) -> Any:
    sent = {"Accept": "application/json", **(more or {})}
    body = msgspec.json.encode(value)
    return decoded(client.request("POST", path, body=body, headers=sent).content)


def _organization(server: Server) -> str:
    return config.check_server_urls((server.url,))
