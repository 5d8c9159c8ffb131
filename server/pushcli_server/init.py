"""`pushcli server init`: a new server's directory, whole or not at all."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from pushcli import keys, tls
from pushcli.errors import ConfigError, StoreError, UsageError
from pushcli.protocol import names
from pushcli_server import new_directory, secrets, settings, tokens
from pushcli_server.founding import GROUPS, founding, validator_name
from pushcli_server.settings import Settings
from pushcli_server.store import (
    CannotApply,
    CannotStore,
    Store,
    StoreUnavailable,
    identity_reads,
    operations,
)
from pushcli_server.store.database import is_empty, named, sqlite_file
from pushcli_server.store.records import AuditRecord, TokenRecord

T = TypeVar("T")
SUPERUSER = "pivotal"
_PARTS = ("secrets", "secrets.next", "secrets.previous", "blobs", "keys", settings.DATABASE)
"""What only a server that was made has in its directory."""
TOKEN_LIFE = 86_400.0
"""Seconds for which the first node can enroll with the token that a new server has."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What `create` did.

    Args:
        validator_key: None: nodes enroll with tokens.
        token: enrolls the first node, within `TOKEN_LIFE`; only its digest is stored.
    """

    directory: Path
    url: str
    admin_key: Path
    validator_key: Path | None
    fingerprint: str | None
    token: str


def holds_server(directory: Path) -> bool:
    """Whether one was made there.

    Raises:
        ConfigError: it cannot be read.
    """
    with _readable(directory):
        return (directory / settings.FILE).exists() and not is_prepared(directory)


def require_room(directory: Path, *, org: str | None, admin: str | None) -> None:
    """What must be known before a server is made in a directory that holds none.

    Args:
        org, admin: None: these are on a Chef Infra Server.

    Raises:
        UsageError: names that cannot be.
        ConfigError: something is in the way.
    """
    if org is not None and admin is not None:
        _check_names(org, admin)
    with _readable(directory):
        _require_room(directory)


def bring_up_to_date(directory: Path, org: str | None) -> None:
    """The database of the server that a directory holds; all else stays as it is.

    Args:
        org: an organization that it must have; None: any.

    Raises:
        ConfigError, StoreError: something is in the way.
    """
    with _readable(directory):
        _require_owner(directory)
        _bring_up_to_date(directory, org)


@contextlib.contextmanager
def _readable(directory: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ConfigError(
            f"cannot read {directory}: {error.strerror}",
            "run it as its owner, or give another --dir",
        ) from error


def is_prepared(directory: Path) -> bool:
    """Whether there are settings of which a server is to be made, and nothing of a server yet.

    What they name may lie beside them, such as `chef_key`.
    """
    try:
        found = {path.name for path in directory.iterdir()}
    except OSError:
        # Whoever goes on finds out.
        return False
    return settings.FILE in found and found.isdisjoint(_PARTS)


def create(
    directory: Path,
    *,
    org: str,
    admin: str,
    config: Settings,
    with_tls: bool,
    with_validator: bool = True,
) -> Made:
    """Make a server in a directory that `require_room` found free.

    Raises:
        UsageError, ConfigError, StartError, StoreError: something is in the way.
    """

    def build(place: Path) -> Made:
        return _build(place, directory, org, admin, config, with_tls, with_validator)

    return new_directory.make(directory, build)


def create_beside_chef(directory: Path, *, config: Settings, with_tls: bool) -> str | None:
    """Make a server whose users, clients and groups are those of a Chef Infra Server.

    Returns:
        The fingerprint of its certificate, if one was made.

    Raises:
        UsageError, ConfigError, StartError, StoreError: something is in the way.
    """

    def build(place: Path) -> str | None:
        _, fingerprint = _build_bare(place, config, with_tls)
        return fingerprint

    return new_directory.make(directory, build)


def _require_owner(directory: Path) -> None:
    """What root wrote into another user's server, that server could not read."""
    if (directory / settings.FILE).stat().st_uid != os.geteuid():
        raise ConfigError(
            f"the server in {directory} belongs to another user",
            "run it as its owner, or give another --dir",
        )


def _bring_up_to_date(directory: Path, org: str | None) -> None:
    existing = settings.load(directory)
    url = existing.database(directory)
    if not existing.database_url and not (directory / settings.DATABASE).exists():
        # A new one would be empty, and look as if all were well.
        raise StoreError(
            f"no database at {directory / settings.DATABASE}",
            "restore it from a backup, or make a new server in another directory",
        )
    if sqlite_file(url) is None and is_empty(url):
        raise StoreError(
            f"the server in {directory} has a database, and {named(url)} holds none",
            "correct database_url in its server.toml, or restore a backup",
        )
    Store.create(url, directory / "blobs")
    if org is not None and not asyncio.run(_has(url, directory / "blobs", org)):
        raise ConfigError(
            f"the server in {directory} has no organization {org!r}",
            "give the one that it was made with, or another --dir",
        )


async def _has(database: str, blobs: Path, org: str) -> bool:
    store = Store.open(database, blobs)
    try:
        return await store.ask(identity_reads.organization_exists, org)
    finally:
        await store.close()


def _check_names(org: str, admin: str) -> None:
    if not names.is_organization_name(org):
        raise UsageError(f"invalid organization name {org!r}", "use a-z, 0-9, - and _")
    if not names.is_node_name(admin):
        raise UsageError(f"invalid user name {admin!r}", "use letters, digits and _ . : -")
    if admin in {SUPERUSER, validator_name(org)}:
        raise UsageError(f"{admin!r} is made by itself", "give another name for the first user")


def _require_room(directory: Path) -> None:
    if is_prepared(directory):
        return
    if not new_directory.is_free(directory):
        raise ConfigError(
            f"{directory} is not empty and holds no server", "give an empty or a new directory"
        )


def _build_bare(place: Path, config: Settings, with_tls: bool) -> tuple[Settings, str | None]:
    """All but who there is; the settings as they are written, and the fingerprint."""
    place.mkdir(mode=0o700)
    if with_tls:
        if config.tls:
            raise UsageError("tls_cert is given already", "leave out --tls")
        config = msgspec.structs.replace(config, tls_cert="tls/cert.pem", tls_key="tls/key.pem")
    settings.check(config, settings.FILE)
    fingerprint = _make_certificate(place, config.server_name) if with_tls else None
    # A database's URL may hold a password.
    keys.write_secret(place / settings.FILE, settings.render(config).encode())
    secrets.create(place)
    Store.create(config.database(place), place / "blobs")
    return config, fingerprint


def _build(
    place: Path,
    final: Path,
    org: str,
    admin: str,
    config: Settings,
    with_tls: bool,
    with_validator: bool,
) -> Made:
    config, fingerprint = _build_bare(place, config, with_tls)
    (place / "keys").mkdir(mode=0o700)
    validator = validator_name(org)
    holders = (admin, SUPERUSER, *([validator] if with_validator else []))
    pairs = {name: keys.generate() for name in holders}
    for name, pair in pairs.items():
        keys.write_private_key(place / "keys" / f"{name}.pem", pair)
    public = {name: keys.public_pem(pair) for name, pair in pairs.items()}
    database = config.database(place)
    token, text = tokens.make(
        org, node=None, uses=1, expires_in=TOKEN_LIFE, by=admin, at=time.time()
    )
    asyncio.run(_fill(database, place / "blobs", org, admin, public, token))
    return Made(
        directory=final,
        url=f"{config.api_url}/organizations/{org}",
        admin_key=final / "keys" / f"{admin}.pem",
        validator_key=final / "keys" / f"{validator}.pem" if with_validator else None,
        fingerprint=fingerprint,
        token=text,
    )


def _make_certificate(place: Path, name: str) -> str:
    certificate, key = tls.make_self_signed([name])
    (place / "tls").mkdir(mode=0o700)
    keys.write_secret(place / "tls" / "cert.pem", certificate.encode())
    keys.write_secret(place / "tls" / "key.pem", key)
    return tls.certificate_fingerprint(certificate)


async def _fill(
    database: str,
    blobs: Path,
    org: str,
    admin: str,
    public: Mapping[str, str],
    token: TokenRecord,
) -> None:
    store = Store.open(database, blobs)
    store.start(asyncio.get_running_loop(), lambda _: None)
    members = [operations.AddMember(org, group, "user", admin) for group in GROUPS]
    record = AuditRecord(
        at=time.time(),
        org=org,
        actor_kind="user",
        actor=admin,
        action="server init",
        target=org,
        origin="local",
    )
    try:
        await store.write(
            *founding(org, public.get(validator_name(org))),
            operations.CreateUser(name=SUPERUSER, public_key=public[SUPERUSER], superuser=True),
            operations.CreateUser(name=admin, public_key=public[admin]),
            operations.AssociateUser(org, admin),
            *members,
            operations.CreateToken(token),
            operations.Audit(record),
        )
    except CannotApply as error:
        raise ConfigError(
            "the database holds a server already", "give another database_url, or its directory"
        ) from error
    except (CannotStore, StoreUnavailable) as error:
        raise StoreError(f"cannot write the database: {error}", "check database_url") from error
    finally:
        await store.close()
