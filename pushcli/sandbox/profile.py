"""The profile `sandbox` in the operator's credentials, for as long as a sandbox lives."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pushcli.client.credentials import Profile, Values, add_profile, profile_text, profiles
from pushcli.errors import ConfigError
from pushcli.escape import escape_line

NAME = "sandbox"
PREFIX = "pushcli-sandbox-"
"""Of the directory of a sandbox, in the directory for temporary files."""
_OWNER = "owner.pid"


def clear(credentials: Path, temporary: Path) -> Iterator[str]:
    """Take away what killed sandboxes left: processes, directories, the profile; says so.

    Args:
        temporary: the directory that sandboxes make theirs in.
    """
    for left in temporary.glob(f"{PREFIX}*"):
        if _is_ours(left) and not _is_alive(left):
            from pushcli.sandbox.sandbox import end_all  # noqa: PLC0415 - slow to import

            end_all(left)
            shutil.rmtree(left, ignore_errors=True)
            yield escape_line(f"Cleared away what a killed sandbox had left in {left}")
    profile = _existing(credentials)
    place = _place_of(profile, temporary)
    if profile is not None and place is not None and not place.exists():
        text = profile_text(NAME, profile).encode()
        # With the gap before it, if others stood in the file already.
        _remove(credentials, b"\n" + text)
        _remove(credentials, text)


def require_free(credentials: Path, temporary: Path) -> None:
    """Find out whether the profile can be lent, before there is something to lend it for.

    Raises:
        ConfigError: there is a profile of this name.
    """
    profile = _existing(credentials)
    if profile is not None:
        raise _taken(credentials, is_ours=_place_of(profile, temporary) is not None)


def _existing(credentials: Path) -> Any:
    return profiles(credentials).get(NAME) if credentials.exists() else None


def _is_ours(place: Path) -> bool:
    try:
        return not place.is_symlink() and place.stat().st_uid == os.geteuid()
    except OSError:
        return False


def own(place: Path) -> None:
    """Leave in a sandbox's directory whose it is, for one that comes after us."""
    (place / _OWNER).write_text(f"{os.getpid()} {_started(os.getpid())}")


def _place_of(profile: Any, temporary: Path) -> Path | None:
    """The directory of the sandbox that a profile is of; None: it is not one's."""
    if not isinstance(profile, dict) or not isinstance(profile.get("client_key"), str):
        return None
    if not all(isinstance(one, str | list) for one in profile.values()):
        return None
    key = Path(profile["client_key"])
    if not key.is_relative_to(temporary) or ".." in key.parts:
        return None
    name = next(iter(key.relative_to(temporary).parts), "")
    return temporary / name if name.startswith(PREFIX) else None


def _is_alive(place: Path) -> bool:
    try:
        number, started = (place / _OWNER).read_text().split()
        return _started(int(number)) == started
    except (OSError, ValueError):
        # So young that it has not written it yet.
        return True


def _started(number: int) -> str:
    """When a process began, in ticks; empty if there is none: numbers are used again."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _taken(credentials: Path, *, is_ours: bool) -> ConfigError:
    remedy = "end the other sandbox" if is_ours else "rename or remove that profile"
    return ConfigError(f"{credentials} already has a profile {NAME!r}", remedy)


def values_of(profile: Profile) -> Values:
    """A sandbox's profile as it stands in a credentials file."""
    urls = [profile.chef_server_url, *profile.other_urls]
    values: dict[str, str | list[str]] = {
        "client_name": profile.client_name,
        "client_key": profile.client_key,
        "chef_server_url": urls if profile.other_urls else urls[0],
    }
    if profile.fingerprint:
        values["fingerprint"] = profile.fingerprint
    return values


@contextmanager
def lent_profile(credentials: Path, profile: Profile) -> Iterator[None]:
    """Add the profile, and take away at the end what was added, and nothing else.

    Raises:
        ConfigError: there is a profile of this name.
    """
    before = credentials.read_bytes() if credentials.exists() else None
    if not add_profile(credentials, NAME, values_of(profile)):
        raise _taken(credentials, is_ours=True)
    added = credentials.read_bytes()[len(before or b"") :]
    try:
        yield
    finally:
        _remove(credentials, added)


def _remove(credentials: Path, added: bytes) -> None:
    if not credentials.exists():
        return
    content = credentials.read_bytes()
    rest = content.replace(added, b"", 1)
    if not rest:
        credentials.unlink()
    elif rest != content:
        credentials.write_bytes(rest)
