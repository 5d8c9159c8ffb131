"""Databases that are missing, damaged, or of another version: one line that helps."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import pushcli_server.store.migrations as scripts
from pushcli.errors import ConfigError, StoreError
from pushcli_server.store import Store, identity_reads
from pushcli_server.store.database import HEAD, make_engine
from pushcli_server.store.schema import metadata
from tests.integration.store.conftest import ON_POSTGRESQL, Database
from tests.integration.store.writing import ORGS

pytestmark = pytest.mark.timeout(60)


def refusal(database: Database) -> str:
    with pytest.raises(StoreError) as caught:
        Store.open(database.url, database.root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def set_version(database: Database, version: str) -> None:
    engine = make_engine(database.url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    engine.dispose()


def test_the_migrated_tables_are_those_of_the_schema(database: Database) -> None:
    engine = make_engine(database.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_program_knows_the_newest_migration() -> None:
    directory = ScriptDirectory(str(Path(scripts.__file__).parent))
    assert directory.get_heads() == [HEAD]


def test_making_it_twice_changes_nothing(database: Database) -> None:
    async def write(store: Store) -> None:
        await store.write(*ORGS)

    async def read(store: Store) -> None:
        assert await store.ask(identity_reads.organizations) == ["acme", "other"]

    database.run(write)
    database.create()
    database.run(read)


def test_a_newer_one_is_refused_by_all(database: Database) -> None:
    set_version(database, "9999")
    assert "newer version (9999" in refusal(database)
    with pytest.raises(StoreError, match="newer version"):
        database.create()


def test_an_older_one_says_how_to_bring_it_up_to_date(database: Database) -> None:
    set_version(database, "0000")
    assert "server init" in refusal(database)


def test_one_without_tables_says_what_to_run(empty: Database) -> None:
    make_engine(empty.url).connect().close() if empty.url.startswith("sqlite") else None
    is_file = empty.url.startswith("sqlite")
    assert ("pushcli server init" if is_file else "check database_url") in refusal(empty)


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pushcli.db"
    file.write_text("this is no database, whatever its name says" * 100)
    database = Database(f"sqlite:///{file}", tmp_path)
    assert "not a database" in refusal(database)


def test_a_missing_one_says_what_to_run(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pushcli.db'}", tmp_path)
    line = refusal(database)
    assert "pushcli server init" in line
    assert "pushcli.db" in line
    assert not (tmp_path / "pushcli.db").exists()


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pushcli.db'}", tmp_path)
    database.create()
    file = tmp_path / "pushcli.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert "malformed" in refusal(database)


@ON_POSTGRESQL
def test_a_missing_one_on_postgresql_is_named(empty: Database) -> None:
    missing = Database(empty.url + "_missing", empty.root)
    assert "does not exist" in refusal(missing)


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    database = Database(f"sqlite:///{tmp_path / 'pushcli.db'}", tmp_path / "file" / "blobs")
    with pytest.raises(StoreError, match="file/blobs"):
        database.create()
    elsewhere = Database(f"sqlite:///{tmp_path / 'none' / 'pushcli.db'}", tmp_path / "blobs")
    with pytest.raises(StoreError, match=r"none/pushcli\.db"):
        elsewhere.create()


@ON_POSTGRESQL
def test_a_commit_is_durable_even_if_the_server_is_set_not_to_be(empty: Database) -> None:
    engine = make_engine(empty.url + "?options=-csynchronous_commit%3Doff")
    with engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
    engine.dispose()


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    database = Database("postgresql://ann:secret@127.0.0.1:1/x", tmp_path)
    line = refusal(database)
    assert "secret" not in line
    assert "127.0.0.1" in line


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite://", "redis://x"])
def test_other_urls_are_configuration_errors(url: str) -> None:
    with pytest.raises(ConfigError):
        make_engine(url)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pushcli.db'}", tmp_path / "blobs")
    database.create()
    assert (tmp_path / "pushcli.db").stat().st_mode & 0o777 == 0o600
    assert database.root.stat().st_mode & 0o777 == 0o700
