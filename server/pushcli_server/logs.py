"""The server's log: structured, one line per record, to where the settings say.

Modules log through the standard library; what a record is about stands in its `extra`
(`SUBJECTS`). structlog makes lines of them, for people or as JSON.
"""

import asyncio
import json
import logging
import logging.handlers
import os
import queue
import socket
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import structlog
from structlog.typing import EventDict, WrappedLogger

from pushcli.errors import ConfigError
from pushcli.logs.handler import SUBJECTS, LineHandler
from pushcli.logs.places import LogFile, Place, StandardError
from pushcli_server.settings import Settings

JOURNAL = "/run/systemd/journal/socket"
SYSLOG = "/dev/log"
_NAME = "pushcli-server"
_QUEUE = 10_000
"""Lines that wait for a place that is slow; beyond it they are counted only."""
_LONGEST = 1500
"""Characters of a message, and of what led to it."""
_FRAMES = 12
_TICK = 5.0
"""Seconds."""
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
_Exception = tuple[type[BaseException], BaseException, TracebackType | None]


class ServerLog(LineHandler):
    """Writes on a thread of its own: nobody waits for a disk or a reader of the log."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def deliver(self, level: int, line: str, fields: dict[str, str]) -> None:
        """Have a line written in its turn."""
        self._put(lambda: super(ServerLog, self).deliver(level, line, fields))

    def reopen(self) -> None:
        """Go on in a new file if somebody has moved the old one away."""
        self._put(super().reopen)

    def stop(self) -> None:
        """Write what waits, for two seconds at most."""
        try:
            self._queue.put(None, timeout=1.0)
        except queue.Full:
            return
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._place.close()

    def _put(self, work: Callable[[], None]) -> None:
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self.lose(1)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except Exception:
                # There is no log to write it to.
                self.lose(1)


class Syslog:
    """The system's log, through its socket."""

    def __init__(self, address: str = SYSLOG) -> None:
        self._handler = _Syslog(address)
        self._handler.ident = f"{_NAME}[{os.getpid()}]: "

    def write(self, level: int, line: str, fields: dict[str, str]) -> None:
        """Add one."""
        self._handler.emit(logging.makeLogRecord({"msg": line, "levelname": _level_name(level)}))

    def reopen(self) -> None:
        """It has no file of ours."""

    def close(self) -> None:
        """No more lines."""
        self._handler.close()


class _Syslog(logging.handlers.SysLogHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Pass it on to whoever counts what was lost."""
        raise  # noqa: PLE0704 - it is called while an error is handled


class Journal:
    """systemd's journal, which keeps jobs and nodes as fields of their own."""

    def __init__(self, address: str = JOURNAL) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(address)
        self._address = address

    def write(self, level: int, line: str, fields: dict[str, str]) -> None:
        """Add one."""
        values = {
            "MESSAGE": line,
            "PRIORITY": str(_PRIORITIES.get(level, 7)),
            "SYSLOG_IDENTIFIER": _NAME,
            **{f"PUSHCLI_{name.upper()}": value for name, value in fields.items()},
        }
        # Nothing in it has a line's end, or it would have to be sent another way.
        text = "".join(f"{name}={' '.join(value.split())}\n" for name, value in values.items())
        data = text.encode("utf-8", "backslashreplace")
        try:
            self._socket.send(data)
        except BlockingIOError:
            raise
        except OSError:
            # The journal was started anew.
            self._socket.connect(self._address)
            self._socket.send(data)

    def reopen(self) -> None:
        """It has no file of ours."""

    def close(self) -> None:
        """No more lines."""
        self._socket.close()


def start(settings: Settings, directory: Path) -> ServerLog:
    """Log from now on as the settings say.

    Args:
        directory: the server's, which a relative `log_file` is in.

    Raises:
        ConfigError: the log cannot be written there.
    """
    handler = ServerLog(_place(settings, directory))
    handler.setFormatter(formatter(settings.log_format))
    root = logging.getLogger()
    for previous in list(root.handlers):
        root.removeHandler(previous)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    return handler


def formatter(kind: str) -> logging.Formatter:
    """What makes lines: `json`, or `console` for people."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=SUBJECTS),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _in_one_line,
            _as_json if kind == "json" else _for_people,
        ],
    )


def _place(settings: Settings, directory: Path) -> Place:
    try:
        match settings.log_target:
            case "syslog":
                return Syslog()
            case "journald":
                return Journal()
            case _ if settings.log_file:
                return LogFile(directory / settings.log_file)
            case _:
                return StandardError()
    except OSError as error:
        where = settings.log_file or settings.log_target
        raise ConfigError(
            f"cannot write the log to {where}: {error.strerror}",
            "check log_file and log_target in server.toml",
        ) from error


def _in_one_line(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """What led to an exception, shortly; the rest no longer than a line may be."""
    info: _Exception | bool | None = event.pop("exc_info", None)
    event.pop("exc_text", None)
    event.pop("stack_info", None)
    event["event"] = str(event["event"])[:_LONGEST]
    if isinstance(info, tuple) and info[0] is not None:
        event["exception"] = _described(info[1])[:_LONGEST]
    for subject in SUBJECTS:
        if subject in event:
            event[subject] = str(event[subject])[:256]
    return event


def _described(error: BaseException) -> str:
    """Innermost first: what was raised, where, and what it came from."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    text = f"{type(error).__name__}: {error}; Traceback: {' < '.join(reversed(places))}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text if cause is None else f"{text} | from {type(cause).__name__}: {cause}"


def _as_json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    # Plain ASCII: whatever stands in it, a terminal shows letters.
    return json.dumps(event, default=str)


def _for_people(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level').upper()} {event.pop('logger')}:"
    text = str(event.pop("event"))
    more = "".join(f" {name}={value}" for name, value in event.items())
    return f"{head} {text}{more}"


def _level_name(level: int) -> str:
    return logging.getLevelName(level) if level in _PRIORITIES else "DEBUG"


async def report_left_out(log: LineHandler) -> None:
    """From time to time, until cancelled."""
    while True:
        await asyncio.sleep(_TICK)
        log.tick(time.monotonic())
