"""The running command: its limits, its output, its end."""

import os
import select
import time

from pushcli_agent.supervise.captured_output import CHUNK, CapturedOutput
from pushcli_agent.supervise.process import start
from pushcli_agent.supervise.tree import children, descendants, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

TERM_GRACE = 5.0
"""Seconds between TERM and KILL."""
KILL_PATIENCE = 5.0
"""Seconds after which processes that cannot be killed are left alone."""
HUNT = 0.02
"""Seconds for which children are killed as they come, between looks at the whole tree."""
DRAIN = 0.1
"""Seconds for output that comes when the command has ended already."""
LONGEST_POLL = 60.0


class Command:
    """The running command and all its descendants.

    Args:
        agent: a pipe whose end, which is that of the agent, aborts the command; -1: it goes on.
    """

    def __init__(
        self,
        spec: "dict[str, object]",
        channels: "list[CapturedOutput]",
        signals: int,
        agent: int = -1,
    ) -> None:
        self._signals, self._agent = signals, agent
        self._channels = {channel.reader: channel for channel in channels}
        self._poll = select.poll()
        for descriptor in (signals, agent, *self._channels):
            if descriptor >= 0:
                self._poll.register(descriptor, select.POLLIN)
        self._children = True
        self.status: int | None = None
        self.timed_out = self.aborted = False
        self.started_at = time.time()
        timeout = spec["run_timeout"]
        # None is what 0.1.0 sends, which may run still when its files have been replaced.
        limit = timeout if isinstance(timeout, int | float) else float("inf")
        self._due = time.monotonic() + limit
        self._pid = start(spec, [channel.writer for channel in channels])
        self.ended_at = self.started_at
        for channel in channels:
            os.close(channel.writer)

    def supervise(self) -> None:
        """Until the command ended, or, after an abort or its timeout, all its tree did.

        What it leaves running in the background does not count: such processes may keep
        its output open for years.
        """
        while self.status is None:
            if time.monotonic() >= self._due:
                self.timed_out = True
                break
            if _signal.SIGTERM in self._step(self._due):
                self.aborted = True
                break
        if self.timed_out or self.aborted:
            self._stop()
        self._drain()

    @property
    def open_outputs(self) -> "list[int]":
        """Reading ends of outputs that what the command left in the background holds open."""
        return list(self._channels)

    def _step(self, until: float) -> bytes:
        """Wait for something, and take it in; returns the numbers of the signals that came.

        The end of the agent, where the command is to end with it, counts as SIGTERM.
        """
        wait = min(until - time.monotonic(), LONGEST_POLL)
        came = b""
        for descriptor, _ in self._poll.poll(max(wait, 0) * 1000):
            if descriptor == self._signals:
                came += os.read(self._signals, 512)
            elif descriptor == self._agent:
                self._poll.unregister(descriptor)
                came += bytes([_signal.SIGTERM])
            elif self._channels[descriptor].collect() is None:
                self._poll.unregister(descriptor)
                del self._channels[descriptor]
        if _signal.SIGCHLD in came:
            self._reap()
        return came

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._children = False
                return
            if pid == 0:
                return
            # Once reaped, its number may come back as a descendant's.
            if pid == self._pid and self.status is None:
                self.status, self.ended_at = status, time.time()

    def _stop(self) -> None:
        """TERM to the whole tree, and KILL to what is left of it 5 s later."""
        until = time.monotonic() + TERM_GRACE
        self._signal_tree(_signal.SIGTERM)
        while self._children and time.monotonic() < until:
            self._step(until)
        until = time.monotonic() + KILL_PATIENCE
        while self._children and time.monotonic() < until:
            self._signal_tree(_signal.SIGKILL)
            self._hunt(time.monotonic() + HUNT)
            self._step(time.monotonic() + HUNT)

    def _signal_tree(self, number: int) -> None:
        """Groups get it as one, so that nothing in them escapes by forking."""
        found = list(descendants(os.getpid()))
        groups = {group for _, group in found} | ({self._pid} if self.status is None else set())
        for group in groups - {os.getpgrp()}:
            send(os.killpg, group, number)
        for pid, group in found:
            # In our own group is only what is not yet the command.
            if group == os.getpgrp():
                send(os.kill, pid, number)
            if number == _signal.SIGTERM:
                send(os.kill, pid, _signal.SIGCONT)

    def _hunt(self, until: float) -> None:
        """Kill what forks, changes its session and ends faster than /proc can be walked.

        Each of its generations becomes a child of ours when the one before it ends.
        """
        while self._children and time.monotonic() < until:
            for pid in children():
                send(os.kill, pid, _signal.SIGKILL)
            self._reap()

    def _drain(self) -> None:
        """Take what the command wrote before its end, and what follows within a moment."""
        until = time.monotonic() + DRAIN
        for channel in self._channels.values():
            # A pipe holds no more than 1 MiB; others may go on writing for ever.
            for _ in range(2**20 // CHUNK):
                if not channel.collect():
                    break
        while self._channels and time.monotonic() < until:
            self._step(until)
