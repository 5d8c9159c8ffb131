"""The keys of users and clients: any number each, some for a while only."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli.client.answers import checked
from pushcli.client.paths import quoted
from pushcli.errors import Conflict
from pushcli.identities.identities import print_done
from pushcli.identities.new_key import fingerprint, new_key
from pushcli.protocol.timestamps import format_iso8601
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App
from pushcli.terminal.table import write_table
from pushcli.terminal.times import until

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

FOREVER = "infinity"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key as the server has it; the date of one that does not expire is `infinity`."""

    name: str
    public_key: str
    expiration_date: str = FOREVER

    @property
    def expires_at(self) -> float | None:
        """Seconds since the epoch; None: never, or nobody can tell."""
        try:
            at = datetime.fromisoformat(self.expiration_date)
        except ValueError:
            return None
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    expired: bool = False


def folder(kind: str, name: str) -> str:
    """Where a user's (of the server) or a client's (of the organization) keys are."""
    return f"/users/{quoted(name)}/keys" if kind == "user" else f"clients/{quoted(name)}/keys"


def names(client: "ApiClient", kind: str, name: str) -> list[str]:
    """The names of the keys of a user or client."""
    return [one.name for one in checked(client.get(folder(kind, name)), list[_Listed])]


def read(client: "ApiClient", place: str) -> list[tuple[Key, bool]]:
    """The keys in a folder, and whether each has expired."""
    listed = checked(client.get(place), list[_Listed])
    return [
        (checked(client.get(f"{place}/{quoted(one.name)}"), Key), one.expired) for one in listed
    ]


def show(app: App, kind: str, name: str) -> None:
    """The keys of a user or client."""
    found = read(app.client, folder(kind, name))
    if not app.is_text:
        app.emit([{**msgspec.to_builtins(key), "fingerprint": fingerprint(key.public_key),
                   "expired": expired} for key, expired in found])  # fmt: skip
        return
    rows = [
        (
            key.name,
            "expired" if expired else "valid",
            _expiry(app, key),
            fingerprint(key.public_key),
        )
        for key, expired in found
    ]
    write_table(app, ("key", "state", "expires", "fingerprint"), rows)


def add(
    app: App,
    kind: str,
    name: str,
    key_name: str,
    *,
    file: Path,
    public_key: Path | None,
    expires_in: float | None,
) -> None:
    """One more key.

    Args:
        expires_in: seconds; None: it never expires.

    Raises:
        Conflict: it has one of this name, or too many.
    """
    with new_key(file, public_key) as key:
        wanted = {
            "name": key_name, "public_key": key.public_key,
            "expiration_date": FOREVER if expires_in is None else expiry(expires_in),
        }  # fmt: skip
        try:
            app.client.post(folder(kind, name), wanted)
        except Conflict as error:
            error.remedy = "give another --key-name, or delete a key"
            raise
    if app.is_text:
        app.print(f"{name} has the key {key_name}, {fingerprint(key.public_key)}")
        if key.file is not None:
            app.print(f"The private key is {key.file.absolute()}; there is no other copy")
    else:
        said: dict[str, Any] = {"key_file": key.file and str(key.file.absolute())}
        app.emit({**wanted, "fingerprint": fingerprint(key.public_key), **said})


def delete(app: App, kind: str, name: str, key_name: str) -> None:
    """A key goes at once."""
    if agrees(app, f"Delete the key {key_name} of {name}?"):
        app.client.delete(f"{folder(kind, name)}/{quoted(key_name)}")
        said = {"name": name, "key": key_name, "deleted": True}
        print_done(app, f"Deleted the key {key_name} of {name}", said)


def expiry(seconds: float) -> str:
    """The date so many seconds from now, as the server wants it."""
    return format_iso8601(time.time() + seconds)


def dated_name(now: float) -> str:
    """A name for a key that was given none."""
    return f"key-{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}"


def _expiry(app: App, key: Key) -> str:
    at = key.expires_at
    if at is None:
        return "never" if key.expiration_date == FOREVER else key.expiration_date
    return until(app, at)
