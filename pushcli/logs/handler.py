"""Between the standard library's logging and a place: one printable line per record.

Nothing that happens here is anybody else's trouble: a record that cannot be written is
counted, and the count is written once that is possible.
"""

import logging
import os
import time
from contextlib import nullcontext

from pushcli.escape import escape_line
from pushcli.logs.places import Place
from pushcli.logs.rate_bound import RateBound

SUBJECTS = ("job", "node", "org", "peer")
"""What a record may say in its `extra` of whom it is about."""


class LineHandler(logging.Handler):
    """Writes records to a place, as often as the rate bound admits them."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._bound = RateBound()
        self.lost_in_all = 0
        """Lines that could not be written since the start."""
        self._lost = 0
        self._reported = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; it never raises."""
        now = time.monotonic()
        if record.levelno > logging.DEBUG and not self._admits(record, now):
            return
        self.tick(now)
        self._show(record)

    def tick(self, now: float) -> None:
        """Say how much was left out in the time that is over; `now` is monotonic."""
        with self.lock or nullcontext():
            left_out = self._bound.left_out(now)
        for kind, count in left_out:
            _, level, text = kind if isinstance(kind, tuple) else ("", logging.WARNING, str(kind))
            more = f"{text}: … {count} more in the last minute"
            self._show(self._record(level, more))

    def reopen(self) -> None:
        """Go on in a new file if somebody has moved the old one away."""
        self._place.reopen()

    def deliver(self, level: int, line: str, fields: dict[str, str]) -> None:
        """Write a line, or count it."""
        try:
            if self._lost:
                self._place.write(
                    logging.ERROR,
                    self.format(self._record(logging.ERROR, _lost(self._lost))),
                    {},
                )
                self._lost = 0
                self._reported = False
            self._place.write(level, line, fields)
        except OSError as error:
            self.lose(1)
            self._report(error)

    def lose(self, count: int) -> None:
        """So many lines will not be written."""
        self._lost += count
        self.lost_in_all += count

    def _show(self, record: logging.LogRecord) -> None:
        fields = {name: str(record.__dict__[name]) for name in SUBJECTS if name in record.__dict__}
        try:
            line = self.format(record)
        except Exception as error:
            where = f"{record.pathname}:{record.lineno}"
            line = f"a record of {where} cannot be shown: {type(error).__name__}"
        self.deliver(record.levelno, escape_line(line), fields)

    def _admits(self, record: logging.LogRecord, now: float) -> bool:
        error = record.exc_info[0] if record.exc_info else None
        kind = (error, record.levelno, _template(record))
        source = tuple(record.__dict__.get(name) for name in SUBJECTS)
        return self._bound.admits(kind, source, now)

    @staticmethod
    def _record(level: int, text: str) -> logging.LogRecord:
        return logging.LogRecord("pushcli.logs", level, __file__, 0, text, None, None)

    def _report(self, error: OSError) -> None:
        """Once on standard error, until it works again."""
        if not self._reported:
            self._reported = True
            line = f"pushcli: the log cannot be written: {error.strerror or error}\n"
            try:
                os.write(2, line.encode("utf-8", "replace"))
            except OSError:
                # Nobody is left to be told.
                return


def _template(record: logging.LogRecord) -> str:
    """What records have in common that differ in their arguments only."""
    return str(record.msg).partition("\n")[0][:200]


def _lost(count: int) -> str:
    return f"{count} lines of the log could not be written"
