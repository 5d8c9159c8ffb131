"""The shapes of answers as docs/json.md writes them: JSON with the names of types in it.

`"string"`, `"number"`, `"boolean"`, `"null"`, `"any"`, with ` | ` between alternatives; a key that
ends with `?` may be missing; `{"*": SHAPE}` has any keys; `[SHAPE]` is a list.
"""

import json
import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "number": (int, float), "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def shapes_of(page: str) -> dict[str, list[Any]]:
    """By command the shapes that its section shows; none: it has no answer in JSON."""
    sections = re.split(r"^## `pushcli (.+)`$", page, flags=re.M)
    return {
        command: json_blocks(text)
        for command, text in zip(sections[1::2], sections[2::2], strict=True)
    }


def json_blocks(text: str) -> list[Any]:
    """What stands in its blocks of JSON."""
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.S)]


def faults(value: Any, shape: Any, where: str = "$") -> list[str]:
    """Where the value is not of that shape."""
    if isinstance(shape, str):
        return [] if _is_of(value, shape) else [f"{where} is {value!r}, not {shape}"]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        each = enumerate(value)
        return [fault for i, one in each for fault in faults(one, shape[0], f"{where}[{i}]")]
    if not isinstance(value, dict):
        return [f"{where} is no object"]
    if "*" in shape:
        return [f for key, one in value.items() for f in faults(one, shape["*"], f"{where}.{key}")]
    known = {key.removesuffix("?"): (inner, key.endswith("?")) for key, inner in shape.items()}
    found = [f"{where}.{key} is not documented" for key in value if key not in known]
    for key, (inner, optional) in known.items():
        if key in value:
            found += faults(value[key], inner, f"{where}.{key}")
        elif not optional:
            found.append(f"{where}.{key} is missing")
    return found


def _is_of(value: Any, types: str) -> bool:
    for name in types.split(" | "):
        if name == "any":
            return True
        if isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool)):
            return True
    return False
