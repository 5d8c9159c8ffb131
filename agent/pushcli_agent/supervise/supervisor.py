"""One job's supervisor: starts its command, holds it to its limits, spools how it ends.

The agent starts it at the commit, as
`python -I -S supervisor.py DIRECTORY CONTROL LOCK SPEC [KEPT...]`, the last ones being
open descriptors:

- CONTROL, a pipe: one byte means run; its end before that means that the agent is gone, and
  so is the supervisor, without a trace. Later the agent is not needed any more, unless the job
  is to end with it.
- LOCK, a file that is locked for as long as this process lives; it holds its number and state.
- SPEC, what to run, marshalled (see `spool`),
- KEPT, held by being open, kept from the command, gone with this process: the lock of the
  whitelist's entry, and the directory that the command is to begin in.

In DIRECTORY it leaves `stdout` and `stderr` if they are captured, and in the end, written
durably, `result.json`; if processes in the background hold its output open, it leaves one
that reads it (see `drain`). SIGTERM aborts the job. A traceback of its own goes to `errors`.

Fifty supervisors may start at once on one machine, so only modules that are built in or
cost next to nothing are imported: hence `_signal` (`signal` makes enums: 8 ms) and
`_ctypes` (`ctypes` defines dozens of types: 4 ms), no `json` and no `typing`.
"""

import marshal
import os
import select
import sys

# Only the standard library is to be found with -I -S; the parts are imported from their
# compiled form, which the interpreter keeps for imported modules only.
sys.path.append(os.path.abspath(f"{__file__}/../../.."))  # noqa: PTH100

from pushcli_agent.supervise.captured_output import CapturedOutput
from pushcli_agent.supervise.command import Command
from pushcli_agent.supervise.descriptors import catch_signals, close_others
from pushcli_agent.supervise.drain import leave_drain
from pushcli_agent.supervise.result import record, sync_directory
from pushcli_agent.supervise.tree import adopt_orphans

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal


def read_spec(descriptor: int) -> "dict[str, object]":
    """What to run: a file in memory that the agent has filled."""
    size = os.fstat(descriptor).st_size
    spec: dict[str, object] = marshal.loads(os.pread(descriptor, size, 0))  # noqa: S302
    os.close(descriptor)
    return spec


def wait_for_go(control: int, signals: int) -> bool:
    """Wait for the agent's go; False if it is gone, or aborts the job."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(signals, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if signals in ready and _signal.SIGTERM in os.read(signals, 512):
            return False
        if control in ready:
            return os.read(control, 1) != b""


def mark(lock: int, state: bytes) -> None:
    """Record what this process is at, for an agent that comes later."""
    os.pwrite(lock, b"%d %-9s\n" % (os.getpid(), state), 0)


def main(directory: str, control: int, lock: int, spec: int, *kept: int) -> None:
    """The whole life of a supervisor."""
    os.umask(0o077)
    close_others((0, 1, 2, control, lock, spec, *kept))
    signals = catch_signals()
    job = read_spec(spec)
    mark(lock, b"committed")
    adopt_orphans()
    sync_directory(f"{directory}/..")
    if not wait_for_go(control, signals):
        return
    mark(lock, b"running")
    if os.access(f"{directory}/boot", os.F_OK):
        # Whoever restarts the machine may do it in a hurry.
        os.fsync(lock)
    limit = int(str(job["max_output_bytes"]))
    names = ("stdout", "stderr") if job["capture"] else ()
    channels = [CapturedOutput(f"{directory}/{name}", limit) for name in names]
    # 0.1.0, whose agent may have started this, says nothing of it.
    command = Command(job, channels, signals, -1 if job.get("outlives_agent", True) else control)
    command.supervise()
    record(directory, command, channels)
    if command.open_outputs:
        leave_drain(command.open_outputs, (lock, *kept))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
