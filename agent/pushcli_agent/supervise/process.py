"""From the supervisor to the command: what lies between fork and exec."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

CANNOT_RUN = 126
"""The exit code when the command could not be started, as shells have it."""
NOT_FOUND = 127
"""The exit code when there is no such program."""


class NotFound(Exception):
    """There is no such program."""


def start(spec: "dict[str, object]", outputs: "list[int]") -> int:
    """Fork the process that becomes the command; returns its number."""
    # A signal must not find our handlers in the child.
    every = _signal.valid_signals()
    _signal.pthread_sigmask(_signal.SIG_BLOCK, every)
    pid = os.fork()
    if pid == 0:
        code = CANNOT_RUN
        try:
            become(spec, outputs)
        except NotFound as error:
            code = NOT_FOUND
            os.write(2, b"pushcli: %s: not found\n" % error.args)
        except BaseException as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            os.write(2, f"pushcli: cannot run the command: {reason}\n".encode())
        finally:
            os._exit(code)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, every)
    return pid


def become(spec: "dict[str, object]", outputs: "list[int]") -> None:
    """Turn into the command: its session, descriptors, signals, user, directory, then itself.

    Every descriptor above 2 is closed by the exec.
    """
    os.setsid()
    stdout, stderr = outputs or (1, 1)
    # The supervisor's own standard output is the null device.
    os.dup2(1, 0)
    feed(spec.get("stdin"))
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    restore_signals()
    os.umask(int(str(spec["umask"])))
    owner = spec["owner"]
    if isinstance(owner, tuple):
        uid, gid, groups = owner
        for output in outputs:
            # It is ours: without this its user could not open /dev/stderr.
            os.fchown(output, uid, gid)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    enter(spec["cwd"], spec.get("judged"))  # type: ignore[arg-type]
    execute(spec["command"], spec["env"])  # type: ignore[arg-type]


def feed(stdin: object) -> None:
    """Have it read this; anything but bytes (0.1.0 sends none): nothing.

    It lies in memory that goes with the last process that has it open.
    """
    if not isinstance(stdin, bytes):
        return
    descriptor = os.memfd_create("stdin")
    written = 0
    while written < len(stdin):
        written += os.write(descriptor, stdin[written:])
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)


def enter(directory: bytes, judged: "int | None") -> None:
    """Change to the command's directory, as its user, who must be able to get there.

    Args:
        judged: a descriptor of the very directory that the agent allowed. None (which is what
            0.1.0 sends) or -1: whichever the path leads to.

    Raises:
        RuntimeError: it cannot be entered, or the path leads to another one by now.
    """
    try:
        os.chdir(directory)
        here = os.stat(".")  # noqa: PTH116
    except OSError as error:
        raise RuntimeError(f"cannot change to its directory: {error.strerror}") from error
    if judged is not None and judged >= 0 and not os.path.samestat(here, os.fstat(judged)):
        raise RuntimeError("its directory was replaced after this node agreed to run it")


def execute(command: "bytes | tuple[bytes, ...]", env: "dict[bytes, bytes]") -> None:
    """Become a shell with this command, or a program with its arguments.

    Raises:
        NotFound: no such program.
        OSError: it cannot be run.
    """
    if isinstance(command, bytes):
        os.execve("/bin/sh", [b"/bin/sh", b"-c", command], env)  # noqa: S606
    program = command[0]
    places = [b""]
    if b"/" not in program:
        # As shells do it, in the job's own PATH: an empty place is the working directory.
        search = env.get(b"PATH", b"/usr/bin:/bin").split(b":")
        places = [(place or b".") + b"/" for place in search]
    denied: OSError | None = None
    for place in places:
        try:
            os.execve(place + program, command, env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            denied = error
    if denied is None:
        raise NotFound(program)
    raise denied


def restore_signals() -> None:
    """Give the command all signals as a process finds them that nobody has prepared."""
    _signal.set_wakeup_fd(-1)
    for number in _signal.valid_signals():
        if number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
