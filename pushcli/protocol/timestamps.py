"""RFC 1123 dates, as the wire and the REST answers write them."""

from datetime import UTC, datetime
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


# Within a second a whole fleet sends the same text: parsing it once is most of the gain.
@lru_cache(maxsize=256)
def parse_rfc1123(text: str) -> float:
    """Seconds since the epoch of e.g. ``Mon, 23 Nov 2026 20:43:16 GMT``.

    `email.utils` would read it too, but loosely, slowly and at 5 MiB of imports.

    Raises:
        ValueError: it is not exactly such a date.
    """
    if len(text) != 29 or text[:3] not in _DAYS or text[3:5] != ", " or text[25:] != " GMT":
        raise ValueError("not an RFC 1123 date")
    day, month, year, clock = text[5:].split(" ")[:4]
    hour, minute, second = clock.split(":")
    fields = (year, day, hour, minute, second)
    if month not in _MONTHS or not all(f.isascii() and f.isdigit() for f in fields):
        raise ValueError("not an RFC 1123 date")
    moment = datetime(
        int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second),
        tzinfo=UTC,
    )  # fmt: skip
    return moment.timestamp()


@lru_cache(maxsize=16)
def _format_whole(seconds: int) -> str:
    t = datetime.fromtimestamp(seconds, UTC)
    return (
        f"{_DAYS[t.weekday()]}, {t.day:02} {_MONTHS[t.month - 1]} {t.year:04} "
        f"{t.hour:02}:{t.minute:02}:{t.second:02} GMT"
    )


def format_rfc1123(seconds: float) -> str:
    """The RFC 1123 date of a time in seconds since the epoch."""
    return _format_whole(int(seconds))


def format_minute(seconds: float) -> str:
    """`2026-11-23T20:00Z`, as reasons name moments: those of one minute are alike."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%MZ")


def format_iso8601(seconds: float) -> str:
    """`2026-11-23T20:00:00Z`, as signed requests carry it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
