"""What the supervisor hears by, and what it keeps from its command."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal


def catch_signals() -> int:
    """Have SIGTERM and SIGCHLD arrive as bytes in a pipe, whose reading end is returned."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT):
        _signal.signal(number, _signal.SIG_IGN)
    for number in (_signal.SIGTERM, _signal.SIGCHLD):
        _signal.signal(number, lambda _number, _frame: None)
    return reader


def close_others(keep: "tuple[int, ...]") -> None:
    """Close what the agent may have left open, and keep what stays from the command."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                continue  # The one that listed them.
    for descriptor in keep:
        os.set_inheritable(descriptor, descriptor <= 2)
