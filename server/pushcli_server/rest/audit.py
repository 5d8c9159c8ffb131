"""`audit`: who changed what, from where."""

import math
from typing import Any

from starlette.responses import Response

from pushcli.protocol import limits
from pushcli_server.rest.errors import Refused
from pushcli_server.rest.pieces import array
from pushcli_server.rest.request import Call
from pushcli_server.rest.turns import Shares
from pushcli_server.store import Store, reads, stored_json
from pushcli_server.store.records import AuditRecord
from pushcli_server.store.store import READERS

DEFAULT_LIMIT = 1000
_KEYS = frozenset({"since", "user", "kind", "target", "limit"})
_KINDS = frozenset({"user", "client", "node", "server"})


class AuditHandlers:
    """The handler for the audit trail."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = Shares(READERS, 1, "searches of the audit trail")

    async def index(self, call: Call) -> Response:
        """`GET audit`: the newest that fit, the newest last; outside, what is nobody's."""
        query = call.http.query_params
        if unknown := sorted(set(query) - _KEYS):
            raise Refused(400, [f"unknown in the query: {', '.join(unknown)}"[:200]])
        if "\0" in "".join(query.values()):
            raise Refused(400, ["a NUL in the query"])
        kind = query.get("kind")
        if kind is not None and kind not in _KINDS:
            raise Refused(400, [f"kind must be one of {', '.join(sorted(_KINDS))}"])
        limit = _limit(query.get("limit"))
        who = (call.org, call.principal.kind, call.principal.name)
        async with self._turns.share(who):
            found = await self._store.searches.ask(
                reads.audit,
                call.org,
                since=_since(query.get("since")),
                actor=query.get("user"),
                kind=kind,
                target=query.get("target"),
                limit=limit + 1,
            )
        truncated = b"true" if len(found) > limit else b"false"
        views = (_view(record) for record in found[-limit:])
        return await array(views, b'{"records":[', b'],"truncated":%b}' % truncated)


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        since = float(text)
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        raise Refused(400, ["since must be a number of seconds since the epoch"])
    return since


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 1 <= limit <= limits.MAX_RECORDS:
        raise Refused(400, [f"limit must be 1 to {limits.MAX_RECORDS}"])
    return limit


def _view(record: AuditRecord) -> dict[str, Any]:
    # Earlier versions recorded no kind.
    kind = {} if record.actor_kind is None else {"actor_kind": record.actor_kind}
    return {
        "at": record.at,
        **kind,
        "actor": record.actor,
        "action": record.action,
        "target": record.target,
        "origin": record.origin,
        "detail": None if record.detail is None else stored_json.raw(record.detail),
    }
