"""Whose fault an error of the database is: its own, which may pass, or one operation's."""

import errno
import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_OPERATIONS_FAULT = ("21", "22", "23", "42", "54")
"""Classes of PostgreSQL's errors that are about a statement and its values."""
_SCHEMAS_FAULT = frozenset({"42501", "42703", "42883", "42P01"})
"""But for these: a right, a column, a function or a table is missing, for everybody."""
_OPERATIONS_FAULT_IN_SQLITE = frozenset(
    {
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
    }
)
_OF_ONE_FILE = frozenset(
    {errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EINVAL, errno.ENXIO}
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHAIN = 5


def is_away(error: BaseException) -> bool:
    """Whether it is the database or the disk that fails, which may pass, not one operation.

    In doubt it is the database: what cannot be written yet is kept, what cannot ever be is
    refused.
    """
    return any(_is_away(each) for each in _chain(error))


def one_line(error: BaseException) -> str:
    """What the driver says, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).strip().partition("\n")[0]
    return text or type(cause).__name__


def reason(error: BaseException) -> str:
    """Why the database is away, for anybody who asks: without addresses or paths."""
    return _reason(cause(error)) or "it cannot be reached"


def cause(error: BaseException) -> BaseException:
    """That of the errors which `reason` tells of: it may not be the last one."""
    return next((each for each in _chain(error) if _reason(each) is not None), error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from: SQLite, when full, takes savepoints away with it."""
    for _ in range(_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _is_away(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno not in _OF_ONE_FILE
    if isinstance(error, PoolTimeout | DisconnectionError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    code = _sqlite_code(error)
    if code is not None:
        return code not in _OPERATIONS_FAULT_IN_SQLITE
    state = _state(error)
    if state is not None:
        return not state.startswith(_OPERATIONS_FAULT) or state in _SCHEMAS_FAULT
    # The driver itself: what it cannot send is the operation's, a broken connection is not.
    return type(error.orig).__name__ in {"OperationalError", "InterfaceError"} and not isinstance(
        error.orig, sqlite3.Error
    )


def _reason(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in _FULL:
        return "its disk is full"
    if not isinstance(error, DBAPIError):
        return None
    match _sqlite_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "it is locked by another process"
        case sqlite3.SQLITE_FULL:
            return "its disk is full"
        case sqlite3.SQLITE_READONLY:
            return "it is read-only"
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "its file cannot be used"
    match _state(error):
        case "53100":
            return "its disk is full"
        case "25006":
            return "it is read-only"
        case "53300":
            return "it takes no more connections"
    return None


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _state(error: DBAPIError) -> str | None:
    state = getattr(error.orig, "sqlstate", None)
    return None if state is None else str(state)
