"""Enrolment: the node makes its key, the server learns the public half.

The private key never leaves the node. Both files are written in full before the server is
told, and get their names after it agreed: a failure leaves nothing half done.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pushcli import errors, keys, names, tls
from pushcli.client import ApiClient
from pushcli.credentials import Profile
from pushcli_agent import config


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What to enroll, where, and by whose key."""

    server_url: str
    node_name: str
    validator_key: Path
    directory: Path
    validator_name: str | None = None
    """Default: ORG-validator."""
    ca_file: Path | None = None
    fingerprint: str | None = None


def enroll(wanted: Enrolment) -> Path:
    """Make the node's key, register it, and write the agent's directory.

    Returns:
        The agent's configuration file.

    Raises:
        PushcliError: it is enrolled already, or something failed; nothing was changed.
    """
    organization = config.check_server_url(wanted.server_url)
    tls.require_safe_url(wanted.server_url)
    if not names.is_node_name(wanted.node_name):
        raise errors.UsageError(
            f"{wanted.node_name!r} is no node name", "use letters, digits and _ . : -"
        )
    try:
        _refuse_a_second(wanted.directory)
        return _enroll(wanted, ApiClient(_validator(wanted, organization)))
    except OSError as error:
        raise errors.ConfigError(
            f"cannot write {error.filename or wanted.directory}: {error.strerror}",
            "check the directory and its owner",
        ) from error


def _enroll(wanted: Enrolment, client: ApiClient) -> Path:
    with _prepared(wanted.directory) as (key_file, settings_file):
        key = keys.generate()
        keys.write_private_key(key_file, key)
        keys.write_secret(settings_file, _settings(wanted).encode())
        _register(client, wanted, keys.public_pem(key))
        key_file.rename(wanted.directory / config.KEY_FILE)
        return settings_file.rename(wanted.directory / config.FILE)


def _refuse_a_second(directory: Path) -> None:
    for name in (config.FILE, config.KEY_FILE):
        if (directory / name).exists():
            raise errors.ConfigError(
                f"{directory} is enrolled already: {name} is there",
                "start it with `pushcli agent start`, or give another --dir",
            )


def _validator(wanted: Enrolment, organization: str) -> Profile:
    return Profile(
        name="validator",
        chef_server_url=wanted.server_url,
        client_name=wanted.validator_name or f"{organization}-validator",
        client_key=str(wanted.validator_key),
        ca_file=wanted.ca_file,
        fingerprint=wanted.fingerprint,
    )


@contextmanager
def _prepared(directory: Path) -> Iterator[tuple[Path, Path]]:
    """Names for the files to be; afterwards neither they nor a new empty directory are left."""
    is_new = not directory.exists()
    files = (directory / f".{config.KEY_FILE}.new", directory / f".{config.FILE}.new")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in files:
            file.unlink(missing_ok=True)
        yield files
    finally:
        if directory.is_dir():
            for file in files:
                file.unlink(missing_ok=True)
            if is_new and not any(directory.iterdir()):
                directory.rmdir()


def _register(client: ApiClient, wanted: Enrolment, public_key: str) -> None:
    try:
        client.post("clients", {"name": wanted.node_name, "public_key": public_key})
    except errors.RequestRefused as error:
        if "409" not in error.message:
            raise
        raise errors.RequestRefused(
            f"a client named {wanted.node_name} is registered already",
            "choose another --node-name, or have an administrator delete that client",
        ) from error
    except errors.AuthenticationError as error:
        raise errors.AuthenticationError(
            error.message, "check --validator and --validator-name"
        ) from error
    finally:
        client.close()


def _settings(wanted: Enrolment) -> str:
    lines = [
        "# The agent of this node; docs/agent.md explains every key.",
        f"chef_server_url = {_text(wanted.server_url)}",
        f"node_name = {_text(wanted.node_name)}",
        f'client_key = "{config.KEY_FILE}"',
    ]
    if wanted.ca_file is not None:
        lines.append(f"ca_file = {_text(str(wanted.ca_file.absolute()))}")
    if wanted.fingerprint is not None:
        lines.append(f"fingerprint = {_text(wanted.fingerprint)}")
    lines += [
        "",
        '# What operators may start here: name = "command".',
        "[whitelist]",
        '# ntpdate = "ntpdate -u time.example.com"',
    ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    # A JSON string without other escapes is a TOML basic string.
    return json.dumps(value, ensure_ascii=False)
