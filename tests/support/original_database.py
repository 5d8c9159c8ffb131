"""The original Push Jobs server's PostgreSQL database, made as its own schema makes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

from tests.support.postgresql import throw_away_database

ACME = "0123456789abcdef0123456789abcdef"
"""The id of its organization."""
COMPLETE = 2
_SCHEMA = """
CREATE TABLE job_status (id integer NOT NULL PRIMARY KEY, description text NOT NULL);
INSERT INTO job_status VALUES (0, 'voting'), (1, 'running'), (2, 'complete'), (3, 'quorum_failed'),
  (4, 'aborted'), (5, 'new'), (6, 'timed_out'), (7, 'crashed');
CREATE TABLE jobs (
  id character(32) NOT NULL PRIMARY KEY, org_id character(32) NOT NULL, command text NOT NULL,
  status integer NOT NULL, run_timeout integer, last_updated_by character(32) NOT NULL,
  created_at timestamp without time zone NOT NULL, updated_at timestamp without time zone NOT NULL,
  quorum integer);
CREATE TABLE job_nodes (
  job_id character(32) REFERENCES jobs(id) ON UPDATE CASCADE ON DELETE CASCADE,
  org_id character(32) NOT NULL, node_name text NOT NULL, UNIQUE (job_id, org_id, node_name),
  status integer NOT NULL, created_at timestamp without time zone NOT NULL,
  updated_at timestamp without time zone NOT NULL);
CREATE TABLE job_options (
  job_id character(32) NOT NULL PRIMARY KEY
    REFERENCES jobs(id) ON UPDATE CASCADE ON DELETE CASCADE,
  job_user character(32), dir text, env text, capture boolean, job_file text);
CREATE TABLE job_output (
  job_id character(32) NOT NULL REFERENCES jobs(id) ON UPDATE CASCADE ON DELETE CASCADE,
  node_name text NOT NULL, UNIQUE (job_id, node_name), stdout text NOT NULL, stderr text NOT NULL);
"""


class OriginalDatabase:
    """Jobs are put into it as the original did."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = psycopg.connect(url, autocommit=True)
        self.session.execute(_SCHEMA)

    def renew(self) -> None:
        """As if it were another one: to make one takes ten times as long."""
        self.session.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self.session.execute(_SCHEMA)

    def job(
        self, job_id: str, *, org: str = ACME, command: Any = "chef-client",
        status: int = COMPLETE, run_timeout: int | None = 300, quorum: int | None = 1,
        created_at: str = "2026-09-04 23:01:02", updated_at: str = "2026-09-04 23:17:56",
        nodes: dict[str, int] | None = None,
    ) -> str:  # fmt: skip
        """A job and its nodes; returns its id."""
        self.session.execute(
            "INSERT INTO jobs VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [job_id, org, command, status, run_timeout, job_id, created_at, updated_at, quorum],
        )
        for node, state in (nodes or {}).items():
            self.session.execute(
                "INSERT INTO job_nodes VALUES (%s, %s, %s, %s, %s, %s)",
                [job_id, org, node, state, created_at, updated_at],
            )
        return job_id

    def fill(
        self, count: int, *, job_id: str = "md5(CAST(i AS text))", bytes_each: int = 10
    ) -> None:
        """Many jobs, each on web1 and web2 with output.

        Args:
            job_id: SQL, of the number `i` from 1 on.
            bytes_each: of output of each node.
        """
        numbers = f"generate_series(1, {count}) AS i"
        for row in (
            f"INSERT INTO jobs SELECT {job_id}, '{ACME}', 'chef-client', {COMPLETE}, 300, {job_id},"
            f" '2026-09-04 23:01:02', '2026-09-04 23:17:56', 2 FROM {numbers}",
            f"INSERT INTO job_nodes SELECT {job_id}, '{ACME}', 'web' || n, 3, now(), now()"
            f" FROM {numbers}, generate_series(1, 2) AS n",
            f"INSERT INTO job_options SELECT {job_id}, 'deploy', '/srv', NULL, true, NULL"
            f" FROM {numbers}",
            f"INSERT INTO job_output SELECT {job_id}, 'web' || n,"
            f" rpad(i || ' on ' || n || ' ', {bytes_each}, 'x'), ''"
            f" FROM {numbers}, generate_series(1, 2) AS n",
        ):
            self.session.execute(row)

    def options(
        self, job_id: str, *, user: str | None = None, directory: str | None = None,
        env: str | None = None, capture: bool | None = None, file: str | None = None,
    ) -> None:  # fmt: skip
        """What a job was started with."""
        self.session.execute(
            "INSERT INTO job_options VALUES (%s, %s, %s, %s, %s, %s)",
            [job_id, user, directory, env, capture, file],
        )

    def output(self, job_id: str, node: str, stdout: Any, stderr: Any = "") -> None:
        """What a node wrote."""
        self.session.execute(
            "INSERT INTO job_output VALUES (%s, %s, %s, %s)", [job_id, node, stdout, stderr]
        )


@contextmanager
def original_database(*, made_with: LiteralString = "") -> Iterator[OriginalDatabase]:
    """An empty one; the test is skipped where there is no PostgreSQL.

    Args:
        made_with: SQL that gives it another encoding or order than that of the databases beside it.
    """
    with throw_away_database(made_with=made_with) as url:
        database = OriginalDatabase(url)
        try:
            yield database
        finally:
            database.session.close()
