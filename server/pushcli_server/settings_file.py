"""Changes in a server's own `server.toml`; `settings_text.py` says what of it stays."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
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
    with beside(directory, text) as fresh:
        replace(directory, fresh)


@contextmanager
def beside(directory: Path, text: str) -> Iterator[Path]:
    """The text in a file of its own, which may take the place of the other until the block ends.

    Raises:
        ConfigError: it cannot be written.
    """
    file = (directory / settings.FILE).resolve()
    fresh = file.with_name(f".{settings.FILE}.new")
    try:
        # One that was interrupted left it.
        fresh.unlink(missing_ok=True)
        keys.write_secret(fresh, text.encode())
        shutil.copymode(file, fresh)
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


def replace(directory: Path, fresh: Path) -> None:
    """From now on this is the file.

    Raises:
        ConfigError: it cannot be.
    """
    file = (directory / settings.FILE).resolve()
    try:
        fresh.replace(file)
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot write {file}: {error.strerror}", "check the directory and its owner"
    )
