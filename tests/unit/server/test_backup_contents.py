"""What a backup of a server's directory has, and what of it is put back."""

from pathlib import PurePosixPath

import pytest

from pushcli.errors import StoreError
from pushcli_server.backup import contents


@pytest.mark.parametrize("name", ["server.toml", "keys/server.pem", "keys/blobs", "a/x.log.d"])
def test_files_of_the_directory_are_copied_and_put_back(name: str) -> None:
    assert contents.is_copied(PurePosixPath(name))
    assert contents.directory_file(f"directory/{name}") == PurePosixPath(name)


@pytest.mark.parametrize(
    "name",
    [
        "pushcli.db", "pushcli.db-wal", "pushcli.db-shm", "blobs/ab/cd", ".backup-x/pushcli.db",
        ".lock", "server.log", "logs/server.log", "backup.tar.part", "server.toml.tmp",
    ],
)  # fmt: skip
def test_what_is_the_database_output_or_for_the_moment_is_neither(name: str) -> None:
    assert not contents.is_copied(PurePosixPath(name))
    assert contents.directory_file(f"directory/{name}") is None


@pytest.mark.parametrize(
    "name", ["directory", "directory/../x", "directory/a/../../x", "/directory/x", "other/x", ""]
)
def test_what_leads_elsewhere_is_put_nowhere(name: str) -> None:
    assert contents.directory_file(name) is None


def test_outputs_are_named_by_their_digests() -> None:
    digest = "0a" * 32
    assert contents.blob(f"blobs/{digest}") == digest
    for name in (digest, f"x/{digest}", f"blobs/{digest}/x", f"blobs/{digest}0", "blobs/0A" * 32):
        assert contents.blob(name) is None


@pytest.mark.parametrize("version", [2, 99])
def test_a_backup_of_another_format_is_refused(version: int) -> None:
    made = b'{"format":%d,"version":"9.9","made_at":"2020-01-01T00:00:00Z"}'
    assert contents.header(made % contents.FORMAT).version == "9.9"
    with pytest.raises(StoreError, match="later pushcli"):
        contents.header(made % version)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":"1","version":"","made_at":""}'])
def test_what_is_no_header_is_no_backup(data: bytes) -> None:
    with pytest.raises(StoreError, match="not a pushcli backup"):
        contents.header(data)
