"""`pushcli server join`: another server for the database of one that runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pushcli import __version__, keys
from pushcli.errors import ConfigError, PushcliError, ServerError, StoreError
from pushcli_server import new_directory, sealing, settings, shared_files
from pushcli_server.members import members
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


class Joining:
    """One request to a server that runs: what it answers only we can read."""

    def __init__(self) -> None:
        self._reader = sealing.Reader(PURPOSE)

    def request(self, host: str) -> dict[str, object]:
        """The body of `POST /pushy/servers`.

        Args:
            host: this machine's name, for the audit trail.
        """
        return {"host": host, "public_key": msgspec.to_builtins(self._reader.public_key)}

    def shared(self, answer: Mapping[str, object]) -> Shared:
        """What the server said.

        Raises:
            ServerError: it is not what was asked for.
        """
        try:
            sealed = msgspec.convert(answer.get("sealed"), bytes)
            return msgspec.json.decode(self._reader.open(sealed), type=Shared)
        except (sealing.CannotOpen, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ServerError("the server's answer cannot be read", "ask again") from error


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
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} is not empty", "give an empty or a new directory")


def join(directory: Path, shared: Shared, values: Sequence[str] = ()) -> Joined:
    """Make the directory of a server that shares all this, whole or not at all.

    Args:
        values: settings to change, `NAME=VALUE`.

    Raises:
        ConfigError, KeyFileError, StartError: something is in the way.
        StoreError: the database cannot be used from here, or is another one.
    """
    if shared.version != __version__:
        raise ConfigError(
            f"that server is pushcli {shared.version[:40]}, this is {__version__}",
            "install the same version on both machines",
        )

    def build(place: Path) -> Joined:
        place.mkdir(mode=0o700)
        config = shared_files.write(place, shared.files)
        if values:
            changed = settings.with_values(config, list(values), "--set")
            config = settings.check(changed, "--set")
            (place / settings.FILE).unlink()
            keys.write_secret(place / settings.FILE, settings.render(config).encode())
        return _joined(place, config, shared, list(shared_files.named_inside(config)))

    return new_directory.make(directory, build)


def refresh(directory: Path, shared: Shared) -> Joined:
    """Have a server that joined share all this again; its settings stay.

    Raises:
        ConfigError, KeyFileError: something is in the way.
        StoreError: the database cannot be used, or is another one.
    """
    config = settings.load(directory)
    joined = _joined(directory, config, shared, [])
    return msgspec.structs.replace(joined, changed=shared_files.replace(directory, shared.files))


def _joined(place: Path, config: Settings, shared: Shared, changed: list[str]) -> Joined:
    """Once it is sure that the database is that of the server that runs."""
    if sqlite_file(config.database(place)) is not None:
        raise ConfigError("database_url names a SQLite file", _REACHED)
    try:
        found = members(place)
    except PushcliError as error:
        error.remedy = _REACHED
        raise
    if shared.incarnation_id not in {one.incarnation_id for one in found.members}:
        raise StoreError(f"{found.database} is not the database of that server", _REACHED)
    defaults = Settings()
    theirs = {name: str(getattr(config, name)) for name in _OF_A_MACHINE}
    return Joined(
        database=found.database,
        outside=shared_files.named_outside(config),
        of_a_machine={
            name: value for name, value in theirs.items() if value != getattr(defaults, name)
        },
        changed=changed,
    )
