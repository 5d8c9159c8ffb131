"""Which PostgreSQL a sandbox with several servers is started with."""

from pathlib import Path

import pytest

from pushcli.errors import StartError
from pushcli.sandbox.postgresql import programs


@pytest.fixture(autouse=True)
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of PATH."""
    place = tmp_path / "path"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    return place


def installed(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for program in ("initdb", "postgres"):
        (directory / program).touch(mode=0o755)
    return directory


def test_the_newest_that_is_installed(tmp_path: Path) -> None:
    pattern = str(tmp_path / "*" / "bin")
    for version in ("9.6", "15", "16-beta1"):
        installed(tmp_path / version / "bin")
    (tmp_path / "17" / "bin").mkdir(parents=True)
    (tmp_path / "17" / "bin" / "initdb").touch(mode=0o755)
    assert programs([pattern]) == tmp_path / "16-beta1" / "bin"


def test_the_one_of_the_path_before_any_other(tmp_path: Path, empty_path: Path) -> None:
    installed(tmp_path / "16" / "bin")
    installed(empty_path)
    assert programs([str(tmp_path / "*" / "bin")]) == empty_path


def test_where_there_is_none_it_is_said_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="several servers need PostgreSQL") as caught:
        programs([str(tmp_path / "*" / "bin")])
    assert "apt install postgresql" in caught.value.remedy
