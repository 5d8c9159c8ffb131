"""What a wheel needs of the machine that it is installed on: by its tags, and by its symbols."""

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

Glibc = tuple[int, int]
"""A version of the C library."""

NONE: Glibc = (2, 0)
"""Of what needs no C library at all."""
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(.+)")
_OLD = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_SYMBOL = re.compile(rb"GLIBC_(\d+)\.(\d+)")
_LIBRARY = re.compile(r"\.so(\.[0-9.]+)?$")


def of_tag(tag: Tag, machine: str) -> Glibc | None:
    """The oldest C library that a tag promises to do with; None: it is not for this machine."""
    if tag.platform == "any":
        return NONE
    if (match := _MANYLINUX.fullmatch(tag.platform)) is not None:
        return (int(match[1]), int(match[2])) if match[3] == machine else None
    old, _, its_machine = tag.platform.partition("_")
    return _OLD.get(old) if its_machine == machine else None


def of_name(name: str, machine: str) -> Glibc:
    """The oldest C library that a wheel's name promises to do with.

    Raises:
        ValueError: it is no wheel for this machine, or it promises nothing.
    """
    tags = parse_wheel_filename(name)[3]
    found = [glibc for tag in tags if (glibc := of_tag(tag, machine)) is not None]
    if not found:
        raise ValueError(f"{name} is not for {machine} with glibc")
    return min(found)


def of_symbols(wheel: Path) -> Glibc:
    """The newest C library whose symbols a wheel's libraries name."""
    with zipfile.ZipFile(wheel) as content:
        libraries = (content.read(name) for name in content.namelist() if _LIBRARY.search(name))
        return newest(
            (int(major), int(minor))
            for library in libraries
            for major, minor in _SYMBOL.findall(library)
        )


def newest(versions: Iterable[Glibc]) -> Glibc:
    """The newest of them; of none what needs no C library."""
    return max(versions, default=NONE)


def oldest_that_does(wheels: Iterable[Path], machine: str) -> Glibc:
    """The oldest C library with which all of these wheels do.

    Raises:
        ValueError: one is not for this machine, or names newer symbols than its tags promise.
    """
    found = NONE
    for wheel in wheels:
        promised, used = of_name(wheel.name, machine), of_symbols(wheel)
        if used > promised:
            raise ValueError(f"{wheel.name} uses glibc {used[0]}.{used[1]}, which its name denies")
        found = max(found, promised)
    return found


def fits(name: str, python: str) -> bool:
    """Whether a wheel is for this version of CPython, such as `3.12`, by its name."""
    version = tuple(map(int, python.split(".")))
    return any(_tag_fits(tag, version) for tag in parse_wheel_filename(name)[3])


def _tag_fits(tag: Tag, version: tuple[int, ...]) -> bool:
    kind, its = tag.interpreter[:2], tag.interpreter[2:]
    if kind == "py":
        return its == "3" or its == "".join(map(str, version))
    its_version = int(its[:1]), int(its[1:] or 0)
    if kind != "cp":
        return False
    return its_version <= version if tag.abi == "abi3" else its_version == version


def unpacked_size(wheels: Iterable[Path]) -> int:
    """Bytes of what is in them."""
    total = 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as content:
            total += sum(item.file_size for item in content.infolist())
    return total
