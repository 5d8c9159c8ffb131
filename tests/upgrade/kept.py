"""What version 0.1.0 left (tests/vectors/upgrade), laid out again as a fleet to go on with."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import psycopg

from pushcli.client.api import ApiClient
from pushcli.sandbox.sandbox import ADMIN, ORG, Sandbox

VECTORS = Path(__file__).parents[1] / "vectors" / "upgrade" / "0.1.0"
NODES = ("n1", "n2", "n3")
"""Those whose agents' directories were kept; the store has n4 too."""


class VersionedFleet(Sandbox):
    """A fleet whose processes are those of one version.

    Args:
        program: the directory in which that version is installed; None: the present one.
    """

    def __init__(
        self, directory: Path, nodes: tuple[str, ...], *, program: Path | None = None, **more: Any
    ) -> None:
        super().__init__(directory, nodes, **more)
        self.program = program

    @property
    def environment(self) -> dict[str, str]:
        """Without the current directory, in which the present version may lie."""
        inherited = {**super().environment, "PYTHONSAFEPATH": "1"}
        inherited.pop("PYTHONPATH", None)
        return inherited if self.program is None else {**inherited, "PYTHONPATH": str(self.program)}

    def bring_up_to_date(self) -> None:
        """What an operator does before he starts another version on a server's directory."""
        place = str(self.server_directory)
        done = self.cli("server", "init", "--dir", place, "--org", ORG, "--admin", ADMIN)
        assert done.returncode == 0, done.stderr


def restored(directory: Path, database: str, database_url: str = "") -> VersionedFleet:
    """A fleet of which nothing runs yet, made of what was kept.

    Args:
        database: `sqlite` or `postgresql`.
        database_url: of an empty database of PostgreSQL, for that.
    """
    fleet = VersionedFleet(directory, NODES, with_tls=database == "sqlite")
    values = _placeholders(fleet, database_url)
    source = VECTORS / database
    for file in sorted(source.rglob("*")):
        copy = directory / file.relative_to(source)
        if file.is_dir():
            copy.mkdir(mode=0o700)
        else:
            # Git keeps no modes, and keys must be their owner's alone.
            copy.touch(mode=0o600)
            copy.write_bytes(_filled(file.read_bytes(), values))
    dump = fleet.server_directory / "database.sql"
    _load(dump.read_text(), fleet.server_directory / "pushcli.db", database_url)
    dump.unlink()
    return fleet


def recorded(fleet: Sandbox) -> dict[str, Any]:
    """What REST said (`answers`, `second`, `output`), and the ids of the live jobs (`live`)."""
    found: dict[str, Any] = msgspec.json.decode((fleet.directory / "rest.json").read_bytes())
    return found


def said_now(api: ApiClient, paths: Iterable[str]) -> dict[str, Any]:
    """What REST says now, by path."""
    said = {}
    for path in paths:
        place, _, query = path.partition("?")
        said[path] = api.get(place, dict(parse_qsl(query)))
    return said


def _placeholders(fleet: Sandbox, database_url: str) -> dict[str, str]:
    names = ("@API_PORT@", "@COMMAND_PORT@", "@HEARTBEAT_PORT@")
    ports = dict(zip(names, map(str, fleet.ports), strict=True))
    return {"@DIR@": str(fleet.directory), "@DATABASE_URL@": database_url, **ports}


def _filled(content: bytes, values: Mapping[str, str]) -> bytes:
    for name, value in values.items():
        content = content.replace(name.encode(), value.encode())
    return content


def _load(dump: str, file: Path, database_url: str) -> None:
    if database_url:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(dump.encode())
        return
    file.touch(mode=0o600)
    with closing(sqlite3.connect(file)) as sqlite:
        sqlite.executescript(dump)
