"""Everything that can go wrong for a user, as a tree.

Each error is one line: the cause, and after it what to do. Foreign exceptions are
translated where they occur; exit statuses are assigned in one place, `exit_status`.
"""


class PushcliError(Exception):
    """Base of all errors that a user can meet.

    Args:
        message: the cause, one line, no final full stop.
        remedy: what the user can do about it, one line, or empty.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class UsageError(PushcliError):
    """The command line makes no sense."""


class ConfigError(PushcliError):
    """A configuration file or value is missing, unreadable or wrong."""


class KeyFileError(ConfigError):
    """A key file is missing, unreadable, not a key, or readable by others."""


class AuthenticationError(PushcliError):
    """The server does not know who we are (401)."""


class PermissionDenied(PushcliError):
    """The server knows who we are and refuses (403)."""


class ServerUnreachable(PushcliError):
    """No answer from the server: connection, name, TLS or time-out."""


class NotTrusted(ServerUnreachable):
    """Who answers there did not prove to be the server that is meant; nothing was sent."""


class ConnectionLost(ServerUnreachable):
    """The connection broke after the request was sent: it may have been carried out."""


class ServerError(PushcliError):
    """The server answered something that it should not have (5xx, or not its own API)."""


class BadGateway(ServerError):
    """A proxy says that it did not reach the server, or got no answer from it (502, 503, 504)."""


class Busy(ServerError):
    """The server did nothing, and asks to be asked again (503 with `Retry-After`).

    Args:
        after: seconds until then, as it says.
    """

    def __init__(self, message: str, remedy: str, after: float) -> None:
        super().__init__(message, remedy)
        self.after = after


class Frozen(PushcliError):
    """No job starts: an administrator froze them all (503)."""


class RequestRefused(PushcliError):
    """The server refused the request as such (400, 405, 406, 409, 413, 415)."""


class Conflict(RequestRefused):
    """It exists already, or cannot be as things are (409)."""


class UnknownApiVersion(RequestRefused):
    """The server does not speak this version of Chef's server API (406)."""


class Outdated(RequestRefused):
    """Somebody signed something newer meanwhile (409); `version` is the newest that there is."""

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message, "look at it, then try again")
        self.version = version


class NotFound(PushcliError):
    """What was named does not exist, or nothing matched."""


class NotOffered(NotFound):
    """Only a pushcli server can do it, and the server is none."""


class OutputLost(PushcliError):
    """Standard output cannot be written: its disk is full, or it failed."""


class StoreError(PushcliError):
    """The server's database is missing, unreadable, or of another version."""


class StartError(PushcliError):
    """A process of ours cannot start: a port is taken, a directory is missing."""
