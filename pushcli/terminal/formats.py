"""JSON, also by the line, and YAML on standard output.

All are written in ASCII with everything else escaped: whatever a node sent, no control
character reaches a terminal, and any parser reads back what was sent.
"""

from enum import StrEnum
from typing import assert_never


class Format(StrEnum):
    """What `-F` takes."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    NDJSON = "ndjson"


def to_json(value: object) -> str:
    """Indented JSON with a newline at its end."""
    import json  # noqa: PLC0415 - only those need it who want it

    # json leaves DEL as it is; it can stand only within a string.
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f") + "\n"


def to_json_line(value: object) -> str:
    """JSON in one line, without its end."""
    import json  # noqa: PLC0415 - as above

    return json.dumps(value).replace("\x7f", "\\u007f")


def to_json_lines(value: object) -> str:
    """A list as a line of JSON for each entry, anything else as one line."""
    entries = value if isinstance(value, list) else [value]
    return "".join(f"{to_json_line(entry)}\n" for entry in entries)


def to_yaml(value: object) -> str:
    """YAML that `yaml.safe_load` reads back."""
    import yaml  # noqa: PLC0415 - 20 ms that only those pay who want it

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=False)


def render(value: object, form: Format) -> str:
    """The value in a machine's format.

    Raises:
        ValueError: text is no machine's format.
    """
    match form:
        case Format.JSON:
            return to_json(value)
        case Format.YAML:
            return to_yaml(value)
        case Format.NDJSON:
            return to_json_lines(value)
        case Format.TEXT:
            raise ValueError("text has a rendering of its own for each command")
        case _:
            assert_never(form)
