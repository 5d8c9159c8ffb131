"""`pushcli server join`: another server for the database of one that runs."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from pushcli import __version__, keys
from pushcli.errors import ConfigError, ServerError, StoreError
from pushcli_server import new_directory, sealing, settings, shared_files
from pushcli_server.members import joined, members
from pushcli_server.settings import Settings
from pushcli_server.shared_files import PURPOSE, Shared
from pushcli_server.store.database import sqlite_file

_OF_A_MACHINE = ("advertised_host", "api_listen_address", "zeromq_listen_address")
"""Settings that may be others on another machine."""
_REACHED = "give --set database_url=postgresql://..., as this machine reaches it"


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A server that was made, or whose files were brought anew.

    Args:
        database: its URL, without its passwords.
        outside: files elsewhere on the machine, which the settings name and nobody brought.
        of_a_machine: settings that name the machine that they are from, perhaps.
        changed: what is another than before, `secrets` or a file's path.
    """

    database: str
    outside: list[str]
    of_a_machine: dict[str, str]
    changed: list[str]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server shares, and how it can be told that it did: its digest is in the database."""

    shared: Shared
    digest: str


class _Sealed(msgspec.Struct):
    sealed: bytes


class Joining:
    """One request to a server that runs: what it answers only we can read."""

    def __init__(self) -> None:
        self._reader = sealing.Reader(PURPOSE)

    def request(self, host: str) -> dict[str, object]:
        """The body of `POST /pushy/servers`.

        Args:
            host: this machine's name, for the audit trail.
        """
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", host)[:255] or "_"
        return {"host": name, "public_key": msgspec.to_builtins(self._reader.public_key)}

    def opened(self, answer: object) -> Answer:
        """What the server said.

        Raises:
            ServerError: it is not what was asked for.
        """
        try:
            sealed = msgspec.convert(answer, _Sealed).sealed
            shared = msgspec.json.decode(self._reader.open(sealed), type=Shared)
        except (sealing.CannotOpen, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ServerError("the server's answer cannot be read", "ask again") from error
        return Answer(shared=shared, digest=sealing.digest(sealed))


def require_room(directory: Path) -> None:
    """Before anybody is asked.

    Raises:
        ConfigError: something is in the way.
    """
    if (directory / settings.FILE).exists():
        raise ConfigError(
            f"{directory} holds a server",
            "bring its secrets and certificate with --refresh, or give another --dir",
        )
    if not new_directory.is_free(directory):
        raise ConfigError(f"{directory} is not empty", "give an empty or a new directory")


def require_server(directory: Path) -> None:
    """The same where one joined before.

    Raises:
        ConfigError: there is none, or its settings cannot be used.
    """
    if not (directory / settings.FILE).exists():
        raise ConfigError(f"no server at {directory}", "leave out --refresh, or give its --dir")
    settings.load(directory)


def join(directory: Path, answer: Answer, values: Sequence[str] = ()) -> Joined:
    """Make the directory of a server that shares all this, whole or not at all.

    Args:
        values: settings to change, `NAME=VALUE`.

    Raises:
        ConfigError, KeyFileError, StartError: something is in the way.
        StoreError: the database cannot be used from here, or is another one.
    """
    if answer.shared.version != __version__:
        raise ConfigError(
            f"that server is pushcli {answer.shared.version[:40]!a}, this is {__version__}",
            "install the same version on both machines",
        )

    def build(place: Path) -> Joined:
        place.mkdir(mode=0o700)
        theirs = config = shared_files.write(place, answer.shared)
        if values:
            changed = settings.with_values(theirs, list(values), "--set")
            config = settings.check(changed, "--set")
            (place / settings.FILE).unlink()
            keys.write_secret(place / settings.FILE, settings.render(config).encode())
        database = _proved(place, config, answer)
        brought = shared_files.named_inside(place, theirs).values()
        return Joined(
            database=database,
            outside=shared_files.named_outside(place, config),
            of_a_machine=_of_a_machine(config, {value.partition("=")[0] for value in values}),
            changed=["secrets", *(path for path in brought if (place / path).exists())],
        )

    return new_directory.make(directory, build)


def refresh(directory: Path, answer: Answer) -> Joined:
    """Have a server that joined share all this again; its settings stay.

    Raises:
        ConfigError, KeyFileError: something is in the way.
        StoreError: the database cannot be used, or is another one.
    """
    config = settings.load(directory)
    try:
        database = _proved(directory, config, answer)
    except (ConfigError, StoreError) as error:
        if error.remedy == _REACHED:
            error.remedy = "check database_url in its server.toml"
        raise
    changed = shared_files.replace(directory, answer.shared)
    outside = shared_files.named_outside(directory, config)
    return Joined(database=database, outside=outside, of_a_machine={}, changed=changed)


def _proved(place: Path, config: Settings, answer: Answer) -> str:
    """The database, once it is sure that the server that works with it gave this answer."""
    if sqlite_file(config.database(place)) is not None:
        raise ConfigError("database_url names a SQLite file", _REACHED)
    try:
        found = members(place)
        is_proved = joined(config.database(place), answer.digest)
    except StoreError as error:
        if error.__cause__ is not None:
            error.remedy = _REACHED
        raise
    runs = {one.incarnation_id for one in found.members}
    if answer.shared.incarnation_id not in runs:
        raise StoreError(f"{found.database} is not the database of that server", _REACHED)
    if not is_proved:
        raise StoreError(
            f"the answer is not of the server that works with {found.database}",
            "somebody on the way may have changed it: ask that server itself",
        )
    return found.database


def _of_a_machine(config: Settings, given: Collection[str]) -> dict[str, str]:
    """What was not given of what may be another here."""
    defaults = Settings()
    return {
        name: str(value)
        for name in _OF_A_MACHINE
        if name not in given and (value := getattr(config, name)) != getattr(defaults, name)
    }
