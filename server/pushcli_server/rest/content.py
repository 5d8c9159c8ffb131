"""Bodies of requests about identities: what they have in common."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import msgspec

from pushcli import keys
from pushcli.errors import KeyFileError
from pushcli.protocol import headers, names, nesting
from pushcli_server import usable_keys
from pushcli_server.rest.errors import Refused, carried_out
from pushcli_server.rest.jobs import base_url
from pushcli_server.rest.request import Asked, Call
from pushcli_server.settings import Settings
from pushcli_server.store import CannotApply
from pushcli_server.store.identity_reads import DEFAULT_KEY

T = TypeVar("T")
PublicKey = Annotated[str, msgspec.Meta(max_length=20_000)]
"""PEM."""
Text = Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\x00]*$")]
"""What every database can hold."""


def parse(asked: Asked, shape: type[T], what: str) -> T:
    """The body, as a struct.

    Raises:
        Refused: 415, and 400 with what is wrong.
    """
    asked.require_json()
    try:
        nesting.require_bounded(asked.body)
        return msgspec.json.decode(asked.body, type=shape)
    except (nesting.TooNested, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, [f"invalid {what}: {error}".replace("`", "")]) from error


def require_name(name: str | None, what: str = "name") -> str:
    """A name for somebody new.

    Raises:
        Refused: 400.
    """
    if name is None or not names.is_node_name(name):
        raise Refused(400, [f"{what} must be 1 to 255 of A-Z a-z 0-9 _ . : -"])
    return name


def require_same_name(given: str | None, name: str, what: str) -> None:
    """A body that names what it is about must name what the path does.

    Raises:
        Refused: 400.
    """
    if given is not None and given != name:
        raise Refused(400, [f"a {what} cannot be renamed"])


def public_pem(text: str) -> str:
    """A public key in the one form that is stored.

    Raises:
        Refused: 400.
    """
    try:
        return keys.public_pem(usable_keys.load(text))
    except KeyFileError as error:
        raise Refused(400, [f"public_key: {error.message}"]) from error


async def first_key(
    call: Call, public_key: str | None, create_key: bool
) -> tuple[str | None, str | None]:
    """The public key (PEM) of somebody new, and the private one where the server makes the pair.

    Under API version 0 it does so unless a key is given, from 1 on if it is asked to; else
    there is no key yet.

    Raises:
        Refused: 400.
    """
    if public_key is None and not create_key and api_version(call) > 0:
        return None, None
    return await another_key(call, public_key, create_key=True)


async def another_key(
    call: Call, public_key: str | None, create_key: bool
) -> tuple[str, str | None]:
    """The public key (PEM), and the private one where the server is to make the pair.

    Raises:
        Refused: 400, 409.
    """
    if public_key is not None:
        return public_pem(public_key), None
    if not create_key:
        raise Refused(400, ["give public_key, or create_key: true"])
    return await new_pair(call)


def key_fields(
    asked: Asked, uri: str, public_key: str | None, private_key: str | None
) -> dict[str, Any]:
    """What the answer about somebody new, at this URL, says of the first key."""
    said: dict[str, Any] = {} if private_key is None else {"private_key": private_key}
    if api_version(asked) > 0 and public_key is not None:
        said["chef_key"] = {
            "name": DEFAULT_KEY,
            "uri": f"{uri}/keys/{DEFAULT_KEY}",
            "public_key": public_key,
            "expiration_date": "infinity",
            **said,
        }
    return said


async def next_key(
    call: Call, public_key: str | None, create_key: bool, present: str | None
) -> tuple[str | None, str | None]:
    """The public key (PEM) that takes the place of the present one, if one does, and the
    private one where the server is to make the pair.

    Raises:
        Refused: 400, 409.
    """
    if create_key:
        return await new_pair(call)
    if public_key is None:
        return None, None
    # Tools send back what they got, with something else changed.
    given = public_pem(public_key)
    return (None if given == present else given), None


async def new_pair(call: Call) -> tuple[str, str]:
    """A new pair: the public and the private key, PEM.

    Raises:
        Refused: 409; whoever repeats a captured request gets no key by it, however soon.
    """
    if call.repeated:
        raise carried_out()
    pair = await asyncio.to_thread(keys.generate)
    return keys.public_pem(pair), keys.private_pem(pair).decode()


@contextmanager
def making(what: str) -> Iterator[None]:
    """What is there already is refused.

    Raises:
        Refused: 409.
    """
    try:
        yield
    except CannotApply as error:
        if type(error) is not CannotApply:
            raise
        raise Refused(409, [f"{what} already exists"]) from None


def url(asked: Asked, settings: Settings, *parts: str) -> str:
    """The URL of something below the organization of the request, or outside of all."""
    org = f"/organizations/{asked.org}" if asked.org else ""
    return "/".join((base_url(asked, settings) + org, *parts))


def api_version(asked: Asked) -> int:
    """Of Chef's server API that the client speaks."""
    text = asked.http.headers.get(headers.API_VERSION, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
