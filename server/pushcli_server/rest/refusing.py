"""What a refusal for want of a group says: the group, and what one would do there."""

from typing import NamedTuple

from pushcli.protocol import headers
from pushcli_server.rest.errors import Refused
from pushcli_server.rest.rights import ADMINS
from pushcli_server.store.records import Principal

READING = "look at jobs, output and node states"
WRITING = "start and abort jobs or pause nodes"
_ACTIONS = {
    "pushy/freeze": "freeze jobs",
    "pushy/whitelist": "change whitelists",
    "pushy/node_changes": "change whitelists",
    "pushy/whitelist_editors": "change who may edit whitelists",
    "pushy/editors": "change who may edit whitelists",
    "pushy/administrators": "look at who administrates",
    "pushy/audit": "read the audit trail",
    "nodes": "look at and change nodes",
    "search": "search nodes",
    "principals": "look at users and clients",
    "clients": "look at and change clients and their keys",
    "users": "look at and change users",
    "groups": "look at and change groups",
    "tokens": "make tokens for nodes to enroll with",
    "audit": "read the audit trail",
}
"""By the beginning of the path, below an organization."""
_OUTSIDE = {
    "users": "look at and change users of the server",
    "organizations": "look at and change organizations",
    "audit": "read the server's audit trail",
    "pushy/servers": "have another server join",
}


class Needs(NamedTuple):
    """What somebody lacks: a group ("": to be a superuser), and what its members may do."""

    group: str
    action: str


def action(path: str, org: str) -> str:
    """What one does at this path that not everybody may.

    Args:
        path: of the request.
        org: that it is about; "": the server.
    """
    parts = path.strip("/").split("/")
    below = parts[2:] if org else parts
    actions = _ACTIONS if org else _OUTSIDE
    named = actions.get("/".join(below[:2])) or actions.get("/".join(below[:1]))
    return named or "do this"


def forbidden(
    principal: Principal, needs: Needs | None = None, *, is_admin: bool = False
) -> Refused:
    """403, in the old server's words; a header tells our command line more.

    Args:
        is_admin: of the organization, and able to join the group.
    """
    more: dict[str, str] = {}
    if needs is not None:
        more[headers.NEEDS] = f"{needs.group}; {principal.kind}; {needs.action}"
    if is_admin:
        more[headers.ADMIN] = "1"
    return Refused(
        403,
        [f"User or client '{principal.name}' does not have access to that action on this server."],
        more,
    )


def for_admins(principal: Principal, action: str) -> Refused:
    """403 for who is none."""
    return forbidden(principal, Needs(ADMINS, action))
