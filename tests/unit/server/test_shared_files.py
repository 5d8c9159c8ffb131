"""What a new server gets from another: only what servers share, or nothing."""

from pathlib import Path

import pytest

from pushcli.errors import ConfigError, KeyFileError
from pushcli_server import secrets, settings, shared_files
from pushcli_server.settings import Settings

NAMES = {"server.toml", "secrets/rsa.pem", "secrets/curve.key", "secrets/session.key"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Of a server with a certificate, keys of people, and secrets that were rotated."""
    place = tmp_path_factory.mktemp("first")
    for name in ("tls/cert.pem", "tls/key.pem", "keys/pivotal.pem", "blobs/ab/cd", "notes.txt"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    made = Settings(tls_cert="tls/cert.pem", tls_key="tls/key.pem")
    (place / settings.FILE).write_text(settings.render(made))
    secrets.create(place)
    secrets.rotate(place, 2e9, 1e9)
    return shared_files.collect(place, "run").files


def below(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def test_only_what_servers_share_is_shared(files: dict[str, bytes]) -> None:
    previous = {name.replace("secrets", "secrets.previous") for name in NAMES - {"server.toml"}}
    others = {"secrets/former_until", "tls/cert.pem", "tls/key.pem"}
    assert files.keys() == NAMES | previous | others
    assert "rsa.pem" not in repr(shared_files.Shared(version="", incarnation_id="", files=files))


def test_nothing_else_is_written_wherever_it_wants_to_go(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    more = {
        "../evil": b"x", "/tmp/evil": b"x", "secrets/../../evil": b"x", "secrets/evil": b"x",
        "keys/pivotal.pem": b"x", "pushcli.db": b"x", "blobs/ab/cd": b"x",
    }  # fmt: skip
    shared_files.write(place, files | more)
    assert below(tmp_path) == {f"place/{name}" for name in files}
    assert secrets.load(place).previous_until == 2e9


@pytest.mark.parametrize("name", ["../evil.pem", "/etc/evil.pem", "tls/../../evil.pem"])
def test_settings_that_name_a_file_elsewhere_bring_none(
    files: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    made = Settings(tls_cert=name, tls_key="tls/key.pem")
    wicked = files | {settings.FILE: settings.render(made).encode(), name: b"x"}
    place = tmp_path / "place"
    place.mkdir()
    config = shared_files.write(place, wicked)
    assert shared_files.named_outside(config) == [name]
    assert below(tmp_path) == {f"place/{one}" for one in files.keys() - {"tls/cert.pem"}}


@pytest.mark.parametrize(
    "change",
    [
        {settings.FILE: b"leese = 3\n"}, {settings.FILE: b"\xff"}, {"secrets/rsa.pem": b"no key"},
        {"secrets/curve.key": b"no key"}, {"secrets/session.key": b"short"},
    ],
)  # fmt: skip
def test_what_no_server_has_is_refused(
    files: dict[str, bytes], tmp_path: Path, change: dict[str, bytes]
) -> None:
    with pytest.raises(ConfigError):
        shared_files.write(tmp_path, files | change)


@pytest.mark.parametrize("name", [*sorted(NAMES), "tls/cert.pem"])
def test_what_is_missing_is_missed(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    there = {one: content for one, content in files.items() if one != name}
    # Without settings there is no certificate to miss.
    if name == settings.FILE:
        shared_files.write(tmp_path, there)
        assert below(tmp_path).isdisjoint({"tls/cert.pem", "tls/key.pem"})
        return
    with pytest.raises(ConfigError):
        shared_files.write(tmp_path, there)


def test_damaged_secrets_replace_nothing(files: dict[str, bytes], tmp_path: Path) -> None:
    shared_files.write(tmp_path, files)
    before = {name: (tmp_path / name).read_bytes() for name in below(tmp_path)}
    with pytest.raises(KeyFileError):
        shared_files.replace(tmp_path, files | {"secrets/session.key": b"short"})
    assert {name: (tmp_path / name).read_bytes() for name in below(tmp_path)} == before
    assert not list(tmp_path.glob("*.next"))
    assert shared_files.replace(tmp_path, files) == []


def test_previous_secrets_that_were_ended_end_here_too(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    shared_files.write(tmp_path, files)
    assert secrets.load(tmp_path).previous is not None
    ended = {
        name: content for name, content in files.items()
        if not name.startswith("secrets.previous") and name != "secrets/former_until"
    }  # fmt: skip
    assert shared_files.replace(tmp_path, ended) == ["secrets"]
    assert secrets.load(tmp_path).previous is None
    assert not (tmp_path / "secrets.previous").exists()
