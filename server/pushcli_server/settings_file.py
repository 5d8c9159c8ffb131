"""Changes in a server's own `server.toml`; `settings_text.py` says what of it stays."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from pushcli import keys, toml_settings
from pushcli.errors import ConfigError
from pushcli_server import settings, settings_text


def changed(directory: Path, values: Mapping[str, object], without: Collection[str] = ()) -> str:
    """The file's text with these settings, which `save` writes.

    Raises:
        ConfigError: there is no such file, or it cannot be changed so.
    """
    file = directory / settings.FILE
    text = toml_settings.read(file)
    return settings_text.with_values(text, values, without=without, source=str(file))


def save(directory: Path, text: str) -> None:
    """Put this in the file's place, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    file = (directory / settings.FILE).resolve()
    beside = file.with_name(f".{settings.FILE}.new")
    try:
        # One that was interrupted left it.
        beside.unlink(missing_ok=True)
        keys.write_secret(beside, text.encode())
        shutil.copymode(file, beside)
        beside.replace(file)
    except OSError as error:
        raise ConfigError(
            f"cannot write {file}: {error.strerror}", "check the directory and its owner"
        ) from error
