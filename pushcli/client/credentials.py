"""Who we are and where the server is: profiles in the format of Chef's credentials file."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from pushcli import toml_settings
from pushcli.errors import ConfigError, KeyFileError
from pushcli.protocol.limits import MAX_URLS

SIGNING_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
CONFIRM_ABOVE = 100
"""Nodes on which a job may be started without a question."""
_SIMILAR = 0.85
"""Of a key to one of ours: it is misspelt. knife has others, which are left alone."""


Values = Mapping[str, str | list[str]]
"""Of a profile, as they stand in a credentials file."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One way to talk to one server.

    Args:
        chef_server_url: with its `/organizations/ORG`.
        other_urls: of the same server, or of others that share its database.
        client_key: path of the key, or the key itself as PEM.
        confirm_above: of more nodes than this a job's start is confirmed on a terminal.
        identity_remedy: where to look if the server does not accept the signature; empty: in the
            profile.
        trust_remedy: where to look if its certificate is not trusted; empty: in the profile.
    """

    name: str
    chef_server_url: str
    client_name: str
    client_key: str
    other_urls: tuple[str, ...] = ()
    ca_file: Path | None = None
    fingerprint: str | None = None
    signing_version: str = "1.3"
    confirm_above: int = CONFIRM_ABOVE
    identity_remedy: str = ""
    trust_remedy: str = ""


class _Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=False):
    client_name: str | None = None
    node_name: str | None = None
    client_key: str | None = None
    chef_server_url: str | list[str] | None = None
    ca_file: str | None = None
    fingerprint: str | None = None
    signing_version: str = "1.3"
    confirm_above: Annotated[int, msgspec.Meta(ge=0)] = CONFIRM_ABOVE


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
    source = f"{path}: profile {name!r}"
    urls = _urls(entry, source)
    values: dict[str, Any] = {
        "chef_server_url": urls[0] if urls else None,
        "client_name": entry.client_name or entry.node_name,
        "client_key": _key(entry.client_key, path),
    }
    values |= {field: value for field, value in given.items() if value}
    others = () if given["chef_server_url"] else urls[1:]
    for field, value in values.items():
        if not value:
            raise ConfigError(f"{source} has no {field}", "add it there")
    _check((values["chef_server_url"], *others), entry.signing_version, source)
    return Profile(
        name=name,
        other_urls=others,
        ca_file=_ca_file(entry, env, path),
        fingerprint=_fingerprint(entry, env, urls, values["chef_server_url"]),
        signing_version=entry.signing_version,
        confirm_above=entry.confirm_above,
        identity_remedy=_identity_remedy(name, env, user=user, key=key),
        trust_remedy="" if urls else "give --ca-file or --fingerprint",
        **values,
    )


def _identity_remedy(
    name: str, env: Mapping[str, str], *, user: str | None, key: Path | None
) -> str:
    """The places that name and key came from: an option is not mended in the profile."""
    places = {
        "--user" if user else "PUSHCLI_USER" if env.get("PUSHCLI_USER") else "client_name": None,
        "--key" if key else "PUSHCLI_KEY" if env.get("PUSHCLI_KEY") else "client_key": None,
    }
    where = [
        f"{place} of profile {name!r}" if place.startswith("client_") else place for place in places
    ]
    if set(places) == {"client_name", "client_key"}:
        return ""
    return f"check {' and '.join(where)}: does the key belong to that name?"


def profile_of_values(name: str, values: Values, source: str) -> Profile:
    """A profile that stands in no file yet.

    Args:
        values: as they stand in a credentials file, its files with their whole paths.
        source: where they came from, for errors.

    Raises:
        ConfigError: something is missing, or wrong.
    """
    entry = _converted(values, source)
    urls = _urls(entry, source)
    needed = {
        "chef_server_url": urls[0] if urls else None,
        "client_name": entry.client_name or entry.node_name,
        "client_key": entry.client_key,
    }
    for field, value in needed.items():
        if not value:
            raise ConfigError(f"{source} has no {field}", "give it, or ask your administrator")
    _check(urls, entry.signing_version, source)
    return Profile(
        name=name,
        chef_server_url=urls[0],
        other_urls=urls[1:],
        client_name=str(needed["client_name"]),
        client_key=str(needed["client_key"]),
        ca_file=Path(entry.ca_file) if entry.ca_file else None,
        fingerprint=entry.fingerprint,
        signing_version=entry.signing_version,
        trust_remedy="give --ca-file or --fingerprint",
        identity_remedy="does the key belong to that name?",
    )


def profiles(path: Path) -> dict[str, Any]:
    """The tables of a credentials file.

    Raises:
        ConfigError: unreadable, or no TOML.
    """
    import tomli  # noqa: PLC0415 - options and environment may say all

    try:
        return tomli.loads(toml_settings.read(path))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", "fix it there") from error


def require_writable(path: Path) -> None:
    """Find out whether a profile could be added, before there is something to add.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    if path.exists():
        profiles(path)
    # The file, or the directory in which it and those above it would be made.
    place = next(place for place in (path, *path.parents) if place.exists())
    fits = place.is_file() if place == path else place.is_dir()
    if not fits or not os.access(place, os.W_OK):
        raise ConfigError(f"cannot write {path}: {place} is in the way", "check the path")


def add_profile(path: Path, name: str, values: Values) -> bool:
    """Append a profile; False if there is one of this name, which is left alone.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    if path.exists() and name in profiles(path):
        return False
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(0, os.SEEK_END)
            gap = "\n" if file.tell() else ""
            file.write((gap + profile_text(name, values)).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "check the path") from error
    return True


def profile_text(name: str, values: Values) -> str:
    """A profile as it stands in a credentials file, with its last line's end."""
    lines = [f"[{_key_text(name)}]", *(f"{k} = {_string(v)}" for k, v in values.items())]
    return "\n".join(lines) + "\n"


def _entry(path: Path, name: str, *, needed: bool) -> _Entry:
    if not needed and not path.exists():
        return _Entry()
    if not path.exists():
        raise ConfigError(
            f"no credentials at {path}",
            "ask your administrator for the server's URL, its fingerprint, a name and a key, "
            "then add a profile there (docs/credentials.md), or give --server-url, --user, --key",
        )
    tables = profiles(path)
    if name not in tables or not isinstance(tables[name], dict):
        if not needed:
            return _Entry()
        known = ", ".join(key for key, value in tables.items() if isinstance(value, dict))
        raise ConfigError(f"{path} has no profile {name!r}", f"it has {known or 'none'}")
    return _converted(tables[name], f"{path}: profile {name!r}")


def _converted(table: Mapping[str, Any], source: str) -> _Entry:
    _refuse_misspelt(table, source)
    try:
        return msgspec.convert(table, _Entry)
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "")
        raise ConfigError(f"{source}: {text}", "fix it there") from error


def _refuse_misspelt(table: Mapping[str, Any], source: str) -> None:
    known = _Entry.__struct_fields__
    for key in table:
        near = [] if key in known else _nearest(key, known)
        if near:
            raise ConfigError(f"{source}: unknown key {key!r}", f"did you mean {near[0]!r}?")


def _nearest(key: str, known: Sequence[str]) -> list[str]:
    import difflib  # noqa: PLC0415 - for keys that are not ours

    return difflib.get_close_matches(key, known, 1, _SIMILAR)


def _urls(entry: _Entry, source: str) -> tuple[str, ...]:
    """The URLs of the server, the one that is asked first before the others."""
    if not isinstance(entry.chef_server_url, list):
        return (entry.chef_server_url,) if entry.chef_server_url else ()
    if len(entry.chef_server_url) > MAX_URLS:
        raise ConfigError(f"{source} has more than {MAX_URLS} URLs", "leave some out")
    return tuple(entry.chef_server_url)


def _check(urls: Sequence[str], signing_version: str, source: str) -> None:
    for url in urls:
        if "/organizations/" not in url:
            raise ConfigError(
                f"no organization in the URL {url!r}",
                "give the URL as https://HOST/organizations/ORG",
            )
    organizations = {url.rstrip("/").rpartition("/organizations/")[2] for url in urls}
    if len(organizations) > 1:
        raise ConfigError(
            f"{source}: the URLs are of several organizations ({', '.join(sorted(organizations))})",
            "make a profile for each",
        )
    if signing_version not in SIGNING_VERSIONS:
        raise ConfigError(
            f"{source}: unknown signing_version {signing_version!r}",
            f"use one of {', '.join(SIGNING_VERSIONS)}",
        )


def _key(value: str | None, path: Path) -> str | None:
    """Inline PEM stays; a path is relative to the credentials file."""
    if value is None or not value.lstrip().startswith("-----BEGIN"):
        return None if value is None else str(_beside(path, value))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyFileError(
            f"{path} holds a key and is readable by others (mode {mode:04o})", f"chmod 600 {path}"
        )
    return value


def _ca_file(entry: _Entry, env: Mapping[str, str], path: Path) -> Path | None:
    if env.get("PUSHCLI_CA_FILE"):
        return Path(env["PUSHCLI_CA_FILE"])
    return _beside(path, entry.ca_file) if entry.ca_file else None


def _fingerprint(
    entry: _Entry, env: Mapping[str, str], urls: Sequence[str], url: str
) -> str | None:
    """A pin is of one server: a profile's does not go with a URL that is none of its own."""
    if env.get("PUSHCLI_FINGERPRINT"):
        return env["PUSHCLI_FINGERPRINT"]
    return entry.fingerprint if _server(url) in map(_server, urls) else None


def _server(url: str) -> str:
    return url.partition("/organizations/")[0].rstrip("/").lower()


def _beside(path: Path, value: str) -> Path:
    """A path that was read in the file `path`."""
    try:
        return path.parent / Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: no such home directory: {value!r}", "give the whole path"
        ) from error


def _key_text(name: str) -> str:
    return (
        name
        if name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        else _string(name)
    )


def _string(value: str | list[str]) -> str:
    # Strings and lists of JSON are those of TOML, but for the one control character it lets stand.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
