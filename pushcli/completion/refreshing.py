"""How the refresh is told which server to ask, and as whom."""

from pathlib import Path
from typing import Any

import msgspec

from pushcli.terminal.context import Options

MODULE = "pushcli.completion.refresh"
_TEXTS = ("profile", "server_url", "user", "fingerprint")
_PATHS = ("config", "key", "ca_file")


def options_text(options: Options) -> str:
    """The options of the connection; there is no secret in them."""
    given = {name: getattr(options, name) for name in (*_TEXTS, *_PATHS)}
    return msgspec.json.encode(
        {name: str(value) for name, value in given.items() if value is not None}
    ).decode()


def read_options(text: str) -> Options:
    """What `options_text` wrote."""
    given = msgspec.json.decode(text, type=dict[str, str])
    values: dict[str, Any] = {
        name: Path(value) if name in _PATHS else value for name, value in given.items()
    }
    return Options(**values)
