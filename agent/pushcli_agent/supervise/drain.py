"""What the command left running in the background may go on writing to its output for years.

Without a reader such a service would die of SIGPIPE at its next line. So the supervisor leaves
one behind, a process that holds nothing but the reading ends, reads and throws away, and ends
when nobody can write any more.
"""

import os
import select

from pushcli_agent.supervise.descriptors import close_others

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

NAME = b"pushcli-drain"
_AT_ONCE = 2**20


def leave_drain(readers: "list[int]", held: "tuple[int, ...]") -> None:
    """Leave a process that reads these until their end; none where it cannot be started.

    Args:
        held: descriptors of locks, which end with the supervisor and are not to be kept.
    """
    for descriptor in held:
        try:
            os.close(descriptor)
        except OSError:
            continue
    try:
        pid = os.fork()
    except OSError:
        return
    if pid == 0:
        try:
            _become_small(readers)
            drain(readers)
        finally:
            os._exit(0)


def drain(readers: "list[int]") -> None:
    """Read and throw away until the end of all of them."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    poll = select.poll()
    for reader in readers:
        poll.register(reader, select.POLLIN)
    left = len(readers)
    while left:
        for reader, _ in poll.poll():
            try:
                if os.splice(reader, nowhere, _AT_ONCE):
                    continue
            except OSError:
                if _read(reader):
                    continue
            poll.unregister(reader)
            left -= 1


def _read(reader: int) -> bool:
    """Where the kernel cannot splice; False at the end."""
    try:
        return bool(os.read(reader, 4096))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _become_small(readers: "list[int]") -> None:
    """Let go of the job: its files, its directory, its session, its signals, its name."""
    os.setsid()
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    close_others((0, 1, 2, *readers))
    _signal.set_wakeup_fd(-1)
    # Nobody waits for it: it ends with the service, not with the agent or a log-out.
    for number in (_signal.SIGTERM, _signal.SIGCHLD):
        _signal.signal(number, _signal.SIG_IGN)
    try:
        descriptor = os.open("/proc/self/comm", os.O_WRONLY)
        os.write(descriptor, NAME)
        os.close(descriptor)
    except OSError:
        return  # Only `ps` would show it.
