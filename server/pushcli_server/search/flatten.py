"""A node object as what search looks at: flat fields, each with its values.

As Chef's index has it: the levels of attributes are merged, nested keys are joined by `_`, and
the last of them stands for itself too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pushcli.protocol.attributes import LEVELS

Fields = dict[tuple[str, str], float | None]
"""By field and value; the number, where the value is one."""
MAX_FIELDS = 2000
MAX_DEPTH = 50
MAX_TEXT = 255
"""Characters of a field and of a value; what is beyond is not searched."""
_UNSEARCHED = {("push_jobs", "whitelist"), ("push_jobs", "whitelist_signatures")}
_RESERVED = frozenset(
    {
        "name",
        "node",
        "chef_environment",
        "policy_name",
        "policy_group",
        "run_list",
        "role",
        "roles",
        "recipe",
        "recipes",
    }
    | {"tags", "tag"}
)
"""Fields that mean the node's own; `kernel.name` is no `name`."""


def merged(node: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of all levels: objects key by key, anything else replaced."""
    attributes: dict[str, Any] = {}
    for level in LEVELS:
        above = node.get(level)
        if isinstance(above, dict):
            attributes = _merge(attributes, above, MAX_DEPTH)
    return attributes


def fields(node: Mapping[str, Any]) -> Fields:
    """What search finds a node by.

    Args:
        node: `name`, `chef_environment`, `run_list` and the levels, as in JSON; anything may
            be in it.
    """
    found: Fields = {}
    attributes = merged(node)
    for field, values in _own(node, attributes):
        for value in values:
            _add(found, field, value)
    for path, value in _leaves(attributes):
        if len(found) >= MAX_FIELDS:
            break
        _add(found, "_".join(path), value)
        if len(path) > 1 and path[-1] not in _RESERVED:
            _add(found, path[-1], value)
    return found


def _own(node: Mapping[str, Any], attributes: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    name, run_list = node.get("name"), _list(node.get("run_list"))
    yield "name", [name]
    yield "node", [name]
    yield "chef_environment", [node.get("chef_environment")]
    for policy in ("policy_name", "policy_group"):
        yield policy, [node[policy]] if node.get(policy) else []
    yield "run_list", run_list
    for kind in ("role", "recipe"):
        expanded = [*_named(kind, run_list), *_list(attributes.get(f"{kind}s"))]
        yield kind, expanded
        yield f"{kind}s", expanded
    yield "tag", _list(attributes.get("tags"))


def _named(kind: str, run_list: Iterable[Any]) -> list[str]:
    """`web` of `role[web]`; a bare item is a recipe, and a version after `@` is left out."""
    found = []
    for item in run_list:
        if not isinstance(item, str):
            continue
        head, bracket, tail = item.partition("[")
        if not bracket:
            head, tail = "recipe", item
        if head == kind:
            found.append(tail.rstrip("]").partition("@")[0])
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merge(below: dict[str, Any], above: dict[str, Any], depth: int) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if depth and isinstance(under, dict) and isinstance(value, dict):
            result[key] = _merge(under, value, depth - 1)
        else:
            result[key] = value
    return result


def _leaves(attributes: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value that is no object, under its keys; those of a list one by one."""
    left: list[tuple[tuple[str, ...], Any]] = [((), attributes)]
    while left:
        path, value = left.pop()
        if path in _UNSEARCHED or len(path) > MAX_DEPTH:
            continue
        if isinstance(value, dict):
            # From behind, so that they come in order.
            left += [((*path, str(key)), inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list):
            left += [(path, inner) for inner in reversed(value)]
        elif path:
            yield path, value


def _add(found: Fields, field: str, value: Any) -> None:
    text = _text(value)
    if text is None or len(found) >= MAX_FIELDS:
        return
    found[_short(field), _short(text)] = _number(value)


def _text(value: Any) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case int() | float() | str():
            return str(value)
        case _:
            return None


def _short(text: str) -> str:
    # What neither database can hold.
    return text[:MAX_TEXT].replace("\0", "").encode("utf-8", "replace").decode()


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
