"""What operators hold back: all jobs of an organization, or single nodes."""

import msgspec

from pushcli_server.core.identity import Requestor


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """No job of an organization starts.

    Args:
        reason: one line, for whoever wants to start one.
        at: its date, in seconds since the epoch.
    """

    reason: str
    by: Requestor
    at: float


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A node takes no part in jobs.

    Args:
        reason: one line, for whoever wants it to.
        at: its date, in seconds since the epoch.
        until: a time as `handle` is given them.
    """

    reason: str
    by: Requestor
    at: float
    until: float

    @property
    def why(self) -> str:
        """One line for the operator, in place of the agent's reason for a nack."""
        return f"paused by {self.by.name}: {self.reason}"
