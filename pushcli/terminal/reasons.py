"""Reasons of servers and agents, shorter for people: moments by their clock, jobs by 8 digits."""

import re
from datetime import UTC, datetime

from pushcli.protocol.names import is_node_name

_SINCE = re.compile(r"(?<=\bsince )\d{4}-\d\d-\d\dT\d\d:\d\dZ")
_JOB = re.compile(r"\b(job [0-9a-f]{8})[0-9a-f]{24}\b")
_NO_EDITOR = re.compile(r"signed by (\S+) with SHA256:\S+, which is not an editor's key")


def in_short(reason: str, now: datetime | None = None) -> str:
    """The reason with moments in the time of this machine, those of today without a date.

    Args:
        now: injected by tests.
    """
    today = (now or datetime.now(UTC)).astimezone().date()

    def local(match: re.Match[str]) -> str:
        try:
            at = datetime.fromisoformat(match.group()).astimezone()
        except (ValueError, OverflowError):
            return match.group()
        return at.strftime("%H:%M" if at.date() == today else "%Y-%m-%d %H:%M")

    return _JOB.sub(r"\1", _SINCE.sub(local, reason))


def since(reason: str) -> tuple[str, str]:
    """A reason without the moment since when it holds, and that moment; "": it names none."""
    match = _SINCE.search(reason)
    if match is None:
        return reason, ""
    return f"{reason[: match.start()]}{{}}{reason[match.end() :]}", match.group()


def remedy(reason: str) -> str | None:
    """The command that mends it, if there is one that does."""
    signer = _stranger(reason)
    return None if signer is None else f"pushcli whitelist editors add {signer}"


def pinning(reason: str) -> str | None:
    """The command that mends it on the node itself, whoever its editors are; None: there is none.

    FILE in it is the signer's public key.
    """
    signer = _stranger(reason)
    return None if signer is None else f"pushcli agent editors add {signer} FILE"


def _stranger(reason: str) -> str | None:
    """Who signed and is no editor there."""
    match = _NO_EDITOR.search(reason)
    return None if match is None or not is_node_name(match[1]) else match[1]
