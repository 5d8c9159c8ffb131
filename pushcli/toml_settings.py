"""Configuration files: TOML into a struct, with errors that name the key and the near miss."""

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from pushcli.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)


def load(path: Path, shape: type[S]) -> S:
    """Read a TOML file into a struct that forbids unknown fields.

    Raises:
        ConfigError: missing, unreadable, no TOML, unknown key, wrong type.
    """
    return parse(read(path), shape, str(path))


def read(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: missing, unreadable, not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", "save it as UTF-8") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot read {path}: {reason}", "check the path and its permissions"
        ) from error


def parse(text: str, shape: type[S], source: str) -> S:
    """Like `load`, from text; `source` is what errors call it.

    Raises:
        ConfigError: no TOML, unknown key, wrong type.
    """
    try:
        import tomli  # noqa: PLC0415

        content = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid TOML: {error}", "fix it there") from error
    refuse_unknown(content, [field.encode_name for field in msgspec.structs.fields(shape)], source)
    try:
        return msgspec.convert(content, shape)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_readable(error)}", "fix it there") from error


def refuse_unknown(content: dict[str, object], known: list[str], source: str) -> None:
    """Every key must be known.

    Raises:
        ConfigError: the first that is not, with the known one that it may have been meant as.
    """
    for key in content:
        if key not in known:
            import difflib  # noqa: PLC0415 - for mistakes alone

            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{source}: unknown key {key!r}", hint)


def _readable(error: msgspec.ValidationError) -> str:
    """``Expected `int`, got `str` - at `$.api_port` `` as `api_port: expected int, got str`."""
    text = str(error).replace("`", "")
    message, _, place = text.rpartition(" - at ")
    key = re.sub(r"^\$\.?", "", place)
    return f"{key}: {message[:1].lower()}{message[1:]}" if message and key else text
