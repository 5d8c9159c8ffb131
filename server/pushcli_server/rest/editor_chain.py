"""`pushy/editors`, `pushy/whitelist_editors`: whose signatures count (docs/editors.md)."""

import asyncio
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import headers, limits
from pushcli.whitelist import chain, statements
from pushcli.whitelist.chain import ADD, CHECKPOINT, REMOVE, Link, Statement, Unreadable
from pushcli.whitelist.statements import EditorStatement
from pushcli_server.core import editor_chain as core
from pushcli_server.rest import versions
from pushcli_server.rest.content import parse as parse_body
from pushcli_server.rest.errors import Refused, answer
from pushcli_server.rest.request import Call
from pushcli_server.settings import Settings
from pushcli_server.store import Store, editor_chain, operations, whitelist_reads
from pushcli_server.store.errors import InvalidStatement, Outdated, WhitelistConflict
from pushcli_server.whitelist_push import WhitelistPush

_ACTIONS = {ADD: "editor add", REMOVE: "editor remove", CHECKPOINT: "editors checkpoint"}


class _Old(msgspec.Struct, forbid_unknown_fields=True):
    statement: EditorStatement


class _Append(msgspec.Struct, forbid_unknown_fields=True):
    statement: dict[str, Any]
    old: EditorStatement | None = None
    kept: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=64)]],
        msgspec.Meta(max_length=limits.MAX_STATEMENTS),
    ] = []


class EditorChainHandlers:
    """Handlers for statements about editors."""

    def __init__(self, store: Store, sending: WhitelistPush, settings: Settings) -> None:
        self._store = store
        self._sending = sending
        self._settings = settings

    async def show(self, call: Call) -> Response:
        """`GET pushy/editors`: what there is, and what the next statement has to name."""
        stored = await self._store.lists.ask(editor_chain.stored, call.org)
        old = await self._store.lists.ask(editor_chain.old, call.org)
        latest = versions.latest(call)
        known = [said["version"] for said in old if said["version"] <= latest]
        return answer(
            200,
            {
                "base": stored.base,
                "links": stored.links,
                "end": await asyncio.to_thread(core.end, stored),
                "version": max(known, default=0),
                "now": call.at,
            },
        )

    async def append(self, call: Call) -> Response:
        """`POST pushy/editors`: the next link of the chain."""
        asked = parse_body(call, _Append, "request")
        link, statement = _link(asked.statement)
        versions.check_now(call, link.version)
        await _require_own(call, statement)
        writes: list[operations.Operation] = [
            operations.AppendStatement(org=call.org, statement=asked.statement, kept=asked.kept)
        ]
        if asked.old is not None:
            writes.append(await self._beside(call, asked.old, statement))
        detail = {"key": link.subject} if link.subject else {"kept": len(asked.kept)}
        audit = call.audit(_ACTIONS[link.action], link.editor or call.org, detail)
        try:
            await call.write(*writes, audit)
        except InvalidStatement as error:
            raise Refused(400, [str(error)]) from None
        except Outdated as error:
            raise Refused(409, [str(error)], {headers.VERSION: str(error.version)}) from None
        except WhitelistConflict as error:
            raise Refused(409, [str(error)]) from None
        self._sending.editors_changed(call.org)
        return answer(200, {"digest": statement.digest})

    async def entries(self, call: Call) -> Response:
        """`GET pushy/editors/entries?key=FINGERPRINT`: what was signed with a key."""
        key = call.http.query_params.get("key", "")
        if not key.startswith("SHA256:") or len(key) > limits.MAX_FINGERPRINT:
            raise Refused(400, ["give the fingerprint of a key"])
        found = await self._store.lists.ask(
            whitelist_reads.entries_signed_with, call.org, key, self._settings.identity
        )
        entries = [{"node": one.node, "name": one.name, "value": one.value} for one in found]
        return answer(200, {"entries": entries})

    async def show_old(self, call: Call) -> Response:
        """`GET pushy/whitelist_editors`: the old form, for agents and clients without chains."""
        return answer(200, {"statements": await self._store.lists.ask(editor_chain.old, call.org)})

    async def add_old(self, call: Call) -> Response:
        """`POST pushy/whitelist_editors`: the old form alone, as long as there is no chain."""
        statement = parse_body(call, _Old, "request").statement
        versions.check_now(call, statement.version)
        save = await self._save_old(call, statement, chained=False)
        action = _ACTIONS[REMOVE if statement.removed else ADD]
        try:
            await call.write(save, call.audit(action, statement.editor, {"key": save.key}))
        except Outdated as error:
            raise Refused(409, [str(error)], {headers.VERSION: str(error.version)}) from None
        except WhitelistConflict as error:
            raise Refused(409, [str(error)]) from None
        self._sending.editors_changed(call.org)
        return answer(200, {"statement": statement})

    async def _beside(
        self, call: Call, old: EditorStatement, statement: Statement
    ) -> operations.SaveEditor:
        """The same in the old form, for agents that know no other."""
        save = await self._save_old(call, old, chained=True)
        said = (REMOVE if old.removed else ADD, save.key, old.version)
        if said != (statement.action, statement.subject, statement.content.version):
            raise Refused(400, ["the two forms of the statement do not say the same"])
        return save

    async def _save_old(
        self, call: Call, statement: EditorStatement, *, chained: bool
    ) -> operations.SaveEditor:
        try:
            read = Statement(msgspec.to_builtins(statement))
        except Unreadable:
            raise Refused(400, ["the statement holds no key"]) from None
        await _require_own(call, read)
        return operations.SaveEditor(
            org=call.org,
            key=read.subject,
            version=statement.version,
            statement=msgspec.json.encode(statement).decode(),
            latest=versions.latest(call),
            chained=chained,
        )


def _link(raw: dict[str, Any]) -> tuple[Link, Statement]:
    try:
        statement = Statement(raw)
    except Unreadable as error:
        raise Refused(400, [str(error)]) from None
    link = statement.content
    if not isinstance(link, Link) or link.action not in _ACTIONS:
        raise Refused(400, ["not a link of the chain that this server knows"])
    if (link.action != CHECKPOINT) != bool(link.subject and link.editor):
        raise Refused(400, ["the statement does not say whose key it is about"])
    if link.action == ADD:
        try:
            chain.added_key(statement)
        except ValueError as error:
            raise Refused(400, [f"the statement is of no use: {error}"]) from None
    return link, statement


async def _require_own(call: Call, statement: Statement) -> None:
    """It must be the requestor's, signed with the key of the request."""
    content = statement.content
    if (content.org, content.signer) != (call.org, call.principal.name):
        raise Refused(400, ["the statement is of another organization or signer"])
    key = statements.public_numbers(call.key)
    # Not on the loop: large keys take their time.
    if not await asyncio.to_thread(statement.is_signed_by, key):
        raise Refused(400, ["the statement is not signed with the key of this request"])
