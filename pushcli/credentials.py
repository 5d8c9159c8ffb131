"""Who we are and where the server is: profiles in the format of Chef's credentials file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomli

from pushcli import toml_settings
from pushcli.errors import ConfigError

SIGNING_VERSIONS = ("1.0", "1.1", "1.2", "1.3")


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One way to talk to one server.

    Args:
        chef_server_url: with its `/organizations/ORG`.
        client_key: path of the key, or the key itself as PEM.
    """

    name: str
    chef_server_url: str
    client_name: str
    client_key: str
    ca_file: Path | None = None
    fingerprint: str | None = None
    signing_version: str = "1.3"


class _Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=False):
    client_name: str | None = None
    node_name: str | None = None
    client_key: str | None = None
    chef_server_url: str | None = None
    ca_file: str | None = None
    fingerprint: str | None = None
    signing_version: str = "1.3"


def default_path(env: Mapping[str, str]) -> Path:
    """Ours, else Chef's if only that exists."""
    home = Path(env.get("HOME") or Path.home())
    ours, chef = home / ".pushcli" / "credentials", home / ".chef" / "credentials"
    return chef if chef.exists() and not ours.exists() else ours


def load_profile(
    name: str | None,
    env: Mapping[str, str],
    *,
    config: Path | None = None,
    server_url: str | None = None,
    user: str | None = None,
    key: Path | None = None,
) -> Profile:
    """The profile that was asked for; options win over the environment, that over the file.

    Raises:
        ConfigError: no file, no such profile, something missing or wrong.
    """
    path = config or default_path(env)
    name = name or env.get("PUSHCLI_PROFILE") or env.get("CHEF_PROFILE") or "default"
    given = {
        "chef_server_url": server_url or env.get("PUSHCLI_SERVER_URL"),
        "client_name": user or env.get("PUSHCLI_USER"),
        "client_key": str(key) if key else env.get("PUSHCLI_KEY"),
    }
    entry = _entry(path, name, needed=not all(given.values()) or config is not None)
    values: dict[str, Any] = {
        "chef_server_url": entry.chef_server_url,
        "client_name": entry.client_name or entry.node_name,
        "client_key": _key(entry.client_key, path.parent),
    }
    values |= {field: value for field, value in given.items() if value}
    for field, value in values.items():
        if not value:
            raise ConfigError(f"{path}: profile {name!r} has no {field}", "add it there")
    if entry.signing_version not in SIGNING_VERSIONS:
        raise ConfigError(
            f"{path}: unknown signing_version {entry.signing_version!r}",
            f"use one of {', '.join(SIGNING_VERSIONS)}",
        )
    return Profile(
        name=name,
        ca_file=path.parent / Path(entry.ca_file).expanduser() if entry.ca_file else None,
        fingerprint=entry.fingerprint,
        signing_version=entry.signing_version,
        **values,
    )


def profiles(path: Path) -> dict[str, Any]:
    """The tables of a credentials file.

    Raises:
        ConfigError: unreadable, or no TOML.
    """
    try:
        return tomli.loads(toml_settings.read(path))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML: {error}", "mend it there") from error


def add_profile(path: Path, name: str, values: Mapping[str, str]) -> bool:
    """Append a profile; False if there is one of this name, which is left alone.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    if path.exists() and name in profiles(path):
        return False
    lines = [f"[{_key_text(name)}]", *(f"{k} = {_string(v)}" for k, v in values.items())]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(0, os.SEEK_END)
            gap = "\n" if file.tell() else ""
            file.write((gap + "\n".join(lines) + "\n").encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "check the path") from error
    return True


def _entry(path: Path, name: str, *, needed: bool) -> _Entry:
    if not needed and not path.exists():
        return _Entry()
    if not path.exists():
        raise ConfigError(
            f"no credentials at {path}",
            "run `pushcli server init`, or give --server-url, --user and --key",
        )
    tables = profiles(path)
    if name not in tables or not isinstance(tables[name], dict):
        if not needed:
            return _Entry()
        known = ", ".join(key for key, value in tables.items() if isinstance(value, dict))
        raise ConfigError(f"{path} has no profile {name!r}", f"it has {known or 'none'}")
    try:
        return msgspec.convert(tables[name], _Entry)
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "")
        raise ConfigError(f"{path}: profile {name!r}: {text}", "mend it there") from error


def _key(value: str | None, directory: Path) -> str | None:
    """Inline PEM stays; a path is relative to the credentials file."""
    if value is None or value.lstrip().startswith("-----BEGIN"):
        return value
    return str(directory / Path(value).expanduser())


def _key_text(name: str) -> str:
    return (
        name
        if name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        else _string(name)
    )


def _string(value: str) -> str:
    # A JSON string is a TOML basic string.
    return msgspec.json.encode(value).decode()
