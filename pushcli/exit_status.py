"""What `pushcli` exits with: one enum, and the one place that maps errors to it."""

from enum import IntEnum

from pushcli import errors


class ExitStatus(IntEnum):
    """Exit statuses of every pushcli command; scripts may rely on them."""

    OK = 0
    """The command did its work; a job is complete and no node failed (as knife has it)."""
    NODE_FAILED = 1
    """A node of the job failed or crashed."""
    USAGE = 2
    QUORUM_FAILED = 3
    TIMED_OUT = 4
    ABORTED = 5
    NOT_ALLOWED = 6
    """Not authenticated, or not allowed."""
    UNREACHABLE = 7
    """The server does not answer."""
    NOT_FOUND = 8
    """What was named does not exist, or nothing matched."""
    CONFIG = 9
    """A configuration or key file."""
    ERROR = 10
    """Anything else: the server failed, a port is taken, a database is damaged."""
    NOT_IN_FORCE = 11
    """A whitelist was changed, but a connected node does not go by it (yet)."""
    WOULD_NOT_RUN = 12
    """A node would not run what it was asked about."""
    DIFFERENT = 13
    """What was compared is not the same."""
    OUTPUT_LOST = 14
    """Standard output cannot be written; what was asked for may be done all the same."""
    FROZEN = 15
    """No job starts: an administrator froze them."""
    NOT_OFFERED = 16
    """Only a pushcli server can do it, and the server is none."""
    INTERRUPTED = 130


_BY_ERROR: dict[type[errors.PushcliError], ExitStatus] = {
    errors.UsageError: ExitStatus.USAGE,
    errors.ConfigError: ExitStatus.CONFIG,
    errors.AuthenticationError: ExitStatus.NOT_ALLOWED,
    errors.PermissionDenied: ExitStatus.NOT_ALLOWED,
    errors.ServerUnreachable: ExitStatus.UNREACHABLE,
    errors.RequestRefused: ExitStatus.USAGE,
    errors.NotFound: ExitStatus.NOT_FOUND,
    errors.NotOffered: ExitStatus.NOT_OFFERED,
    errors.Frozen: ExitStatus.FROZEN,
    errors.OutputLost: ExitStatus.OUTPUT_LOST,
}


def status_of(error: errors.PushcliError) -> ExitStatus:
    """The exit status for an error: that of its nearest listed base, else `ERROR`."""
    return next((_BY_ERROR[t] for t in type(error).__mro__ if t in _BY_ERROR), ExitStatus.ERROR)
