"""What the servers that work with one database have in common, in the directory of each.

These are the settings, the server's secrets, its certificate, and what it asks a Chef Infra Server
with. Keys of administrators are not among them, nor is anything else that lies there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from pushcli import __version__, keys
from pushcli.errors import ConfigError, KeyFileError
from pushcli_server import secrets, settings
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
        files: by paths below the directory.
    """

    version: str
    incarnation_id: str
    files: dict[str, bytes]

    def __repr__(self) -> str:
        return "Shared(...)"


def collect(directory: Path, incarnation_id: str) -> Shared:
    """What the server in this directory shares.

    Raises:
        ConfigError: its settings cannot be used.
        KeyFileError: something cannot be read.
    """
    config = settings.load(directory)
    files = secrets.files(directory)
    for name in (settings.FILE, *named_inside(config)):
        try:
            files[name] = (directory / name).read_bytes()
        except OSError as error:
            raise KeyFileError(
                f"cannot read {directory / name}: {error.strerror}", "check its owner"
            ) from error
    return Shared(version=__version__, incarnation_id=incarnation_id, files=files)


def write(directory: Path, files: Mapping[str, bytes]) -> Settings:
    """Have them in an empty directory; what no server shares is left out.

    Raises:
        ConfigError, KeyFileError: they are not what a server has.
    """
    # A database's URL may hold a password.
    keys.write_secret(directory / settings.FILE, files.get(settings.FILE, b""))
    config = settings.load(directory)
    secrets.put(directory, files)
    for name in named_inside(config):
        if name not in files:
            raise ConfigError(f"that server has not got its {name}", "see why in its directory")
        target = directory / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.write_secret(target, files[name])
    return config


def replace(directory: Path, files: Mapping[str, bytes]) -> list[str]:
    """Have a server's secrets, and the files that its settings name, be these; what changed.

    Its settings are its own, and stay.

    Raises:
        ConfigError, KeyFileError: they are not what a server has, or cannot be written.
    """
    config, changed = settings.load(directory), []
    present = secrets.files(directory)
    wanted = {name: content for name, content in files.items() if name.startswith("secrets")}
    if present != wanted:
        secrets.put(directory, files)
        changed.append("secrets")
    for name in named_inside(config):
        target = directory / name
        if name not in files or _holds(target, files[name]):
            continue
        fresh = target.with_name(f".{target.name}.new")
        fresh.unlink(missing_ok=True)
        keys.write_secret(fresh, files[name])
        fresh.replace(target)
        changed.append(name)
    return changed


def named_inside(config: Settings) -> Iterator[str]:
    """The files below the server's directory that its settings name, by their paths there."""
    for name in _NAMED:
        path = PurePosixPath(getattr(config, name))
        if path.parts and not path.is_absolute() and ".." not in path.parts:
            yield str(path)


def named_outside(config: Settings) -> list[str]:
    """The files elsewhere on its machine that they name."""
    inside = set(named_inside(config))
    given = (getattr(config, name) for name in _NAMED)
    return [file for file in given if file and str(PurePosixPath(file)) not in inside]


def _holds(file: Path, content: bytes) -> bool:
    try:
        return file.read_bytes() == content
    except OSError:
        return False
