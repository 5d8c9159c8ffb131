"""A PostgreSQL to test with, where one answers.

`PUSHCLI_TEST_POSTGRESQL` names it, `PUSHCLI_TEST_DATABASE=postgresql` has all fleets' servers keep
everything there. `python -m tests.support.postgresql` says whether one answers, with exit status 3
if not, and drops what killed runs have left there.
"""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import LiteralString

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import make_url

from pushcli_server.store.faults import one_line

POSTGRESQL = os.environ.get(
    "PUSHCLI_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"
)
DATABASE = os.environ.get("PUSHCLI_TEST_DATABASE", "sqlite")
IS_CHOSEN = DATABASE == "postgresql"
"""Whether servers use it that could do without."""
NONE = 3
"""The exit status if there is none."""
_PREFIX = "pushcli_tests_"
_MAY_CREATE = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
_LEFT = SQL(
    "SELECT made.datname FROM pg_database made WHERE made.datname ~ {} AND NOT EXISTS"
    " (SELECT FROM pg_stat_activity maker WHERE maker.application_name = made.datname)"
).format(f"^{_PREFIX}[0-9a-f]{{12}}$")


def on_sqlite(why: str) -> pytest.MarkDecorator:
    """A mark for a test that makes no sense elsewhere."""
    return pytest.mark.skipif(IS_CHOSEN, reason=f"not on PostgreSQL: {why}")


class NoPostgresqlError(Exception):
    """There is none to make databases in; the text says why, and what helps."""


def require() -> None:
    """Find out whether there is one.

    Raises:
        NoPostgresqlError: there is none.
    """
    with _session("pushcli_tests"):
        pass


def require_chosen() -> None:
    """Find out whether servers can have the database that was asked for.

    Raises:
        NoPostgresqlError: there is none.
    """
    if DATABASE not in {"sqlite", "postgresql"}:
        raise NoPostgresqlError(f"no database is called {DATABASE!r}: give sqlite or postgresql")
    if IS_CHOSEN:
        require()


@contextmanager
def new_database(*, template: str = "", made_with: LiteralString = "") -> Iterator[str]:
    """The URL of a database that is dropped afterwards.

    Args:
        template: the URL of the one that it is a copy of.
        made_with: SQL that gives it another encoding or order than that of the databases beside it.

    Raises:
        NoPostgresqlError: there is none to make it in.
    """
    name = f"{_PREFIX}{uuid.uuid4().hex[:12]}"
    # As long as its maker lives a session has the database's name: others leave it alone.
    usual = "template0" if made_with else "template1"
    of = str(make_url(template).database) if template else usual
    create = SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
        Identifier(name), Identifier(of), SQL(made_with)
    )
    with _session(name) as session:
        session.execute(create)
        try:
            yield make_url(POSTGRESQL).set(database=name).render_as_string(hide_password=False)
        finally:
            _drop(session, name)


@contextmanager
def throw_away_database(*, made_with: LiteralString = "") -> Iterator[str]:
    """The URL of an empty database; the test is skipped where there can be none.

    Args:
        made_with: as of `new_database`.
    """
    with ExitStack() as made:
        try:
            url = made.enter_context(new_database(made_with=made_with))
        except NoPostgresqlError as error:
            pytest.skip(str(error))
        yield url


@contextmanager
def away(url: str) -> Iterator[None]:
    """Nobody gets into this database meanwhile, and who was in is thrown out."""
    name = str(make_url(url).database)
    with _session("pushcli_tests") as session:
        allow = SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        session.execute(allow.format(Identifier(name), False))
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            session.execute(allow.format(Identifier(name), True))


def drop_left() -> list[str]:
    """Drop the databases of runs that were killed; their names.

    They have the name that only `new_database` gives, and no session of their maker.
    """
    with _session("pushcli_tests") as session:
        left = [name for (name,) in session.execute(_LEFT)]
        for name in left:
            _drop(session, name)
    return left


def main() -> int:
    """The exit status."""
    try:
        left = drop_left()
    except NoPostgresqlError as error:
        print(error, file=sys.stderr)
        return NONE
    if left:
        print(f"dropped what killed runs had left: {', '.join(left)}")
    return 0


@contextmanager
def _session(name: str) -> Iterator[psycopg.Connection]:
    """With whoever makes databases."""
    url = make_url(POSTGRESQL)
    where = f"no PostgreSQL to test with at {url.render_as_string(hide_password=True)}"
    remedy = "start one, or name one with PUSHCLI_TEST_POSTGRESQL=postgresql://USER@HOST/DATABASE"
    try:
        session = psycopg.connect(
            POSTGRESQL, autocommit=True, connect_timeout=3, application_name=name
        )
    except psycopg.OperationalError as error:
        raise NoPostgresqlError(f"{where} ({one_line(error)}): {remedy}") from error
    with session:
        may_create = session.execute(_MAY_CREATE).fetchone()
        if may_create != (True,):
            raise NoPostgresqlError(f"{where} (its user may not create databases): {remedy}")
        yield session


def _drop(session: psycopg.Connection, name: str) -> None:
    session.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


if __name__ == "__main__":
    sys.exit(main())
