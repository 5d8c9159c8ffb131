"""What servers that are not ours do not do: a Chef Infra Server, the original Push Jobs server.

Ours name their extensions on every answer; who names none is not ours.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pushcli.errors import NotOffered, RequestRefused

if TYPE_CHECKING:
    from pushcli.client.connection import Response

CHEF = "a Chef Infra Server"
ORIGINAL = "the original Push Jobs server"
MAX_USER = 32
"""Characters of the user that the original's database has room for."""
_UNKNOWN = (404, 405)
_FRONT = ("openresty", "nginx")
"""Before a Chef Infra Server, whoever of the two answered."""
_WEBMACHINE = b"webmachine"
"""In the original's own refusals, also behind that."""
_THEIRS = re.compile(
    r"pushy/(?:jobs|job_status_feed|node_states)(?:/[^/]+)?"
    r"|pushy/jobs/[^/]+/output/[^/]+/(?:stdout|stderr)"
    r"|pushy/(?:config|connect)/[^/]+"
)
_OURS = (
    (re.compile(r"pushy/jobs/[^/]+/abort"), "abort jobs", "abort"),
    (re.compile(r"pushy/freeze"), "freeze jobs", "freeze"),
    (re.compile(r"pushy/(?:pauses|resumes)"), "pause nodes", "pause"),
    (re.compile(r"pushy/checks"), "ask agents what they would run", "checks"),
    (re.compile(r"pushy/(?:whitelist_)?editors(?:/.*)?"), "keep editors of whitelists", ""),
    (re.compile(r"tokens(?:/.*)?"), "make enrolment tokens", ""),
    (re.compile(r"enroll"), "take enrolment tokens", ""),
    (re.compile(r"/?audit|pushy/audit"), "tell who did what", "audit"),
    (re.compile(r"/pushy/servers"), "take in another server", ""),
    (re.compile(r"pushy/.+"), "do that", ""),
)
"""Paths below the organization, or outside with a leading slash, what they are for, and the
extension that an older server of ours does not name, if there is one."""


def not_offered(
    path: str, response: "Response", offered: frozenset[str] | None
) -> NotOffered | None:
    """The error for a path that the server does not have; None: something else is wrong.

    Args:
        response: a refusal.
        offered: extensions of a server of ours; None: it is not ours.
    """
    if response.status not in _UNKNOWN or _THEIRS.fullmatch(path):
        return None
    found = next((row for row in _OURS if row[0].fullmatch(path)), None)
    if found is None:
        return None
    _, what, extension = found
    if offered is not None:
        is_older = extension and extension not in offered
        return NotOffered(f"this server cannot {what}", "upgrade it") if is_older else None
    servers = response.headers.get_all("Server") or []
    front = any(str(server).startswith(_FRONT) for server in servers)
    is_chef = not path.lstrip("/").startswith("pushy/") or (
        front and _WEBMACHINE not in response.content
    )
    return lacking(what, by=CHEF if is_chef else ORIGINAL)


def lacking(what: str, remedy: str = "", *, by: str = ORIGINAL) -> NotOffered:
    """The error for what only ours does.

    Args:
        what: in words: `abort jobs`.
        remedy: what to do instead, if there is anything.
    """
    only = f"only a pushcli server can {what}"
    return NotOffered(f"not offered by {by}", f"{only}; {remedy}" if remedy else only)


def cannot(offered: frozenset[str], what: str, remedy: str) -> NotOffered | RequestRefused:
    """The error for what takes an extension that the server does not name.

    Args:
        offered: those that it names; none: it is not ours.
    """
    if not offered:
        return lacking(what, remedy)
    return RequestRefused(f"this server cannot {what}", f"{remedy}, or upgrade it")


def readable_state(state: Any) -> Any:
    """A node's state; `undefined` is the original's word for one that it resets."""
    if isinstance(state, dict) and state.get("availability") == "undefined":
        return {**state, "availability": "unavailable"}
    return state


def misfit(spec: Mapping[str, Any]) -> RequestRefused | None:
    """The error for what the original answers with 500, perhaps after it began the job.

    Args:
        spec: the body of `POST jobs`.
    """
    timeout, user = spec.get("run_timeout", 0), str(spec.get("user", ""))
    if len(user) > MAX_USER:
        return RequestRefused(
            f"{ORIGINAL} takes user names of at most {MAX_USER} characters, not {len(user)}",
            "give another --as-user",
        )
    if not isinstance(timeout, int):
        return RequestRefused(
            f"{ORIGINAL} takes whole seconds only, not {timeout:g}", "give another --timeout"
        )
    return None
