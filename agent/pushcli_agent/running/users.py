"""As whom a job's command runs."""

import os
import pwd
from collections.abc import Collection

import msgspec

from pushcli_agent.running import allowing

_LONGEST = 64
"""Characters of a user's name."""


class UserRefused(Exception):
    """A job's user who is unknown or not allowed; one line, for the operator."""


class User(msgspec.Struct, frozen=True):
    """A user of this machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    @property
    def is_other(self) -> bool:
        """Whether this is not the user as whom this process runs."""
        return self.uid != os.geteuid()


def choose(
    asked: str | None,
    allowed: Collection[str] | None,
    *,
    preset: str | None = None,
    is_local: bool = True,
) -> User:
    """The user whom a job names, or the entry's, or the agent's own.

    Args:
        asked: whom the job names.
        allowed: `allowed_users`. None: the agent's own user; if that is root, every other
            user too, but not another account with root's number. Empty: jobs name nobody.
            Otherwise the agent's own user, too, must be in it for a job that names nobody.
        preset: the entry's `user`.
        is_local: whether the entry is the node's own. One of the server gives nobody the
            rights of root or the agent where `allowed` has others only.

    Raises:
        UserRefused: there is no such user, or it is not allowed.
    """
    name = preset if asked is None else asked
    if allowed is not None and asked is not None and asked != preset and asked not in allowed:
        # Looking up what a caller makes up could ask a directory service, and tells him.
        _require_plain(asked)
        line = allowing.user_line(allowed, asked, may_widen=is_local or not allowed)
        raise UserRefused(f"user {asked} is not allowed: {line}")
    user = _own() if name is None else _find(name)
    if user.is_other and os.geteuid() != 0:
        own = _own().name
        raise UserRefused(
            f"user {user.name} is not allowed: the agent runs as {own}, "
            "and only root can run commands as others"
        )
    if preset is not None and preset == name:
        if not is_local and allowed and user.name not in allowed and _is_privileged(user):
            raise UserRefused(
                f"user {user.name} is not allowed: allowed_users in agent.toml has others only, "
                "and an entry of the server cannot change that"
            )
    elif not _is_allowed(user, asked, allowed):
        line = allowing.user_line(
            allowed or (), user.name, may_widen=is_local or not _is_privileged(user)
        )
        raise UserRefused(f"user {user.name} is not allowed: {line}")
    return user


def _own() -> User:
    try:
        return _user(pwd.getpwuid(os.geteuid()))
    except KeyError:
        # Containers may run us under a number that has no name.
        return User(str(os.geteuid()), os.geteuid(), os.getegid(), (), "/", "/bin/sh")


def _find(name: str) -> User:
    try:
        return _user(pwd.getpwnam(name))
    except (KeyError, ValueError):
        raise UserRefused(_unknown(name)) from None


def _require_plain(name: str) -> None:
    if len(name) > _LONGEST or not name.isascii() or not name.isprintable() or not name:
        raise UserRefused(_unknown(name))


def _unknown(name: str) -> str:
    return f"unknown user {name[:_LONGEST]!r}"


def _is_privileged(user: User) -> bool:
    return user.uid in (0, os.geteuid())


def _is_allowed(user: User, asked: str | None, allowed: Collection[str] | None) -> bool:
    if allowed is not None:
        return user.name in allowed or (asked is None and not allowed)
    # Not by number: another account with root's is neither the agent's own nor unprivileged.
    return user.name == _own().name or user.is_other


def _user(entry: pwd.struct_passwd) -> User:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    shell = entry.pw_shell or "/bin/sh"
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir, shell)
