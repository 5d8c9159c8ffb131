"""Refusals, and the one place where exceptions become answers."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import headers, limits, verification
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses, ChefUnproven
from pushcli_server.core.admissions import KeyOfAnotherNode
from pushcli_server.core.brake import Frozen
from pushcli_server.core.brake_state import Freeze
from pushcli_server.core.fleet_nodes import ClientGone
from pushcli_server.core.fleet_organizations import OrganizationGone
from pushcli_server.store import CannotStore, StoreUnavailable
from pushcli_server.store.errors import (
    DamagedContent,
    Delayed,
    LastAdministrator,
    LastKey,
    Missing,
    OutcomeUnknown,
    ReservedName,
    ResultUnknown,
    TookTooLong,
    TooManyKeys,
    UnknownMembers,
)

_log = logging.getLogger(__name__)

EXTENSIONS = {
    headers.EXTENSIONS: (
        "abort,audit,batches,checks,default-capture,editors,freeze,groups,job-nodes,job-options,"
        "job-pages,node-status,output-digests,output-feed,own-jobs,pause,request-id,secrets,stdin,"
        "troubled-nodes,whitelist"
    )
}
"""On every answer: what the server can do beyond the old one."""
BESIDE_CHEF = {headers.EXTENSIONS: f"{EXTENSIONS[headers.EXTENSIONS]},nodes-on-chef"}
"""The same of one whose nodes are on a Chef Infra Server."""
NO_SUCH_PATH = (
    "not found: roles, environments, data bags, cookbooks and policies are a Chef Infra Server's"
)
"""Of every path that is not in docs/api.md."""
AUTHENTICATE = {"WWW-Authenticate": 'X-Ops-Sign version="1.0" version="1.1" version="1.3"'}


class Refused(Exception):
    """A refusal: status, the value of `error` in its body, headers."""

    def __init__(
        self, status: int, error: str | list[str], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = dict(headers or {})


def unauthenticated(text: str) -> Refused:
    """401, with what would authenticate."""
    return Refused(401, [text], AUTHENTICATE)


def not_found(text: str = "not found") -> Refused:
    """404."""
    return Refused(404, [text])


def carried_out() -> Refused:
    """409: a captured request does nothing a second time."""
    return Refused(409, ["this request was already carried out"])


def too_large(limit: int = limits.MAX_REQUEST) -> Refused:
    """413; its text is not in a list, as in the old server."""
    return Refused(413, f"JSON must be no more than {limit} bytes.")


def answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(
        msgspec.json.encode(value), status, dict(headers or {}), media_type="application/json"
    )


def answer_for(error: Exception) -> Response:
    """What the client gets for an exception."""
    refused = _refused(error)
    return answer(refused.status, {"error": refused.error}, refused.headers)


def _refused(error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case verification.MissingHeaders():
            names = ", ".join(f"'{name}'" for name in error.names)
            return Refused(400, [f"missing required authentication header(s) {names}"])
        case verification.BadHeader():
            return unauthenticated(f"bad header(s) '{error.name}'")
        case verification.ClockSkew():
            return unauthenticated(
                f"Failed to authenticate as {error.user}. Synchronize the clock on your host."
            )
        case verification.UnsupportedVersion():
            return Refused(400, ["Unsupported authentication protocol version"])
        case KeyOfAnotherNode():
            return unauthenticated("Bad ccpk")
        case Missing():
            return not_found(str(error))
        case LastAdministrator() | LastKey():
            return Refused(403, [str(error)])
        case UnknownMembers() | ReservedName():
            return Refused(400, [str(error)])
        case TooManyKeys():
            return Refused(409, [str(error)])
        case Frozen():
            return frozen(error.freeze)
        case OrganizationGone(org):
            return not_found(f"organization '{org}' does not exist.")
        case ClientGone():
            return unauthenticated("the client, or a key of it, was deleted meanwhile")
        case DamagedContent():
            _log.error("stored content is damaged: %s", error)
            return Refused(503, [f"the server's stored content is damaged: {error}"])
        case TookTooLong():
            return Refused(503, [f"the database took more than {error.seconds:g} s; ask for less"])
        case CannotStore():
            return Refused(400, [f"the database cannot hold this: {error}"])
        case OutcomeUnknown():
            return _away(error, "this may have been done: look before you repeat it")
        case ResultUnknown():
            return _away(error, "this was done, only its result cannot be read")
        case Delayed():
            return _away(error, "this is done as soon as it is back")
        case StoreUnavailable():
            return _away(error, "try again")
        case ChefRefuses() | ChefUnproven():
            _log.error("Chef Infra Server: %s", error)
            return Refused(502, [f"the Chef Infra Server cannot be used: {error}"])
        case ChefAway():
            said = f"the Chef Infra Server cannot be asked: {error}; try again"
            return Refused(503, [said], {"Retry-After": "5"})
        case _:
            _log.error("a request failed", exc_info=error)
            return Refused(500, ["the server failed; its log says why"])


def frozen(freeze: Freeze) -> Refused:
    """503: whoever waits may try again, when it is over nobody knows."""
    text = f"no job starts: frozen by {freeze.by.name}: {freeze.reason}"
    return Refused(503, [text], {headers.FROZEN: "1"})


def _away(error: StoreUnavailable, what: str) -> Refused:
    # Only where nothing was done may a client that knows no better ask again by itself.
    later = {"Retry-After": "5"} if type(error) is StoreUnavailable else {}
    return Refused(503, [f"the server's database is away ({error}); {what}"], later)
