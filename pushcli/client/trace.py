"""What was asked and answered, in lines for a person, without the secrets in it.

What may be shown is decided by name; of what has no names (output, files) only the size is told.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

Trace = Callable[[str], None]
"""Where the lines go."""
MASK = "***"
_SIGNATURES = ("x-ops-authorization-", "x-ops-content-hash")
_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_ENVIRONMENTS = frozenset({"env", "environment", "with_env", "secret_env"})
"""Keys of objects whose values all stay hidden; their names do not."""
_SECRETS = ("token", "secret", "password", "private", "session_key", "file", "stdin", "credential")
"""Parts of the names of keys whose values stay hidden."""
_MOST = 4_000
"""Characters of a body that are shown."""


def request_lines(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes
) -> Iterator[str]:
    """A request."""
    yield f"> {method} {target}"
    yield from _rest(">", headers, body)


def answer_lines(
    status: int, headers: Iterable[tuple[str, str]], body: bytes, seconds: float
) -> Iterator[str]:
    """What came of it, and how long that took."""
    yield f"< {status} in {seconds * 1000:.0f} ms"
    yield from _rest("<", headers, body)


def _rest(mark: str, headers: Iterable[tuple[str, str]], body: bytes) -> Iterator[str]:
    for name, value in headers:
        yield f"{mark} {name}: {MASK if _is_secret_header(name) else value}"
    if body:
        yield f"{mark} {_shown(body)}"


def _is_secret_header(name: str) -> bool:
    lowered = name.lower()
    return lowered in _HEADERS or lowered.startswith(_SIGNATURES)


def _shown(body: bytes) -> str:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"[{len(body):,} bytes]"
    text = json.dumps(masked(value))
    return text if len(text) <= _MOST else f"{text[:_MOST]}... [{len(body):,} bytes]"


def masked(value: Any) -> Any:
    """JSON without keys, tokens, files and values of variables."""
    match value:
        case dict():
            return {name: _masked_entry(name, entry) for name, entry in value.items()}
        case list():
            return [masked(entry) for entry in value]
        case str() if "PRIVATE KEY" in value:
            return MASK
        case _:
            return value


def _masked_entry(name: str, value: Any) -> Any:
    lowered = name.lower()
    if lowered in _ENVIRONMENTS:
        return dict.fromkeys(value, MASK) if isinstance(value, dict) else MASK
    if isinstance(value, str) and any(part in lowered for part in _SECRETS):
        return MASK
    return masked(value)
