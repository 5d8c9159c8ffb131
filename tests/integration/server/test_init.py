"""`pushcli server init`: what it makes, and what it leaves alone."""

import asyncio
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pushcli import keys, tls
from pushcli.client.credentials import load_profile
from pushcli.errors import ConfigError, PushcliError, StartError, StoreError, UsageError
from pushcli.exit_status import ExitStatus
from pushcli_server import secrets, settings
from pushcli_server.init import Made, bring_up_to_date, create, holds_server, require_room
from pushcli_server.settings import Settings
from pushcli_server.store import Store, identity_reads, reads
from tests.integration.server.commands import one_line, pushcli
from tests.support.full_disk import needs_mount, small_disk
from tests.support.postgresql import throw_away_database

pytestmark = pytest.mark.slow

GROUPS = ("admins", "pushy_job_readers", "pushy_job_writers")


def init(directory: Path, **more: Any) -> Made | None:
    given: dict[str, Any] = {
        "org": "acme", "admin": "ann", "config": Settings(), "with_tls": False, **more,
    }  # fmt: skip
    if holds_server(directory):
        bring_up_to_date(directory, given["org"])
        return None
    require_room(directory, org=given["org"], admin=given["admin"])
    return create(directory, **given)


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes and time of change."""
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def made(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """A server made by the command, with a certificate."""
    directory = tmp_path_factory.mktemp("servers") / "below" / "server"
    done = pushcli(
        home,
        ["server", "init", "--dir", directory, "--org", "acme", "--admin", "ann", "--tls"],
    )
    assert done.returncode == 0, done.stderr
    return directory, done


Made_ = tuple[Path, "subprocess.CompletedProcess[str]"]


def test_everything_is_there_and_for_its_owner_alone(made: Made_) -> None:
    directory, _ = made
    files = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
    assert files - {"pushcli.db-wal", "pushcli.db-shm"} == {
        "server.toml", "pushcli.db", "secrets/rsa.pem", "secrets/curve.key",
        "secrets/session.key", "keys/ann.pem", "keys/acme-validator.pem", "keys/pivotal.pem",
        "tls/cert.pem", "tls/key.pem",
    }  # fmt: skip
    for path in [directory, *directory.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_it_says_what_it_made(made: Made_) -> None:
    directory, done = made
    fingerprint = tls.certificate_fingerprint((directory / "tls" / "cert.pem").read_text())
    assert f"Certificate fingerprint: {fingerprint}\n" in done.stdout
    for file in ("ann.pem", "acme-validator.pem"):
        assert str(directory / "keys" / file) in done.stdout
    assert "profile 'default'" in done.stdout
    assert done.stderr == ""


def test_the_settings_and_secrets_it_made_can_be_used(made: Made_) -> None:
    directory, _ = made
    config = settings.load(directory)
    assert (config.tls_cert, config.tls_key) == ("tls/cert.pem", "tls/key.pem")
    own = secrets.load(directory).current
    assert (len(own.curve_public), len(own.curve_secret), len(own.session)) == (40, 40, 32)
    assert "PRIVATE" not in repr(own)
    assert own.curve_secret.decode() not in repr(own)


def test_the_organization_is_there_with_its_first_user_and_validator(made: Made_) -> None:
    directory, _ = made
    seen: dict[str, Any] = {}

    async def look() -> None:
        store = Store.open(settings.load(directory).database(directory), directory / "blobs")
        for name in ("ann", "acme-validator", "pivotal"):
            (seen[name],) = await store.ask(identity_reads.principals, "acme", name)
        seen["groups"] = [
            await store.ask(identity_reads.is_member, "acme", "user", "ann", g) for g in GROUPS
        ]
        seen["others"] = [
            await store.ask(identity_reads.is_member, "acme", kind, name, group)
            for group in GROUPS
            for kind, name in (("client", "acme-validator"), ("user", "pivotal"))
        ]
        seen["audit"] = [
            (entry.actor_kind, entry.actor, entry.action)
            for entry in await store.ask(reads.audit, "acme")
        ]
        await store.close()

    asyncio.run(look())
    assert (seen["ann"].kind, seen["ann"].associated, seen["ann"].superuser) == (
        "user", True, False,
    )  # fmt: skip
    assert (seen["acme-validator"].kind, seen["acme-validator"].validator) == ("client", True)
    assert seen["pivotal"].superuser
    for name in ("ann", "acme-validator", "pivotal"):
        key = keys.load_private_key(directory / "keys" / f"{name}.pem")
        assert seen[name].public_keys == (keys.public_pem(key),)
    assert (all(seen["groups"]), any(seen["others"])) == (True, False)
    assert seen["audit"] == [("user", "ann", "server init")]


def test_without_a_validator_nobody_can_register_any_number_of_nodes(
    tmp_path: Path, home: Path
) -> None:
    directory = tmp_path / "server"
    done = pushcli(
        home,
        ["server", "init", "--dir", directory, "--org", "acme", "--admin", "ann", "--no-tls",
         "--no-validator"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (directory / "keys").iterdir()} == {"ann.pem", "pivotal.pem"}
    assert "node token create" in done.stdout
    assert "Key for enrolling" not in done.stdout

    async def clients() -> list[str]:
        store = Store.open(settings.load(directory).database(directory), directory / "blobs")
        try:
            return await store.ask(identity_reads.clients, "acme")
        finally:
            await store.close()

    assert asyncio.run(clients()) == []


def test_the_profile_it_added_can_be_used(made: Made_, home: Path) -> None:
    directory, _ = made
    profile = load_profile(None, {}, config=home / ".pushcli" / "credentials")
    assert (profile.client_name, profile.chef_server_url) == (
        "ann", "https://127.0.0.1:10003/organizations/acme",
    )  # fmt: skip
    assert profile.fingerprint == tls.certificate_fingerprint(
        (directory / "tls" / "cert.pem").read_text()
    )
    keys.load_private_key(Path(profile.client_key))


def test_a_second_init_changes_nothing_and_says_so(made: Made_, home: Path) -> None:
    directory, _ = made
    before = contents(directory), contents(home)
    again = pushcli(
        home,
        ["server", "init", "--dir", directory, "--org", "acme", "--admin", "bob"],
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"{directory} already holds a server: nothing was changed\n"
    assert (contents(directory), contents(home)) == before


def test_a_server_without_that_organization_is_not_taken_for_it(made: Made_, home: Path) -> None:
    directory, _ = made
    before = contents(directory), contents(home)
    done = pushcli(
        home,
        ["server", "init", "--dir", directory, "--org", "other", "--admin", "bob"],
    )
    assert (done.returncode, done.stdout) == (ExitStatus.CONFIG, "")
    assert "has no organization 'other'" in one_line(done.stderr)
    assert (contents(directory), contents(home)) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_server_of_another_user_is_left_to_him(tmp_path: Path) -> None:
    place = tmp_path / "s"
    assert init(place) is not None
    os.chown(place / "server.toml", 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to another user: run it as its owner"):
        init(place)


@needs_mount
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(PushcliError, match="full: make room on its disk"):
            init(disk / "s")
        assert list(disk.iterdir()) == []


def test_it_ends_with_what_enrolls_a_node_and_what_makes_a_profile_elsewhere(made: Made_) -> None:
    directory, done = made
    fingerprint = tls.certificate_fingerprint((directory / "tls" / "cert.pem").read_text())
    assert f"  pushcli server start --dir {directory}\n" in done.stdout
    _, token, rest = re.split(r"PUSHCLI_ENROLL_TOKEN=(\S+)", done.stdout)
    assert re.fullmatch(r"[0-9a-f]{16}\.\S{43}", token)
    assert (
        "    --server https://127.0.0.1:10003/organizations/acme \\\n"
        f"    --fingerprint {fingerprint}\n"
    ) in rest
    url = "https://127.0.0.1:10003/organizations/acme"
    adding = f"pushcli config add-profile --server-url {url} -u ann -k ann.pem"
    assert f"  {adding} --fingerprint {fingerprint}\n" in rest
    assert "user create bob --print-profile -u pivotal" in rest


def test_the_directory_may_come_from_the_environment(tmp_path: Path) -> None:
    done = pushcli(
        tmp_path,
        ["server", "init", "--org", "acme", "--admin", "ann"],
        PUSHCLI_SERVER_DIR=str(tmp_path / "there"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "server.toml").exists()
    assert "fingerprint" not in done.stdout


@pytest.mark.parametrize(
    ("options", "certificate"),
    [
        (["--server-name", "push.example.com"], "tls/cert.pem"),
        (["--server-name", "push.example.com", "--no-tls"], ""),
        (["--server-name", "localhost"], ""),
        (["--server-name", "push.example.com", "--set=tls_cert=/c", "--set=tls_key=/k"], "/c"),
        # The address is checked with the certificate that is made for it.
        (["--server-name", "push.example.com", "--set=api_listen_address=0.0.0.0"],
         "tls/cert.pem"),
    ],
)  # fmt: skip
def test_beyond_loopback_a_certificate_is_made_unless_there_is_one(
    tmp_path: Path, options: list[str], certificate: str
) -> None:
    place = tmp_path / "s"
    base: list[str | Path] = ["server", "init", "--dir", place, "--org", "acme", "--admin", "ann"]
    done = pushcli(tmp_path, [*base, *options])
    assert done.returncode == 0, done.stderr
    assert settings.load(place).tls_cert == certificate
    assert ("Certificate fingerprint: SHA256:" in done.stdout) == certificate.startswith("tls/")


def test_profiles_that_are_there_stay_and_their_file_keeps_its_mode(tmp_path: Path) -> None:
    credentials = tmp_path / ".pushcli" / "credentials"
    credentials.parent.mkdir()
    old = '# mine\n[default]\nclient_name = "me"\n'
    credentials.write_text(old)
    credentials.chmod(0o600)
    options = ["--org", "acme", "--admin", "ann"]
    first = pushcli(tmp_path, ["server", "init", "--dir", tmp_path / "a", *options])
    assert f"Added profile 'acme' to {credentials}\n" in first.stdout
    text = credentials.read_text()
    assert text.startswith(old)
    assert tomllib.loads(text)["acme"]["client_key"] == str(tmp_path / "a/keys/ann.pem")
    second = pushcli(tmp_path, ["server", "init", "--dir", tmp_path / "b", *options])
    assert f"{credentials} already has such profiles: none was added\n" in second.stdout
    assert credentials.read_text() == text
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600


def test_an_empty_directory_is_filled_and_closed_to_others(tmp_path: Path) -> None:
    place = tmp_path / "volume"
    place.mkdir(mode=0o755)
    inode = place.stat().st_ino
    assert init(place) is not None
    # It may be a mounted volume: the same directory, not another in its place.
    assert place.stat().st_ino == inode
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {path.name for path in place.iterdir()} == {
        "server.toml", "pushcli.db", "secrets", "keys", "blobs",
    }  # fmt: skip
    assert init(place) is None


REFUSED: list[tuple[dict[str, Any], type[PushcliError], str]] = [
    ({"org": "Acme"}, UsageError, "invalid organization name"),
    ({"org": "../x"}, UsageError, "invalid organization name"),
    ({"admin": "../x"}, UsageError, "invalid user name"),
    ({"admin": ".."}, UsageError, "invalid user name"),
    ({"admin": "pivotal"}, UsageError, "give another name"),
    ({"admin": "acme-validator"}, UsageError, "give another name"),
    ({"config": Settings(api_port=0)}, ConfigError, "api_port is 0"),
    ({"config": Settings(api_listen_address="0.0.0.0")}, ConfigError, "plain HTTP"),
    ({"config": Settings(server_name="a b"), "with_tls": True}, ConfigError, "server_name"),
    ({"config": Settings(tls_cert="c", tls_key="k"), "with_tls": True}, UsageError, "--tls"),
    ({"config": Settings(database_url="mysql://x/y")}, ConfigError, "database_url"),
    (
        {"config": Settings(database_url="postgresql://127.0.0.1:1/none")},
        StoreError,
        "cannot use the database",
    ),
]


@pytest.mark.parametrize(("given", "kind", "told"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_cannot_be_leaves_nothing_behind(
    tmp_path: Path, given: dict[str, Any], kind: type[PushcliError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        init(tmp_path / "s", **given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "s"
    place.mkdir()
    (place / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no server"):
        init(place)
    assert [path.name for path in place.iterdir()] == ["file"]


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no server"):
        init(tmp_path / "file")
    with pytest.raises(StartError, match="cannot make"):
        init(tmp_path / "file" / "below")


def broken_file(home: Path) -> None:
    (home / ".pushcli").mkdir()
    (home / ".pushcli" / "credentials").write_text("broken [")


def directory_in_the_way(home: Path) -> None:
    (home / ".pushcli" / "credentials").mkdir(parents=True)


def file_in_the_way(home: Path) -> None:
    (home / ".pushcli").touch()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (broken_file, "not valid TOML"),
        (directory_in_the_way, "credentials"),
        (file_in_the_way, "credentials: "),
    ],
)
def test_a_profile_that_cannot_be_written_is_told_before_anything_is_made(
    tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    base = ["server", "init", "--dir", str(tmp_path / "s"), "--org", "acme", "--admin"]
    spoil(tmp_path)
    done = pushcli(tmp_path, [*base, "ann"])
    assert (done.returncode, done.stdout) == (ExitStatus.CONFIG, "")
    assert told in one_line(done.stderr)
    assert not (tmp_path / "s").exists()
    # What is wrong on the command line comes first, and a server that is there needs no profile.
    assert pushcli(tmp_path, [*base, "pivotal"]).returncode == ExitStatus.USAGE
    assert init(tmp_path / "s") is not None
    assert "nothing was changed" in pushcli(tmp_path, [*base, "ann"]).stdout


def test_a_lost_database_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    place = tmp_path / "s"
    assert init(place) is not None
    for file in place.glob("pushcli.db*"):
        file.unlink()
    with pytest.raises(StoreError, match=r"no database at .*restore it from a backup"):
        init(place)
    assert list(place.glob("pushcli.db*")) == []


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--org", "acme"], ExitStatus.USAGE, "--admin"),
        (["--org", "Acme", "--admin", "ann"], ExitStatus.USAGE, "invalid organization name"),
        (["--org", "acme", "--admin", "ann", "--set", "api_prot=1"], ExitStatus.CONFIG,
         "did you mean 'api_port'?"),
        (["--org", "acme", "--admin", "ann", "--set", "api_port"], ExitStatus.CONFIG,
         "api_port has no value: give --set api_port=VALUE"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_command_line_is_one_line(
    tmp_path: Path, arguments: list[str], status: ExitStatus, told: str
) -> None:
    done = pushcli(tmp_path, ["server", "init", "--dir", tmp_path / "s", *arguments])
    assert (done.returncode, done.stdout) == (status, "")
    assert told in one_line(done.stderr)
    assert not (tmp_path / "s").exists()


BESIDE_CHEF = [
    "--set", "identity=chef", "--set", "chef_server_url=https://chef.example.com",
    "--set", "chef_key=/etc/opscode/pivotal.pem",
]  # fmt: skip


def test_beside_a_chef_server_nobody_is_made(tmp_path: Path) -> None:
    place, home = tmp_path / "server", tmp_path / "home"
    home.mkdir()
    done = pushcli(home, ["server", "init", "--dir", place, *BESIDE_CHEF, "--tls"])
    assert done.returncode == 0, done.stderr
    assert "Certificate fingerprint: SHA256:" in done.stdout
    assert f"pushcli server start --dir {place}" in done.stdout
    assert "key:" not in done.stdout
    assert not (place / "keys").exists()
    assert not (home / ".pushcli").exists()
    assert stat.S_IMODE((place / "server.toml").stat().st_mode) == 0o600
    assert settings.load(place).identity == "chef"
    again = pushcli(home, ["server", "init", "--dir", place, *BESIDE_CHEF])
    assert (again.returncode, "nothing was changed" in again.stdout) == (0, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([*BESIDE_CHEF, "--org", "acme"], "leave out --org and --admin"),
        ([*BESIDE_CHEF, "--admin", "ann"], "leave out --org and --admin"),
        (BESIDE_CHEF[:4], "needs chef_key"),
        (["--admin", "ann"], "no --org given"),
        ([], "no --org given"),
    ],
)
def test_who_there_is_is_known_in_one_place(tmp_path: Path, options: list[str], words: str) -> None:
    done = pushcli(tmp_path, ["server", "init", "--dir", tmp_path / "server", *options])
    assert done.returncode in {ExitStatus.USAGE, ExitStatus.CONFIG}
    assert words in one_line(done.stderr)
    assert not (tmp_path / "server").exists()


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Settings of a server beside a Chef Infra Server, and the key that they name."""
    place = tmp_path / "server"
    place.mkdir()
    (place / "server.toml").write_text(
        'identity = "chef"\nchef_server_url = "https://chef.example.com"\nchef_key = "it.pem"\n'
    )
    (place / "it.pem").write_text("a key")
    return place


def test_what_settings_name_may_lie_beside_them(tmp_path: Path, prepared: Path) -> None:
    init: list[str | Path] = ["server", "init", "--dir", prepared]
    early = pushcli(tmp_path, ["server", "start", "--dir", prepared])
    assert "has no secrets: run `pushcli server init` first" in one_line(early.stderr)
    done = pushcli(tmp_path, init)
    assert (done.returncode, done.stderr) == (0, "")
    assert (prepared / "it.pem").read_text() == "a key"
    assert settings.load(prepared).chef_key == "it.pem"
    again = pushcli(tmp_path, init)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"{prepared} already holds a server: nothing was changed\n"


def test_a_certificate_that_lies_there_is_not_replaced(tmp_path: Path, prepared: Path) -> None:
    (prepared / "tls").mkdir()
    done = pushcli(tmp_path, ["server", "init", "--dir", prepared, "--tls"])
    assert done.returncode == ExitStatus.CONFIG
    assert f"{prepared / 'tls'} is in the way: move it away" in one_line(done.stderr)
    assert {path.name for path in prepared.iterdir()} == {"server.toml", "it.pem", "tls"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_what_root_makes_in_a_directory_is_its_owners(tmp_path: Path, prepared: Path) -> None:
    for path in (prepared, *prepared.iterdir()):
        os.chown(path, 12345, 12345)
    done = pushcli(tmp_path, ["server", "init", "--dir", prepared])
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.stat().st_uid for path in (prepared, *prepared.rglob("*"))} == {12345}


def test_a_server_whose_database_is_empty_is_told_and_nothing_is_made_there(
    tmp_path: Path,
) -> None:
    """It would begin with nothing, and look as if all were well."""
    directory = tmp_path / "server"
    made = pushcli(
        tmp_path, ["server", "init", "--dir", directory, "--org", "acme", "--admin", "ann"]
    )
    assert made.returncode == 0, made.stderr
    with throw_away_database() as url:
        file = directory / "server.toml"
        file.write_text(f'{file.read_text()}\ndatabase_url = "{url}"\n')
        for command in ("init", "start", "list"):
            done = pushcli(tmp_path, ["server", command, "--dir", directory])
            assert done.returncode == ExitStatus.ERROR, (command, done)
            assert "database_url" in one_line(done.stderr)
            assert "server init" not in done.stderr
