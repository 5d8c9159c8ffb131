"""The original server's PostgreSQL database, as far as it tells what jobs there were.

Text is read as bytes: databases of old installations may hold any (SQL_ASCII). Times are asked for
as seconds: drivers fail on `infinity`, and on years that Python has no dates for.
"""
# ruff: noqa: S608 - what is put into the queries is ours

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from pushcli.errors import ConfigError, StoreError
from pushcli_server.importing.original_job import MAX_NODES, MAX_TEXT, OriginalJob
from pushcli_server.importing.source import MAX_OUTPUT, Captured, Named, Output, Read, Unreadable
from pushcli_server.store import database
from pushcli_server.store.faults import one_line

JOB_STATUS = (
    "voting", "running", "complete", "quorum_failed", "aborted", "new", "timed_out", "crashed",
)  # fmt: skip
NODE_STATUS = (
    "new", "ready", "running", "succeeded", "failed", "aborted", "unavailable", "nacked", "faulty",
    "was_ready", "crashed", "timed_out",
)  # fmt: skip
"""By their numbers."""
_IDS = 500
_TOGETHER = 250
"""Jobs, and bytes of them, that are read at a time; a job of more is read by itself."""
_BYTES = 8 * 1024 * 1024
_PART = 200
"""Bytes that a node's part counts for."""
_ROWS = 8
"""Outputs of such a job that are read at a time."""
_CANCELLING = 1.0
"""Seconds for taking a question back."""
_STATEMENT = 60
"""Seconds for one."""
_NEEDED = {
    "jobs": {"id", "org_id", "command", "status", "run_timeout", "created_at", "updated_at"},
    "job_nodes": {"job_id", "org_id", "node_name", "status"},
}
_OPTIONS = {"job_user": "user", "dir": "dir", "env": "env", "job_file": "file"}
_OUTPUT = {"job_id", "node_name", "stdout", "stderr"}
_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = ANY (current_schemas(false))
AND table_name IN ('jobs', 'job_nodes', 'job_options', 'job_output')
"""
_AFTER = 'convert_from(:after, :encoding) COLLATE "default"'
"""Else it has that of the encoding's name, C: neither the order of the rows nor their index."""
_THESE = "ANY (CAST(:ids AS character(32)[]))"


class OriginalDatabase:
    """Reads it, and changes nothing.

    Args:
        url: `postgresql://USER@HOST/NAME`.

    Raises:
        ConfigError: no such URL, or its driver is not installed.
        StoreError: it cannot be read, or is another program's.
    """

    def __init__(self, url: str) -> None:
        self._is_asking = False
        self._engine = _engine(url)
        try:
            self._connection = self._engine.connect()
            self._connection.execution_options(isolation_level="AUTOCOMMIT")
            self._encoding = _prepare(self._connection)
            self._columns = _columns(self._connection)
            _require_history(self._engine, self._columns)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise _unreadable(self._engine, error) from error
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def name(self) -> str:
        """The URL without its password."""
        return _shown(self._engine)

    def close(self) -> None:
        """End the session, and a question that another thread waits for."""
        driver = self._connection.connection.driver_connection
        if self._is_asking and driver is not None:
            self._cancel(driver)
        self._connection.close()
        self._engine.dispose()

    def _cancel(self, driver: Any) -> None:
        """The question that is asked: else closing waits for its answer."""
        try:
            driver.cancel_safe(timeout=_CANCELLING)
        except self._engine.dialect.loaded_dbapi.Error:
            # It did not hear of it in time. Whoever waits for its answer is woken before the
            # descriptor is given up, which may be another file's a moment later.
            with socket.socket(fileno=os.dup(driver.fileno())) as way, suppress(OSError):
                way.shutdown(socket.SHUT_RDWR)
            self._connection.invalidate()

    def jobs(self) -> tuple[int, Iterator[list[Named]]]:
        """See `Source`; in the order of their ids, so that no transaction stays open."""
        try:
            [counted] = self._rows("SELECT count(*) AS jobs FROM jobs")
        except SQLAlchemyError as error:
            raise _unreadable(self._engine, error) from error
        return counted.jobs, self._pages()

    def _pages(self) -> Iterator[list[Named]]:
        last: bytes | None = None
        while rows := self._ids_after(last):
            yield [Named(_decoded(row.id), _decoded(row.org_id)) for row in rows]
            last = bytes(rows[-1].id)

    def _ids_after(self, last: bytes | None) -> list[Any]:
        where = "" if last is None else f"WHERE id > CAST({_AFTER} AS character(32))"
        query = (
            "SELECT textsend(CAST(id AS text)) AS id, textsend(CAST(org_id AS text)) AS org_id"
            f' FROM jobs {where} ORDER BY jobs.id COLLATE "default" LIMIT {_IDS}'
        )
        try:
            return self._rows(query, after=last)
        except SQLAlchemyError as error:
            raise _unreadable(self._engine, error) from error

    def read(self, job_ids: Sequence[str], *, outputs: bool) -> Iterator[Read]:
        """See `Source`; what is wrong with a job's rows concerns no other."""
        for some in self._groups(job_ids, outputs=outputs):
            if len(some) > 1:
                try:
                    together = self._together(some, outputs=outputs)
                except Unreadable:
                    # Which of them it is shows when each is read by itself.
                    pass
                else:
                    yield from together
                    continue
            for job_id in some:
                yield from self._by_itself(job_id, outputs=outputs)

    def _groups(self, job_ids: Sequence[str], *, outputs: bool) -> Iterator[list[str]]:
        try:
            weights = self._weights(job_ids, outputs=outputs)
        except Unreadable:
            weights = {}
        some, weight = list[str](), 0
        for job_id in job_ids:
            more = weights.get(job_id, _BYTES)
            if some and (weight + more > _BYTES or len(some) == _TOGETHER):
                yield some
                some, weight = [], 0
            some.append(job_id)
            weight += more
        if some:
            yield some

    def _weights(self, job_ids: Sequence[str], *, outputs: bool) -> dict[str, int]:
        """Bytes of each, about; PostgreSQL knows the lengths of texts without reading them."""
        parts = f"(SELECT {_PART} * count(*) FROM job_nodes WHERE job_id = jobs.id)"
        weight = f"octet_length(command) + {parts}"
        there = self._columns.get("job_options", set())
        if "job_id" in there and (texts := [name for name in _OPTIONS if name in there]):
            long = " + ".join(f"coalesce(octet_length({name}), 0)" for name in texts)
            weight += (
                f" + coalesce((SELECT sum({long}) FROM job_options WHERE job_id = jobs.id), 0)"
            )
        if outputs and self._has_outputs:
            long = "octet_length(stdout) + octet_length(stderr)"
            weight += f" + coalesce((SELECT sum({long}) FROM job_output WHERE job_id = jobs.id), 0)"
        query = (
            f"SELECT textsend(CAST(id AS text)) AS id, CAST({weight} AS bigint) AS weight"
            f" FROM jobs WHERE id = {_THESE}"
        )
        return {_decoded(row.id): row.weight for row in self._of_jobs(query, job_ids)}

    def _together(self, job_ids: Sequence[str], *, outputs: bool) -> list[Read]:
        jobs = self._jobs(job_ids)
        captured: dict[str, list[Output]] = {}
        if outputs and self._has_outputs:
            query = f"{_outputs_query()} WHERE job_id = {_THESE} ORDER BY job_output.node_name"
            for row in self._of_jobs(query, job_ids):
                captured.setdefault(_decoded(row.job_id), []).append(_output(row))
        return [Read(job_id, job, captured.get(job_id, ())) for job_id, job in jobs.items()]

    def _by_itself(self, job_id: str, *, outputs: bool) -> list[Read]:
        try:
            jobs = self._jobs([job_id])
        except Unreadable as error:
            return [Read(job_id, error)]
        wanted = outputs and self._has_outputs
        return [Read(job_id, job, self._outputs(job_id) if wanted else ()) for job in jobs.values()]

    def _jobs(self, job_ids: Sequence[str]) -> dict[str, OriginalJob]:
        rows = self._of_jobs(self._job_query(), job_ids)
        parts = self._parts(job_ids)
        remarks: dict[str, list[str]] = {_decoded(row.id): [] for row in rows}
        options = self._options(job_ids, remarks)
        found: dict[str, OriginalJob] = {}
        for row in rows:
            job_id = _decoded(row.id)
            command = _text(row.command, "command", remarks[job_id])
            found[job_id] = OriginalJob(
                id=job_id, command=command, status=_word(JOB_STATUS, row.status),
                run_timeout=row.run_timeout, quorum=row.quorum,
                created_at=row.created_at, updated_at=row.updated_at,
                parts=parts.get(job_id, ()), remarks=remarks[job_id], **options.get(job_id, {}),
            )  # fmt: skip
        return found

    def _job_query(self) -> str:
        quorum = "quorum" if "quorum" in self._columns["jobs"] else "NULL AS quorum"
        return (
            "SELECT textsend(CAST(id AS text)) AS id,"
            f" substring(textsend(command) from 1 for {MAX_TEXT + 1}) AS command, status,"
            f" run_timeout, {quorum},"
            " CAST(extract(epoch FROM created_at) AS double precision) AS created_at,"
            " CAST(extract(epoch FROM updated_at) AS double precision) AS updated_at"
            f" FROM jobs WHERE id = {_THESE}"
        )

    def _options(
        self, job_ids: Sequence[str], remarks: dict[str, list[str]]
    ) -> dict[str, dict[str, Any]]:
        there = self._columns.get("job_options", set())
        texts = [name for name in _OPTIONS if name in there]
        wanted = [
            f"substring(textsend(CAST({name} AS text)) from 1 for {MAX_TEXT + 1}) AS {name}"
            for name in texts
        ]
        wanted += ["capture"] if "capture" in there else []
        if "job_id" not in there or not wanted:
            return {}
        query = (
            f"SELECT textsend(CAST(job_id AS text)) AS job_id, {', '.join(wanted)}"
            f" FROM job_options WHERE job_id = {_THESE}"
        )
        found: dict[str, dict[str, Any]] = {}
        for row in self._of_jobs(query, job_ids):
            job_id = _decoded(row.job_id)
            said = remarks.get(job_id, [])
            options: dict[str, Any] = {
                _OPTIONS[name]: _text(getattr(row, name), _OPTIONS[name], said) for name in texts
            }
            options |= {"capture": row.capture is True} if "capture" in there else {}
            found[job_id] = options
        return found

    def _parts(self, job_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        query = (
            "SELECT textsend(CAST(job_nodes.job_id AS text)) AS job_id,"
            " textsend(job_nodes.node_name) AS node_name, job_nodes.status AS status"
            " FROM job_nodes JOIN jobs ON jobs.id = job_id AND jobs.org_id = job_nodes.org_id"
            f" WHERE job_id = {_THESE} ORDER BY job_nodes.node_name LIMIT {MAX_NODES + 1}"
        )
        found: dict[str, list[tuple[str, str]]] = {}
        for row in self._of_jobs(query, job_ids):
            part = _decoded(row.node_name), _word(NODE_STATUS, row.status)
            found.setdefault(_decoded(row.job_id), []).append(part)
        return found

    @property
    def _has_outputs(self) -> bool:
        return self._columns.get("job_output", set()) >= _OUTPUT

    def _outputs(self, job_id: str) -> Iterator[Output]:
        """Of a job that may have any number of them."""
        query = (
            f"{_outputs_query()} WHERE job_id = {_THESE} AND job_output.node_name > {_AFTER}"
            f' ORDER BY job_output.node_name COLLATE "default" LIMIT {_ROWS}'
        )
        after = b""
        while rows := self._of_jobs(query, [job_id], after=after):
            yield from map(_output, rows)
            after = bytes(rows[-1].node_name)

    def _of_jobs(self, query: str, job_ids: Sequence[str], **more: Any) -> list[Any]:
        """Rows about some jobs.

        Raises:
            Unreadable: of one of them they cannot be read.
            StoreError: the database is away.
        """
        try:
            return self._rows(query, ids=list(job_ids), **more)
        except SQLAlchemyError as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise _unreadable(self._engine, error) from error
            raise Unreadable(one_line(error)) from error
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def _rows(self, query: str, **values: Any) -> list[Any]:
        values["encoding"] = self._encoding
        used = {name: value for name, value in values.items() if f":{name}" in query}
        self._is_asking = True
        try:
            return list(self._connection.execute(text(query), used))
        finally:
            self._is_asking = False


def _outputs_query() -> str:
    channels = ", ".join(
        f"substring(textsend({name}) from 1 for {MAX_OUTPUT}) AS {name},"
        f" length(textsend({name})) AS {name}_size"
        for name in ("stdout", "stderr")
    )
    return (
        "SELECT textsend(CAST(job_id AS text)) AS job_id, textsend(node_name) AS node_name,"
        f" {channels} FROM job_output"
    )


def _output(row: Any) -> Output:
    return Output(
        _decoded(row.node_name),
        Captured(bytes(row.stdout or b""), row.stdout_size or 0),
        Captured(bytes(row.stderr or b""), row.stderr_size or 0),
    )


def _engine(url: str) -> Engine:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError("SOURCE is not a postgresql:// URL", "give postgresql://USER@HOST/NAME")
    try:
        # What the driver asks first it wants as text.
        return database.make_engine(
            make_url(url).update_query_dict({"client_encoding": "UTF8"}).render_as_string(False)
        )
    except (ArgumentError, ValueError) as error:
        raise ConfigError("SOURCE is not a URL", "give postgresql://USER@HOST/NAME") from error
    except ConfigError as error:
        error.message = error.message.replace("database_url", "SOURCE")
        raise


def _shown(engine: Engine) -> str:
    """As it was given, but without its password."""
    url = engine.url.set(drivername="postgresql").difference_update_query(["client_encoding"])
    return url.render_as_string(hide_password=True)


def _prepare(connection: Connection) -> str:
    """Nothing is written, nothing waits for ever, and no text is refused; its encoding."""
    connection.execute(text("SET default_transaction_read_only = on"))
    connection.execute(text(f"SET statement_timeout = '{_STATEMENT}s'"))
    encoding = str(connection.execute(text("SHOW server_encoding")).scalar())
    # The server would refuse to give out as UTF-8 what it never checked.
    encoding = "SQL_ASCII" if encoding == "SQL_ASCII" else "UTF8"
    connection.execute(text(f"SET client_encoding = '{encoding}'"))
    return encoding


def _columns(connection: Connection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in connection.execute(text(_COLUMNS)):
        table, column = (
            part.decode() if isinstance(part, bytes) else str(part)
            for part in (row.table_name, row.column_name)
        )
        found.setdefault(table, set()).add(column)
    return found


def _require_history(engine: Engine, columns: dict[str, set[str]]) -> None:
    for table, needed in _NEEDED.items():
        missing = sorted(needed - columns.get(table, set()))
        if missing:
            what = f"column {table}.{missing[0]}" if table in columns else f"table {table}"
            raise StoreError(
                f"{_shown(engine)} has no {what}, or it may not be seen",
                "name the database of the old server (opscode_pushy), and a user that may read it",
            )


def _unreadable(engine: Engine, error: Exception) -> StoreError:
    why = one_line(error)
    return StoreError(
        f"cannot read {_shown(engine)}: {why}",
        "check SOURCE, the password (PGPASSWORD or ~/.pgpass) and the rights of its user",
    )


def _word(words: tuple[str, ...], number: object) -> str:
    if isinstance(number, int) and 0 <= number < len(words):
        return words[number]
    return str(number)


def _text(value: Any, what: str, remarks: list[str]) -> str | None:
    if value is None:
        return None
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        remarks.append(f"the {what} is not UTF-8: what is not is replaced")
        return _decoded(value)


def _decoded(value: Any) -> str:
    return bytes(value or b"").decode("utf-8", "replace")
