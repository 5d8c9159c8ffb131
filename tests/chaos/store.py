"""The server's store from outside: what it holds at an instant, and a database that waits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from pushcli_server.store.database import make_engine, writing
from tests.chaos.phases import Part

_LIVE = """
SELECT j.id, j.status, n.node, n.state, n.ended_at FROM jobs j JOIN job_nodes n ON n.job_id = j.id
WHERE j.status IN ('voting', 'running') OR j.updated_at > :since
"""
_ALL = """
SELECT j.id AS job, j.status, j.command, j.capture, n.node, n.state, n.reason, n.exit_code,
n.signal, n.partial, n.late_result
FROM jobs j JOIN job_nodes n ON n.job_id = j.id ORDER BY j.created_at
"""


class Ended(NamedTuple):
    """What the store has of a node's part in a job at the end.

    Args:
        reported: how the command ended is known, in time or late.
        late: what was known too late, if anything was.
    """

    job: str
    status: str
    command: str
    capture: bool
    node: str
    state: str
    reason: str | None
    exit_code: int | None
    signal: int | None
    reported: bool
    late: dict[str, Any] | None


class StoreView:
    """A look at the database beside the server. Every look is a transaction of its own."""

    def __init__(self, database_url: str) -> None:
        self._engine: Engine = make_engine(database_url)
        self.is_postgresql = self._engine.dialect.name == "postgresql"

    def live(self, since: float) -> list[Part]:
        """Parts in jobs that are live, or changed after this time (seconds since the epoch)."""
        with self._engine.begin() as connection:
            rows = connection.execute(text(_LIVE), {"since": since})
            return [Part(*row) for row in rows]

    def part(self, job: str, node: str) -> Part | None:
        """One part."""
        query = text(
            "SELECT j.id, j.status, n.node, n.state, n.ended_at FROM jobs j "
            "JOIN job_nodes n ON n.job_id = j.id WHERE j.id = :job AND n.node = :node"
        )
        with self._engine.begin() as connection:
            row = connection.execute(query, {"job": job, "node": node}).first()
        return None if row is None else Part(*row)

    def ended(self) -> list[Ended]:
        """Every part of every job."""
        with self._engine.begin() as connection:
            rows = connection.execute(text(_ALL)).all()
        return [_ended(row._asdict()) for row in rows]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is committed by others meanwhile: the server waits with what it saves."""
        with writing(self._engine).begin() as connection:
            self._hold(connection)
            yield

    def _hold(self, connection: Connection) -> None:
        if not self.is_postgresql:
            return
        while True:
            try:
                with connection.begin_nested():
                    connection.execute(text("LOCK TABLE jobs, job_nodes IN EXCLUSIVE MODE"))
            except OperationalError as error:
                # The server took one of them before us and waits for the other.
                if not isinstance(error.orig, DeadlockDetected):
                    raise
            else:
                return

    def end_connections(self) -> int:
        """Have PostgreSQL end all connections but ours; how many there were."""
        with self._engine.begin() as connection:
            ended = connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            return len(ended.all())

    def close(self) -> None:
        """Let go of it."""
        self._engine.dispose()


def _ended(row: dict[str, Any]) -> Ended:
    partial, late = row.pop("partial"), row.pop("late_result")
    row["capture"] = bool(row["capture"])
    return Ended(
        **row, reported=partial is not None, late=None if late is None else json.loads(late)
    )
