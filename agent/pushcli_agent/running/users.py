"""As whom a job's command runs."""

import os
import pwd
from collections.abc import Collection

import msgspec


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


def choose(name: str | None, allowed: Collection[str] | None) -> User:
    """The user whom a job names, or the agent's own.

    Args:
        allowed: `allowed_users`. Without it, the agent's own user; if that is root, every
            other user too, but not another account with root's number. A job that names
            nobody is a job for the agent's own user, who must be allowed like others.

    Raises:
        UserRefused: there is no such user, or it is not allowed.
    """
    user = _own() if name is None else _find(name)
    if not _is_allowed(user, allowed):
        raise UserRefused(f"user {user.name} is not allowed")
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
        raise UserRefused(f"unknown user {name[:64]!r}") from None


def _is_allowed(user: User, allowed: Collection[str] | None) -> bool:
    if user.is_other and os.geteuid() != 0:
        # Only root can become somebody else.
        return False
    if allowed is not None:
        return user.name in allowed
    # Not by number: another account with root's is neither the agent's own nor unprivileged.
    return user.name == _own().name or user.is_other


def _user(entry: pwd.struct_passwd) -> User:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    shell = entry.pw_shell or "/bin/sh"
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir, shell)
