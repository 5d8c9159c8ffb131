"""Which distributions one needs, and theirs, at the versions of requirements.lock."""

import re
from collections.abc import Callable, Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Requires = Callable[[str], Iterable[str]]
"""What a distribution says that it requires, as its metadata has it."""


def closure(name: str, requires: Requires, pythons: Iterable[str]) -> set[str]:
    """All that a distribution needs on one of these versions of Python, without itself.

    Args:
        pythons: such as `3.11`.
    """
    environments = [_environment(python) for python in pythons]
    found: set[str] = set()
    open_ = [(name, frozenset[str]())]
    seen = set(open_)
    while open_:
        one, extras = open_.pop()
        for text in requires(one):
            needed = Requirement(text)
            if not _applies(needed, environments, extras):
                continue
            its = canonicalize_name(needed.name), frozenset(needed.extras)
            found.add(its[0])
            if its not in seen:
                seen.add(its)
                open_.append(its)
    return found


def locked(lock: str, names: Iterable[str]) -> str:
    """The lines of a lock about these distributions, with their hashes.

    Raises:
        ValueError: one is not in it.
    """
    blocks: dict[str, str] = {
        canonicalize_name(block.partition("==")[0]): _without_comments(block)
        for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
        if "==" in block
    }
    if missing := sorted(set(names) - blocks.keys()):
        raise ValueError(f"not in requirements.lock: {', '.join(missing)}")
    return "".join(blocks[name] for name in sorted(names))


def _without_comments(block: str) -> str:
    return "".join(line for line in block.splitlines(keepends=True) if "#" not in line)


def _environment(python: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.0"}


def _applies(
    needed: Requirement, environments: list[dict[str, str]], extras: frozenset[str]
) -> bool:
    if needed.marker is None:
        return True
    return any(
        needed.marker.evaluate({**environment, "extra": extra})
        for environment in environments
        for extra in (extras or {""})
    )
