"""A store as version 0.1.0 left it: files in the table of jobs."""

import random
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from pushcli_server.store.database import make_engine, writing
from tests.integration.store.conftest import Database

VERSION = "0002"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz\n"
COLUMNS = (
    "id", "org", "command", "status", "quorum", "run_timeout", "file", "capture", "requestor",
    "created_at", "updated_at",
)  # fmt: skip


def make(database: Database, files: Iterator[tuple[str, str | None]]) -> None:
    """Have an organization, a client, and for each id a job with this file and one node."""
    database.root.mkdir(mode=0o700)
    (database.root / "incoming").mkdir(mode=0o700)
    engine = make_engine(database.url)
    config = Config()
    config.set_main_option("script_location", "pushcli_server.store:migrations")
    config.set_main_option("path_separator", "os")
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, VERSION)
        connection.execute(sa.text("INSERT INTO organizations (name) VALUES ('acme')"))
        connection.execute(
            sa.text(
                "INSERT INTO clients (org, name, validator, admin) VALUES ('acme', 'n', :f, :f)"
            ),
            {"f": False},
        )
        _fill(connection, files)
    engine.dispose()


def _fill(connection: sa.Connection, files: Iterator[tuple[str, str | None]]) -> None:
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    values = ", ".join(f":{name}" for name in COLUMNS)
    jobs = sa.text(f"INSERT INTO jobs ({names}) VALUES ({values})")
    nodes = sa.text(
        "INSERT INTO job_nodes (job_id, node, position, state) VALUES (:id, 'n', 0, 'succeeded')"
    )
    for job_id, file in files:
        row = {
            "id": job_id, "org": "acme", "command": "x", "status": "complete", "quorum": 1,
            "run_timeout": 1.0, "file": file, "capture": False, "requestor": "ann",
            "created_at": 1.0, "updated_at": 2.0,
        }  # fmt: skip
        connection.execute(jobs, row)
        connection.execute(nodes, {"id": job_id})


def random_files(count: int) -> Iterator[tuple[str, str | None]]:
    """Ids and files of 1 to 100 KB, always the same; some equal, some absent."""
    for number in range(count):
        chosen = random.Random(number % 2400)
        block = "".join(chosen.choices(_ALPHABET, k=1000))
        size = chosen.randint(1_000, 100_000)
        file = "raw:\u2603" + (block * 100)[: size - 7]
        yield f"{number * 2654435761 % 2**32:032x}", None if number % 50 == 7 else file
