"""Puts a service's unit, and the user it runs as, where systemd looks for them."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pushcli.errors import ConfigError, StartError, UsageError
from pushcli.systemd import unit
from pushcli.systemd.unit import Found

_UNITS = Path("/etc/systemd/system")
_USERS = Path("/etc/sysusers.d")
_RUNNING = Path("/run/systemd/system")
"""There while systemd is the first process (sd_booted)."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be installed.

    Args:
        name: of the unit, without `.service`.
        unit: its text.
        user: its own system user; "" where it runs as root.
        users: what makes that user (sysusers.d).
        directory: what must belong to that user, if there is anything.
    """

    name: str
    unit: str
    user: str = ""
    users: str = ""
    directory: Path | None = None


class Step(msgspec.Struct, frozen=True):
    """Something that an installation does.

    Args:
        verb: what it does, as `write` and as `wrote`.
        what: to what.
    """

    verb: tuple[str, str]
    what: str
    do: Callable[[], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """An installation.

    Args:
        file: of the unit.
        found: what is there of it.
        steps: in their order; none where all is as it should be.
        then: commands that are left to the administrator.
    """

    file: Path
    found: Found
    steps: list[Step]
    then: list[str]


def require_root(root: Path | None) -> None:
    """An installation into the running system is root's.

    Raises:
        UsageError: we are not root.
    """
    if root is None and os.geteuid() != 0:
        raise UsageError(
            "only root can install a service", "run it with sudo, or see what it does: --dry-run"
        )


def program() -> list[str]:
    """How this very installation of pushcli is started, from any directory."""
    script = Path(sys.executable).parent / "pushcli"
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-P", "-m", "pushcli"]


def require_roots_own(file: Path) -> None:
    """What a service of root starts is changed by nobody else.

    Raises:
        ConfigError: it, or a directory that it lies in, is another user's or may be written by one.
    """
    for path in (file, *file.parents, *(parent for parent in file.resolve().parents)):
        found = path.stat()
        by_group = found.st_mode & stat.S_IWGRP and found.st_gid != 0
        by_others = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or by_group or by_others:
            raise ConfigError(
                f"{path} can be changed by others than root, whose service would start {file}",
                "install pushcli as root, such as below /opt",
            )


def shipped(package: Path, name: str) -> str:
    """The text of a file that lies in or, in a checkout, beside a package.

    Args:
        package: the directory of the package.
    """
    place = package / "systemd"
    return ((place if place.is_dir() else package.parent / "systemd") / name).read_text("utf-8")


def plan(service: Service, root: Path | None, *, force: bool) -> Plan:
    """What there is to do.

    Args:
        root: where the system is that it is installed into, such as an image; None: it runs.
        force: whether what somebody changed is replaced, and kept beside it.

    Raises:
        ConfigError: it was changed by somebody, or cannot be read.
    """
    file = _within(root, _UNITS / f"{service.name}.service")
    wanted = unit.marked(service.unit, service.name)
    present = _read(file)
    found = unit.compare(present, wanted)
    if found == "changed" and not force:
        raise ConfigError(
            f"{file} was changed here",
            f"keep changes in a drop-in (systemctl edit {service.name}), or replace it: --force",
        )
    steps = [*_user_steps(service, root)]
    if found == "changed":
        kept = _free(file.with_name(f"{file.name}.old"))
        steps.append(
            Step(("keep", "kept"), f"{file.name} as {kept.name}", lambda: _replace(file, kept))
        )
    if found != "same":
        verb = ("write", "wrote") if found == "missing" else ("replace", "replaced")
        steps.append(Step(verb, str(file), lambda: _write(file, wanted)))
        if root is None and _RUNNING.is_dir():
            steps.append(_program_step("systemctl", "daemon-reload"))
    then = [f"systemctl enable --now {service.name}"]
    if found in {"ours", "changed"}:
        then.append(f"systemctl restart {service.name}")
    return Plan(file=file, found=found, steps=steps, then=then)


def carry_out(plan: Plan) -> Iterator[Step]:
    """Do what is planned; each step is given once it is done.

    Raises:
        ConfigError, StartError: a step failed.
    """
    for step in plan.steps:
        try:
            step.do()
        except OSError as error:
            raise ConfigError(
                f"cannot {step.verb[0]} {step.what}: {error.strerror}", "check the path"
            ) from error
        yield step


def _user_steps(service: Service, root: Path | None) -> Iterator[Step]:
    if not service.user:
        return
    file = _within(root, _USERS / f"{service.name}.conf")
    # Users are an administrator's: what is there, whatever it says, stays.
    if _read(file) is None:
        yield Step(("write", "wrote"), str(file), lambda: _write(file, service.users))
    if root is not None:
        # There it is made, and given its directory, when the system starts.
        return
    if not _exists(service.user):
        yield _program_step("systemd-sysusers", str(file))
    directory = service.directory
    if directory is not None and directory.is_dir() and _has_roots(directory):
        yield Step(
            ("give", "gave"), f"{directory} to {service.user}",
            lambda: _give(directory, service.user),
        )  # fmt: skip


def _program_step(*command: str) -> Step:
    return Step(("run", "ran"), " ".join(command), lambda: _run(command))


def _run(command: tuple[str, ...]) -> None:
    path = shutil.which(command[0])
    if path is None:
        raise StartError(f"{command[0]} not found", "this needs systemd")
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise StartError(f"{' '.join(command)} failed: {lines[-1]}", "see `journalctl -xe`")


def _within(root: Path | None, path: Path) -> Path:
    if root is None:
        return path
    file = root.absolute() / path.relative_to("/")
    _require_inside(root, file)
    return file


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", "check the path") from error


def _require_inside(root: Path, file: Path) -> None:
    """A link in an image leads into the system that it is made on."""
    if root.resolve() not in (file.parent.resolve() / file.name).parents:
        raise ConfigError(f"{file} is not below {root}: a link leads out of it", "replace the link")


def _write(file: Path, text: str) -> None:
    """The file as a whole or not at all."""
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, 0o644)
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    new.replace(file)


def _free(file: Path) -> Path:
    """A name like this one that no file has: what was kept before stays."""
    names = (file, *(file.with_name(f"{file.name}.{number}") for number in range(1, 1000)))
    return next((name for name in names if not os.path.lexists(name)), file)


def _replace(file: Path, kept: Path) -> None:
    file.replace(kept)


def _exists(user: str) -> bool:
    """Whether there is such a user."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _has_roots(directory: Path) -> bool:
    """Whether something in it is root's, or it itself: what was put there by hand, too."""
    found = (
        Path(place, name).lstat().st_uid == 0
        for place, directories, files in os.walk(directory)
        for name in (*directories, *files)
    )
    return directory.stat().st_uid == 0 or any(found)


def _give(directory: Path, user: str) -> None:
    """The directory itself last: until all of it is given, the next run begins again."""
    owner = pwd.getpwnam(user)
    for place, directories, files in os.walk(directory, topdown=False):
        for name in (*directories, *files):
            os.chown(Path(place, name), owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    os.chown(directory, owner.pw_uid, owner.pw_gid)
