"""What the supervisor hears by, and what it keeps from its command."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

_STRAY = (
    _signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGUSR1, _signal.SIGUSR2,
    _signal.SIGPIPE, _signal.SIGALRM, _signal.SIGVTALRM, _signal.SIGPROF, _signal.SIGIO,
    _signal.SIGPWR, _signal.SIGXCPU, _signal.SIGXFSZ, _signal.SIGTSTP, _signal.SIGTTIN,
    _signal.SIGTTOU,
)  # fmt: skip
"""Would end or stop a process that does not know them: `pkill -USR1 -f pushcli`, meant for
the agent, must not cost a job its supervisor."""


def catch_signals() -> int:
    """Have SIGTERM and SIGCHLD arrive as bytes in a pipe, whose reading end is returned."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _STRAY:
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
