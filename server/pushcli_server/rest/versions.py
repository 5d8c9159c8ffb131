"""Versions of what operators sign are dates: one in the future would keep out all that come."""

from pushcli.protocol import limits
from pushcli_server.rest.errors import Refused
from pushcli_server.rest.request import Call

_MAX_AGE = 900
"""Seconds: a request's signature is no older either."""


def latest(call: Call) -> int:
    """The version up to which what is stored counts."""
    return int((call.at + limits.MAX_AHEAD) * 1_000_000)


def check(call: Call, version: int) -> None:
    """It must not be ahead of the clock.

    Raises:
        Refused: it is.
    """
    if version > latest(call):
        ahead = (version - int(call.at * 1_000_000)) // 1_000_000
        raise Refused(
            400,
            [f"the version is {ahead} s ahead of the server's clock: set the clock where it was "
             "signed"],
        )  # fmt: skip


def check_now(call: Call, version: int) -> None:
    """It must be about now: a statement that is dated back would be believed by new nodes.

    Raises:
        Refused: it is not.
    """
    check(call, version)
    if version < int((call.at - _MAX_AGE) * 1_000_000):
        raise Refused(400, ["the version is of the past: set the clock where it was signed"])
