"""What a new server gets from another: only what servers share, or nothing."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli import tls
from pushcli.errors import ConfigError, KeyFileError
from pushcli_server import secrets, settings, shared_files
from pushcli_server.settings import Settings
from pushcli_server.shared_files import Shared

KEYS = {"secrets/rsa.pem", "secrets/curve.key", "secrets/session.key"}
PREVIOUS = {name.replace("secrets", "secrets.previous") for name in KEYS}
UNTIL = "secrets/former_until"
TLS = {"tls/cert.pem", "tls/key.pem"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server with a certificate, keys of people, and secrets that were rotated."""
    place = tmp_path_factory.mktemp("first")
    for name in ("keys/pivotal.pem", "blobs/ab/cd", "notes.txt"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    with_certificate(place)
    made = Settings(tls_cert="tls/cert.pem", tls_key="tls/key.pem")
    (place / settings.FILE).write_text(settings.render(made))
    secrets.create(place)
    secrets.rotate(place, time.time() + 3600, time.time())
    return place


def with_certificate(place: Path) -> None:
    certificate, key = tls.make_self_signed(["push.example.com"])
    (place / "tls").mkdir(exist_ok=True)
    (place / "tls/cert.pem").write_text(certificate)
    (place / "tls/key.pem").write_bytes(key)


@pytest.fixture(scope="module")
def shared(first: Path) -> Shared:
    return shared_files.collect(first, "run")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir()
    return made


def but(shared: Shared, **changes: Any) -> Shared:
    """With other settings, and files that are added, or gone where they are None."""
    fields: dict[str, Any] = {}
    for name, change in changes.items():
        now = getattr(shared, name)
        if isinstance(now, dict):
            fields[name] = {k: v for k, v in (now | change).items() if v is not None}
        else:
            fields[name] = change
    return msgspec.structs.replace(shared, **fields)


def of(made: Settings) -> bytes:
    return settings.render(made).encode()


def below(place: Path) -> dict[str, bytes]:
    files = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def test_only_what_servers_share_is_shared(shared: Shared) -> None:
    assert shared.secrets.keys() == KEYS | PREVIOUS | {UNTIL}
    assert shared.named.keys() == {"tls_cert", "tls_key"}
    assert "PRIVATE" not in repr(shared)


def test_previous_secrets_whose_time_is_over_are_not(first: Path, tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_bytes((first / settings.FILE).read_bytes())
    secrets.create(tmp_path)
    secrets.rotate(tmp_path, time.time() - 1, time.time() - 2)
    with_certificate(tmp_path)
    assert shared_files.collect(tmp_path, "run").secrets.keys() == KEYS


def test_nothing_else_is_written_wherever_it_wants_to_go(shared: Shared, place: Path) -> None:
    wicked = but(
        shared,
        secrets={
            "../evil": b"x", "/tmp/evil": b"x", "secrets/../../evil": b"x", "secrets/evil": b"x",
        },
        named={"log_file": b"x", "keys/pivotal.pem": b"x"},
    )  # fmt: skip
    shared_files.write(place, wicked)
    names = KEYS | PREVIOUS | TLS | {UNTIL, settings.FILE}
    assert below(place.parent).keys() == {f"place/{name}" for name in names}
    assert secrets.load(place).previous is not None
    assert secrets.made_at(place) == pytest.approx(shared.made_at)


@pytest.mark.parametrize("name", ["../evil.pem", "/etc/evil.pem", "tls/../../evil.pem"])
def test_settings_that_name_a_file_elsewhere_bring_none(
    shared: Shared, place: Path, name: str
) -> None:
    made = Settings(tls_cert=name, tls_key="tls/key.pem")
    config = shared_files.write(place, but(shared, settings=of(made)))
    assert shared_files.named_outside(place, config) == [name]
    assert {path.name for path in place.parent.iterdir()} == {"place"}
    assert not (place / "tls/cert.pem").exists()


def test_a_link_leads_elsewhere(shared: Shared, place: Path, tmp_path: Path) -> None:
    config = shared_files.write(place, shared)
    elsewhere = tmp_path / "live.pem"
    (place / "tls/cert.pem").rename(elsewhere)
    (place / "tls/cert.pem").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert shared_files.replace(place, but(shared, named={"tls_cert": b"another"})) == []
    assert (place / "tls/cert.pem").is_symlink()
    assert elsewhere.read_bytes() == before
    assert shared_files.named_outside(place, config) == ["tls/cert.pem"]
    assert "tls_cert" not in shared_files.collect(place, "run").named


def test_one_file_may_be_both(shared: Shared, place: Path, first: Path) -> None:
    both = b"".join((first / name).read_bytes() for name in sorted(TLS))
    made = Settings(tls_cert="both.pem", tls_key="both.pem")
    shared_files.write(
        place, but(shared, settings=of(made), named={"tls_cert": both, "tls_key": both})
    )
    assert (place / "both.pem").read_bytes() == both


@pytest.mark.parametrize(
    "change",
    [
        {"settings": b"leese = 3\n"}, {"settings": b"\xff"},
        {"secrets": {"secrets/rsa.pem": b"no key"}}, {"secrets": {"secrets/curve.key": b"no key"}},
        {"secrets": {"secrets/session.key": b"short"}},
        {"secrets": {"secrets.previous/rsa.pem": b"no key"}}, {"secrets": {UNTIL: b"soon"}},
        {"secrets": {UNTIL: b"nan"}}, {"secrets": {UNTIL: b"inf"}},
        {"named": {"tls_key": b"no key"}},
        *({"secrets": {name: None}} for name in sorted(KEYS | PREVIOUS | {UNTIL})),
        {"secrets": dict.fromkeys(PREVIOUS)},
    ],
)  # fmt: skip
def test_what_no_server_has_is_refused_and_replaces_nothing(
    shared: Shared, place: Path, change: dict[str, Any]
) -> None:
    bad = but(shared, **change)
    with pytest.raises(ConfigError):
        shared_files.write(place, bad)
    if "settings" in change:
        return
    there = place.parent / "there"
    there.mkdir()
    shared_files.write(there, shared)
    before = below(there)
    with pytest.raises(ConfigError):
        shared_files.replace(there, bad)
    assert below(there) == before


def test_secrets_that_are_broken_here_are_mended(shared: Shared, place: Path) -> None:
    shared_files.write(place, shared)
    (place / "secrets/session.key").unlink()
    with pytest.raises(KeyFileError):
        secrets.load(place)
    assert shared_files.replace(place, shared) == ["secrets"]
    assert secrets.load(place).current.session == shared.secrets["secrets/session.key"]
    assert shared_files.replace(place, shared) == []


@pytest.mark.parametrize("gone", ["secrets", ""])
def test_one_that_was_cut_off_is_gone_on_with(shared: Shared, place: Path, gone: str) -> None:
    """The new ones were whole, and had not their name yet."""
    shared_files.write(place, shared)
    (place / "secrets").rename(place / "secrets.old")
    (place / "secrets.next").mkdir()
    for name in (*KEYS, UNTIL):
        target = place / name.replace("secrets/", "secrets.next/")
        target.write_bytes(shared.secrets[name])
        target.chmod(0o600)
    assert secrets.load(place).current.session == shared.secrets["secrets/session.key"]
    assert shared_files.replace(place, shared) == []


def test_newer_ones_are_not_replaced_by_older(shared: Shared, place: Path) -> None:
    """Somebody rotated here, where no agent knows of it."""
    shared_files.write(place, shared)
    secrets.rotate(place, None, time.time())
    os.utime(place / "secrets/rsa.pem", (shared.made_at + 60,) * 2)
    before = below(place)
    with pytest.raises(ConfigError, match="are newer than those of that server"):
        shared_files.replace(place, shared)
    assert below(place) == before


def test_previous_secrets_that_were_ended_end_here_too(shared: Shared, place: Path) -> None:
    shared_files.write(place, shared)
    assert secrets.load(place).previous is not None
    ended = but(shared, secrets=dict.fromkeys(PREVIOUS | {UNTIL}))
    assert shared_files.replace(place, ended) == ["secrets"]
    assert secrets.load(place).previous is None
    assert not (place / "secrets.previous").exists()


def test_what_the_own_settings_name_is_replaced(shared: Shared, place: Path, first: Path) -> None:
    """Its paths are its own."""
    shared_files.write(place, shared)
    made = Settings(tls_cert="mine/cert.pem", tls_key="mine/key.pem")
    (place / settings.FILE).write_bytes(of(made))
    assert shared_files.replace(place, shared) == ["mine/cert.pem", "mine/key.pem"]
    assert (place / "mine/cert.pem").read_bytes() == (first / "tls/cert.pem").read_bytes()
    assert (place / "mine/key.pem").stat().st_mode & 0o077 == 0
