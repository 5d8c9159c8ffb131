"""A PostgreSQL to test with, where one can be reached."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

POSTGRESQL = os.environ.get(
    "PUSHCLI_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"
)


@contextmanager
def throw_away_database() -> Iterator[str]:
    """The URL of an empty database; the test is skipped where there can be none."""
    name = f"pushcli_test_{uuid.uuid4().hex[:12]}"
    try:
        connection = psycopg.connect(POSTGRESQL, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL to test with: {error}")
    with connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield POSTGRESQL.rpartition("/")[0] + f"/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
