"""What the servers that work with one database have in common, in the directory of each.

These are the settings, the server's secrets, its certificate, and what it asks a Chef Infra Server
with. Keys of administrators are not among them, nor is anything else that lies there.
"""

import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from pushcli import __version__, durations, keys
from pushcli.errors import ConfigError, KeyFileError
from pushcli_server import secrets, settings
from pushcli_server.certificate import Certificate
from pushcli_server.scratch import scratch
from pushcli_server.settings import Settings

PURPOSE = b"pushcli: what servers share"
"""Of what is sealed for a new server."""
_NAMED = ("tls_cert", "tls_key", "chef_key", "chef_ca_file")
"""Settings that name files."""


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What a new server gets from one that runs.

    Args:
        version: of that server.
        incarnation_id: of its run, as the database has it.
        settings: the text of its `server.toml`.
        secrets: by paths below its directory.
        made_at: when these were made, seconds since the epoch.
        named: files below its directory, by the settings that name them.
    """

    version: str
    incarnation_id: str
    settings: bytes
    secrets: dict[str, bytes]
    made_at: float
    named: dict[str, bytes]

    def __repr__(self) -> str:
        return "Shared(...)"


def collect(directory: Path, incarnation_id: str) -> Shared:
    """What the server in this directory shares.

    Raises:
        ConfigError: its settings cannot be used.
        KeyFileError: something cannot be read.
    """
    config = settings.load(directory)
    inside = {name: directory / path for name, path in named_inside(directory, config).items()}
    return Shared(
        version=__version__,
        incarnation_id=incarnation_id,
        settings=_read(directory / settings.FILE),
        secrets=secrets.files(directory, time.time()),
        made_at=secrets.made_at(directory),
        named={name: _read(path) for name, path in inside.items()},
    )


def write(directory: Path, shared: Shared) -> Settings:
    """Have all of it in an empty directory.

    Raises:
        ConfigError, KeyFileError: it is not what a server has.
    """
    # A database's URL may hold a password.
    keys.write_secret(directory / settings.FILE, shared.settings)
    config = settings.load(directory)
    secrets.put(directory, shared.secrets, shared.made_at)
    wanted = _wanted(directory, config, shared)
    for path, content in wanted.items():
        target = directory / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.write_secret(target, content)
    _check_certificate(directory, config)
    return config


def replace(directory: Path, shared: Shared) -> list[str]:
    """Have a server's secrets, and the files that its settings name, be these; what changed.

    Its settings are its own, and stay.

    Raises:
        ConfigError, KeyFileError: they are not what a server has, are older than these, or cannot
            be written.
    """
    config = settings.load(directory)
    wanted = _wanted(directory, config, shared)
    changed = {path: new for path, new in wanted.items() if not _holds(directory / path, new)}
    other_secrets = _secrets(directory) != shared.secrets
    if other_secrets:
        _require_newer(directory, shared)
    with scratch(directory, ".join-") as place:
        for number, content in enumerate(changed.values()):
            keys.write_secret(place / str(number), content)
        fresh = {path: place / str(number) for number, path in enumerate(changed)}
        _check_certificate(directory, config, fresh)
        if other_secrets:
            secrets.put(directory, shared.secrets, shared.made_at)
        try:
            for path, file in fresh.items():
                (directory / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                file.replace(directory / path)
        except OSError as error:
            raise ConfigError(
                f"cannot write {directory / path}: {error.strerror}", "check its owner"
            ) from error
    return [*(["secrets"] if other_secrets else []), *changed]


def named_inside(directory: Path, config: Settings) -> dict[str, str]:
    """The files below the server's directory that its settings name: paths there, by settings.

    One that is a link is elsewhere.
    """
    found = {}
    for name in _NAMED:
        path = PurePosixPath(getattr(config, name))
        if path.parts and not path.is_absolute() and ".." not in path.parts:
            file = directory / path
            if file.resolve() == directory.resolve() / path:
                found[name] = str(path)
    return found


def named_outside(directory: Path, config: Settings) -> list[str]:
    """The files that they name and that are not there, or elsewhere."""
    inside = named_inside(directory, config)
    there = {name for name, path in inside.items() if (directory / path).exists()}
    given = [getattr(config, name) for name in _NAMED if name not in there]
    return [file for file in dict.fromkeys(given) if file]


def _wanted(directory: Path, config: Settings, shared: Shared) -> dict[str, bytes]:
    """What these settings name below the directory and the other server has, by paths."""
    inside = named_inside(directory, config)
    return {path: shared.named[name] for name, path in inside.items() if name in shared.named}


def _check_certificate(
    directory: Path, config: Settings, fresh: Mapping[str, Path] | None = None
) -> None:
    """A certificate and its key fit together, where both are there."""
    if not config.tls:
        return
    files = [
        (fresh or {}).get(path, directory / path) for path in (config.tls_cert, config.tls_key)
    ]
    if all(file.exists() for file in files):
        try:
            Certificate(*files).check()
        except ConfigError as error:
            raise ConfigError(
                "that server's certificate and its key do not fit together",
                "wait until both are renewed there",
            ) from error


def _require_newer(directory: Path, shared: Shared) -> None:
    try:
        here = secrets.made_at(directory)
    except KeyFileError:
        return
    if here > shared.made_at + 1:
        raise ConfigError(
            f"the secrets here, of {durations.local(here)}, are newer than those of that server",
            "on the server that works run `pushcli server rotate-keys --now`",
        )


def _secrets(directory: Path) -> dict[str, bytes] | None:
    """Those that are here; None: they cannot be used."""
    try:
        return secrets.files(directory, time.time())
    except KeyFileError:
        return None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise KeyFileError(f"cannot read {file}: {error.strerror}", "check its owner") from error


def _holds(file: Path, content: bytes) -> bool:
    try:
        return file.read_bytes() == content
    except OSError:
        return False
