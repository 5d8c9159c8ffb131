"""Who and what a Chef Infra Server has of one organization, checked: nothing is ours until it fits.

What concerns one user, client, group or node alone and makes no sense costs that one.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli import keys
from pushcli.errors import (
    BadGateway,
    Busy,
    KeyFileError,
    NotFound,
    PermissionDenied,
    RequestRefused,
    ServerError,
)
from pushcli.protocol import names, nesting
from pushcli.protocol.chef_answers import MAX_GROUPS, MAX_KEY, MAX_MEMBERS, within
from pushcli_server import usable_keys
from pushcli_server.rest.chef_nodes import NodeBody
from pushcli_server.store.identity_keys import MAX_KEYS
from pushcli_server.store.records import NodeObject

T = TypeVar("T")
MAX_NAMES = 100_000
"""Of users, clients, groups or nodes."""
MAX_NODE = 1_000_000
"""Bytes of a node object, as REST takes them."""
_MOST_KEYS = 200
"""That are looked at, of one name."""
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


class Unusable(Exception):
    """One of them cannot be taken over; the text says why, in one line."""


class Passing(Unusable):
    """It could not be asked for: a later run may be told."""


class Api(Protocol):
    """Asks below the organization; every call raises `PushcliError`s."""

    def get(self, path: str) -> Any:
        """JSON."""
        ...


class Key(msgspec.Struct, frozen=True):
    """A valid key (PEM); `expires_at` in seconds since the epoch."""

    name: str
    public_key: str
    expires_at: float | None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user or client.

    Args:
        keys: valid ones, the one called default first.
        left_out: why keys are not taken over.
    """

    name: str
    keys: list[Key]
    left_out: list[str]
    display_name: str | None = None
    email: str | None = None
    validator: bool = False


class Group(msgspec.Struct, frozen=True):
    """Its own members; `left_out` says why one is not taken over."""

    users: list[str]
    clients: list[str]
    groups: list[str]
    left_out: list[str]


class _KeyLine(msgspec.Struct):
    name: str
    expired: bool = False


class _Key(msgspec.Struct):
    public_key: str
    expiration_date: str = "infinity"


class _User(msgspec.Struct):
    display_name: str | None = None
    email: str | None = None


class _Client(msgspec.Struct):
    validator: bool = False


class _Group(msgspec.Struct):
    users: list[str] = []
    clients: list[str] = []
    groups: list[str] = []


class _Name(msgspec.Struct):
    username: str


class _Member(msgspec.Struct):
    user: _Name


class Directory:
    """One organization's.

    Args:
        now: seconds since the epoch: keys that have expired by then do not count.
    """

    def __init__(self, api: Api, org: str, now: float) -> None:
        self._api = api
        self._org = org
        self._now = now

    def users(self) -> list[str]:
        """The names of its users.

        Raises:
            PushcliError: the server does not answer, or refuses.
        """
        found = _checked(self._api.get("users"), list[_Member], "users")
        return _sorted(member.user.username for member in found)

    def names(self, kind: str) -> list[str]:
        """Those of its `clients`, `groups` or `nodes`.

        Raises:
            PushcliError: as `users`.
        """
        return _sorted(_checked(self._api.get(kind), dict[str, Any], kind))

    def user(self, name: str) -> Person:
        """A user with his keys.

        Raises:
            Unusable: there is no such user any more, or none of ours.
        """
        said = self._one(f"users/{_part(name)}", _User)
        found, left_out = self._keys(f"users/{_part(name)}")
        return Person(
            name=name, keys=found, left_out=left_out,
            display_name=_line(said.display_name), email=_line(said.email),
        )  # fmt: skip

    def client(self, name: str) -> Person:
        """A client with its keys.

        Raises:
            Unusable: as `user`.
        """
        said = self._one(f"clients/{_part(name)}", _Client)
        found, left_out = self._keys(f"clients/{_part(name)}")
        return Person(name=name, keys=found, left_out=left_out, validator=said.validator)

    def group(self, name: str) -> Group:
        """A group.

        Raises:
            Unusable: as `user`.
        """
        said = self._one(f"groups/{_part(name)}", _Group)
        if max(len(said.users), len(said.clients)) > MAX_MEMBERS or len(said.groups) > MAX_GROUPS:
            raise Unusable("it has too many members")
        nested = [within(one, self._org) for one in said.groups]
        left_out = ["a group of another organization, or of the server"] * nested.count(None)
        return Group(said.users, said.clients, [one for one in nested if one], left_out)

    def node(self, name: str) -> NodeObject:
        """A node object.

        Raises:
            Unusable: as `user`.
        """
        said = self._one(f"nodes/{_part(name)}", dict[str, Any])
        text = msgspec.json.encode(said)
        if len(text) > MAX_NODE:
            raise Unusable(f"it has more than {MAX_NODE:,} bytes")
        try:
            nesting.require_bounded(text)
            body = msgspec.json.decode(text, type=NodeBody)
        except (nesting.TooNested, msgspec.MsgspecError, RecursionError) as error:
            raise Unusable(str(error).replace("`", "")) from error
        if body.name != name:
            raise Unusable("the server answers with another node")
        return body.stored(self._org, name)

    def _one(self, path: str, shape: type[T]) -> T:
        try:
            return _checked(self._api.get(path), shape, path.partition("/")[0])
        except NotFound as error:
            raise Unusable("it no longer exists") from error
        except (BadGateway, Busy) as error:
            raise Passing(f"not told just now, import again later: {error.message}") from error
        except (PermissionDenied, RequestRefused, ServerError) as error:
            raise Unusable(error.message) from error

    def _keys(self, owner: str) -> tuple[list[Key], list[str]]:
        found: list[Key] = []
        left_out: list[str] = []
        lines = self._one(f"{owner}/keys", list[_KeyLine])
        if len(lines) > _MOST_KEYS:
            raise Unusable(f"it has more than {_MOST_KEYS} keys")
        # The one of a client that is called default has its name.
        for line in sorted(lines, key=lambda line: (line.name != "default", line.name)):
            if line.expired:
                left_out.append("expired")
                continue
            try:
                key = self._key(owner, line.name)
            except Passing:
                # A later run brings whoever it is whole; once he is there he keeps what he has.
                raise
            except Unusable as error:
                left_out.append(str(error))
                continue
            if key is None:
                left_out.append("expired")
            elif len(found) == MAX_KEYS:
                left_out.append(f"more than {MAX_KEYS} of one name")
            else:
                found.append(key)
        return found, left_out

    def _key(self, owner: str, name: str) -> Key | None:
        """A key; None: it has expired."""
        if not names.is_node_name(name):
            raise Unusable("no key can have the name")
        said = self._one(f"{owner}/keys/{_part(name)}", _Key)
        expires_at = _expiry(said.expiration_date)
        if expires_at is not None and expires_at <= self._now:
            return None
        return Key(name, public_key(said.public_key), expires_at)


def public_key(pem: str) -> str:
    """A key in the usual form of PEM; old entries are PKCS#1, or certificates.

    Raises:
        Unusable: it is none that the server accepts.
    """
    if len(pem) > MAX_KEY:
        raise Unusable(f"more than {MAX_KEY:,} characters")
    try:
        if _CERTIFICATE in pem:
            key = x509.load_pem_x509_certificate(pem.encode()).public_key()
            if not isinstance(key, RSAPublicKey):
                raise Unusable("not an RSA key")
            pem = keys.public_pem(key)
        return keys.public_pem(usable_keys.load(pem))
    except KeyFileError as error:
        raise Unusable(error.message) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unusable("not a public key") from error


def _expiry(date: str) -> float | None:
    """Seconds since the epoch; None: never.

    Raises:
        Unusable: it is no date.
    """
    if date == "infinity":
        return None
    try:
        return datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Unusable("its expiration date is none") from None


def _sorted(found: Any) -> list[str]:
    listed = sorted(found)
    if len(listed) > MAX_NAMES:
        raise ServerError(f"the server lists more than {MAX_NAMES:,} names", "is it the right URL?")
    return listed


def _checked(value: Any, shape: type[T], what: str) -> T:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise ServerError(
            f"the server's answer about {what} is not one: {error}".replace("`", ""),
            "does the URL point to a Chef Infra Server?",
        ) from error


def _line(text: str | None) -> str | None:
    if text is None or "\0" in text or len(text) > 1000:
        return None
    return text


def _part(name: str) -> str:
    return quote(name, safe="")


def valid(listed: list[str]) -> Iterator[str]:
    """Those of these names that a user, client, group or node may have here."""
    return (name for name in listed if names.is_node_name(name))
