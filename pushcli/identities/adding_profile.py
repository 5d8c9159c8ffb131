"""A profile on this machine: from options, or from what an administrator sent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli

from pushcli.client.credentials import (
    Profile,
    Values,
    add_profile,
    default_path,
    profile_of_values,
    profiles,
    require_writable,
)
from pushcli.errors import ConfigError, Conflict, PermissionDenied, PushcliError, UsageError
from pushcli.terminal.context import App

MAX_SNIPPET = 100_000
"""Bytes of a profile on standard input."""
_PEM = "-----BEGIN"


def add(app: App, name: str | None, *, check: bool) -> None:
    """Add it to the credentials file; nothing is left of one that cannot be added.

    Args:
        name: None: `default` if that is free, else that of what was sent, else the
            organization's.
        check: try it first.

    Raises:
        Conflict: there is a profile, or a file of its key, of this name already.
        PushcliError: it is incomplete, or the server cannot be reached or does not accept it.
    """
    sent, values = _given(app)
    path = app.options.config or default_path(app.env)
    require_writable(path)
    there = profiles(path) if path.exists() else {}
    name = name or ("default" if "default" not in there else sent or _organization(values))
    if name in there:
        raise Conflict(f"{path} already has a profile {name!r}", "give another name")
    profile = profile_of_values(name, values, f"profile {name!r}")
    if check:
        _try(app, profile)
    key = _write_key(path, profile)
    try:
        added = add_profile(path, name, {**values, **({"client_key": key.name} if key else {})})
    except PushcliError:
        if key is not None:
            key.unlink(missing_ok=True)
        raise
    if not added:
        raise Conflict(f"{path} already has a profile {name!r}", "give another name")
    if not app.is_text:
        app.emit({"profile": name, "file": str(path), "checked": check})
        return
    app.print(f"Added profile {name!r} to {path}")
    if name != "default":
        app.note(f"Use it with --profile {name}, or: export PUSHCLI_PROFILE={name}")


def _given(app: App) -> tuple[str | None, dict[str, str | list[str]]]:
    """The name that was sent, if any, and the values, files with their whole paths."""
    options = app.options
    name: str | None = None
    values: dict[str, str | list[str]] = {}
    if options.server_url is None:
        name, values = _sent(app)
    given = {
        "chef_server_url": options.server_url, "client_name": options.user,
        "client_key": options.key, "ca_file": options.ca_file,
        "fingerprint": options.fingerprint,
    }  # fmt: skip
    values |= {field: str(value) for field, value in given.items() if value is not None}
    for field in ("client_key", "ca_file"):
        value = values.get(field)
        if isinstance(value, str) and not value.lstrip().startswith(_PEM):
            values[field] = str(Path(value).expanduser().absolute())
    return name, values


def _sent(app: App) -> tuple[str, dict[str, str | list[str]]]:
    if app.stdin is None:
        raise UsageError("no profile given", "give --server-url, -u and -k, or one on stdin")
    if app.can_ask:
        app.note("Paste the profile, then Ctrl-D (or give --server-url, -u and -k):")
    text = app.stdin.read(MAX_SNIPPET + 1)
    try:
        tables = tomli.loads(text) if len(text) <= MAX_SNIPPET else {}
    except (ValueError, RecursionError):
        tables = {}
    found: list[tuple[str, Mapping[str, Any]]] = [
        (name, table) for name, table in tables.items() if isinstance(table, dict)
    ]
    if len(found) != 1:
        raise UsageError(
            "standard input is not a profile",
            "give what `pushcli user create --print-profile` printed, or --server-url, -u and -k",
        )
    name, table = found[0]
    values: dict[str, str | list[str]] = {k: v for k, v in table.items() if isinstance(v, str)}
    urls = table.get("chef_server_url")
    if isinstance(urls, list) and all(isinstance(url, str) for url in urls):
        values["chef_server_url"] = urls
    return name, values


def _organization(values: Values) -> str:
    urls = values.get("chef_server_url", "")
    url = next(iter(urls), "") if isinstance(urls, list) else urls
    return str(url).rstrip("/").rpartition("/")[2]


def _try(app: App, profile: Profile) -> None:
    """Ask the server something, signed.

    Raises:
        PushcliError: it does not answer, or does not accept the signature.
    """
    from pushcli.client.api import ApiClient  # noqa: PLC0415 - `--help` need not wait for it

    client = ApiClient(profile)
    try:
        client.node_states()
    except PermissionDenied as error:
        # Whoever is refused was recognized.
        app.note(f"The key is accepted, but {error}")
    except PushcliError as error:
        error.remedy = "; ".join(filter(None, [error.remedy, "--no-check adds it all the same"]))
        raise
    finally:
        client.close()


def _write_key(path: Path, profile: Profile) -> Path | None:
    """Check the key; one that was sent goes into a file of its own beside the credentials."""
    from pushcli import keys  # noqa: PLC0415 - `--help` need not wait for cryptography

    text = profile.client_key
    if not text.lstrip().startswith(_PEM):
        keys.load_private_key(Path(text), proved=True)
        return None
    file = path.parent / f"{_file_name(profile.name)}.pem"
    pair = keys.private_key(text.encode(), f"profile {profile.name!r}", proved=True)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys.write_private_key(file, pair)
    return file


def _file_name(name: str) -> str:
    if not name.isprintable() or "/" in name or name.startswith("."):
        raise ConfigError(f"invalid profile name {name!r}", "use letters, digits and _ . : -")
    return name.replace(":", "_")
