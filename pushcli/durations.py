"""Lengths of time and moments as people type them: `24h`, `1d 12h`, `2026-11-23T20:00`."""

import re
from datetime import UTC, datetime
from typing import Any

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SAME = {"min": "m", "sec": "s"}
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(min|sec|[wdhms])")
_WHOLE = re.compile(rf"{_PART.pattern}(?: ?{_PART.pattern})*")
_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+", re.ASCII)
LONGEST = 100 * 366 * 86_400.0
"""Seconds; what is longer is a mistake."""


def parse(text: str) -> float:
    """Seconds of `90s`, `30m`, `24h`, `7d`, `1d12h` or `1 d 12 h`; 0 needs no unit.

    Raises:
        ValueError: it is none of these, or longer than a century.
    """
    text = text.strip().lower()
    if text == "0":
        return 0.0
    if _NUMBER.fullmatch(text):
        raise ValueError(f"a number without a unit; write {text}s, {text}m, {text}h or {text}d")
    if not text.isascii() or not _WHOLE.fullmatch(text):
        raise ValueError("not a duration; write it as 90s, 30m, 24h or 7d")
    parts = _PART.findall(text)
    seconds = sum(float(number) * _UNITS[_SAME.get(unit, unit)] for number, unit in parts)
    if seconds > LONGEST:
        raise ValueError("longer than a century")
    return seconds


def seconds(text: str) -> float:
    """Seconds of a length of time that needs no unit: `90`, `1.5`, or what `parse` takes.

    Raises:
        ValueError: it is neither.
    """
    plain = text.strip().lower()
    if _NUMBER.fullmatch(plain):
        return float(plain)
    try:
        return parse(plain)
    except ValueError as error:
        if "century" in str(error):
            raise
        raise ValueError(
            "not a length of time; write it as 90 (seconds), 90s, 2m, 24h or 1d12h"
        ) from None


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of a date, or of a length of time before `now`.

    A date without an offset is in the time of this machine.

    Raises:
        ValueError: it is neither.
    """
    try:
        return now - parse(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        if _NUMBER.fullmatch(text.strip()):
            parse(text)
        raise ValueError(
            "neither a duration such as 2h nor a date such as 2026-11-23T20:00"
        ) from None


def words(seconds: float) -> str:
    """`1 d 12 h`, in the two largest units that there are."""
    left = round(seconds)
    parts = []
    for unit, size in _UNITS.items():
        if unit != "w" and left >= size:
            parts.append(f"{left // size} {_LONG.get(unit, unit)}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


_LONG = {"m": "min"}


def local(seconds: float) -> str:
    """A moment in the time of this machine: `2026-11-23T20:00:00+01:00`."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def clock(seconds: float) -> str:
    """A moment of the last hours by this machine's clock: `14:02:33`."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def utc(seconds: float) -> Any:
    """The same in UTC, for programs: `2026-11-23T20:00:00Z`, with milliseconds if there are any.

    What is out of a calendar's range stays a number.
    """
    try:
        at = datetime.fromtimestamp(round(seconds, 3), UTC)
    except (ValueError, OverflowError, OSError):
        return seconds
    precision = "milliseconds" if at.microsecond else "seconds"
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def age(seconds: float) -> str:
    """`4 min`, in the largest unit that fits."""
    for unit, size in _UNITS.items():
        if unit != "w" and seconds >= size:
            return f"{int(seconds // size)} {_LONG.get(unit, unit)}"
    return "0 s"
