"""The application: which path means what, and the order in which requests are refused.

Path, method, headers, size, organization, principal, signature, the body's digest,
association, group, `Accept`; then the handler: existence, Content-Type, content. Until the
signature has been verified nothing of the body is read: its digest is in the headers.
"""

import asyncio
import logging
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pushcli.protocol import verification
from pushcli.protocol.headers import BEHIND
from pushcli.protocol.verification import SignedHeaders
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.replays import Signature, Verdict
from pushcli_server.identities import bear
from pushcli_server.rest import clocks
from pushcli_server.rest.accept import accepts
from pushcli_server.rest.auth import Access, Authenticator
from pushcli_server.rest.errors import (
    BESIDE_CHEF,
    EXTENSIONS,
    NO_SUCH_PATH,
    Refused,
    answer,
    answer_for,
    carried_out,
    not_found,
)
from pushcli_server.rest.forwarded import Overlooked, Proxies
from pushcli_server.rest.http_protocol import BoundedHttp
from pushcli_server.rest.jobs import started
from pushcli_server.rest.monitoring import MonitoringHandlers
from pushcli_server.rest.request import (
    Asked,
    Call,
    body_size,
    read_body,
    refuse_if_too_large,
    signature_of,
    signed_path,
)
from pushcli_server.rest.routes import Handler, Operation, Repeat, Route, Unsigned, routes
from pushcli_server.rest.turns import Shares
from pushcli_server.rest.unread import Incoming, closes_if_unread, outlasting
from pushcli_server.services import Services
from pushcli_server.settings import Settings
from pushcli_server.signed_writes import Attempt
from pushcli_server.store.records import Principal
from pushcli_server.store.store import begin_request

_log = logging.getLogger(__name__)

_TOO_OLD = "this request may have been carried out already: send a new one"
LOOKING, CONFIGURING = 300.0, 86_400.0
"""Seconds for which what is known of somebody counts while it cannot be asked: to look at
something, and for the configuration of a node. To change anything it counts for none."""
BODIES = 67_108_864
BODIES_EACH = 16_777_216
"""Bytes of bodies that are worked on: of all, and of one requestor."""


class Application:
    """The ASGI application.

    Args:
        authenticator: whose clock decides what is too old.
    """

    def __init__(
        self, services: Services, settings: Settings, authenticator: Authenticator
    ) -> None:
        self._services = services
        self._settings = settings
        self._routes = routes(services, settings)
        self._authenticator = authenticator
        self._answers = services.metrics.answers
        self._monitoring = MonitoringHandlers(
            services.metrics.registry, services.store, settings
        ).paths
        self._extensions = BESIDE_CHEF if settings.identity == "chef" else EXTENSIONS
        self._proxies = Proxies(settings.trusted_proxies)
        self._overlooked = Overlooked()
        self._bodies = Shares(BODIES, BODIES_EACH, "large requests")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        incoming = Incoming(receive, Headers(scope=scope))
        request = Request(scope, incoming)
        self._look_for_proxies(request)
        try:
            response = await self._respond(request)
        except Exception as error:
            response = answer_for(error)
        connection = _connection(request)
        if incoming.unread and connection is not None:
            connection.stop_counting()
        if connection is None or not connection.is_refused:
            self.count(response.status_code)
        response.headers.update(self._extensions)
        if (why := self._services.store.behind) is not None:
            response.headers[BEHIND] = why
        closes_if_unread(response.headers, incoming)
        await response(scope, incoming, outlasting(send, incoming))

    def count(self, status: int) -> None:
        """Count an answer, for monitoring; those that are given before a request gets here too."""
        self._answers.labels(status).inc()

    async def _respond(self, request: Request) -> Response:
        raw = signed_path(request)
        if raw == "/pushy/_status":
            _allow(request, ("GET",))
            return answer(200, self._services.status())
        if (monitored := self._monitoring.get(raw)) is not None:
            _allow(request, ("GET",))
            return await monitored(request)
        route, path = self._match(raw)
        if route.is_identities and self._settings.identity == "chef":
            where = self._settings.chef_server_url
            raise not_found(f"not here: users, clients, groups and nodes are on {where}")
        _allow(request, tuple(route.methods))
        operation = route.methods[request.method]
        if isinstance(operation, Unsigned):
            begin_request(old_will_do=False)
            return await self._unsigned(request, operation, path)
        only_looks = operation.only_looks(request.method)
        begin_request(old_will_do=only_looks)
        bear(LOOKING if only_looks else CONFIGURING if operation.access is Access.CONFIG else 0.0)
        return await self._authorized(request, operation, path)

    def _match(self, raw: str) -> tuple[Route, dict[str, str]]:
        for route in self._routes:
            if (match := route.pattern.fullmatch(raw)) is not None:
                return route, {k: _unquoted(v) for k, v in match.groupdict().items()}
        raise not_found(NO_SUCH_PATH)

    async def _unsigned(
        self, request: Request, operation: Unsigned, path: dict[str, str]
    ) -> Response:
        body = await read_body(request, operation.max_body)
        if not accepts(request.headers.get("accept"), operation.produces):
            raise Refused(406, [f"only {operation.produces} is available here"])
        if (connection := _connection(request)) is not None:
            connection.carry_out()
        at = self._services.clock.date()
        origin, scheme = self._came_from(request)
        return await operation.handler(
            Asked(
                http=request, body=body, org=path["org"], path=path, at=at, origin=origin,
                scheme=scheme,
            )
        )  # fmt: skip

    async def _authorized(
        self, request: Request, operation: Operation, path: dict[str, str]
    ) -> Response:
        try:
            signed = self._authenticator.headers(request)
        except verification.ClockSkew as skew:
            if operation.access is Access.CONFIG:
                node = NodeKey(path["org"], path["node"])
                admission = self._services.admission
                await clocks.observe(self._authenticator, admission, request, node, skew)
            raise
        refuse_if_too_large(request)
        org = path.get("org", "")
        signers = await self._authenticator.signers(org, signed, request)
        connection = _connection(request)
        if connection is not None:
            connection.stop_counting()
        async with self._bodies.share((org, signed.user), body_size(request)):
            body = await read_body(request)
            asked_by = self._authenticator.principal(org, signed, signers, body)
            if connection is not None:
                connection.prove()
            return await self._handled(request, operation, path, signed, body, asked_by)

    async def _handled(
        self,
        request: Request,
        operation: Operation,
        path: dict[str, str],
        signed: SignedHeaders,
        body: bytes,
        asked_by: tuple[Principal, RSAPublicKey],
    ) -> Response:
        org = path.get("org", "")
        principal, key = asked_by
        needed = operation.access, path, request.url.path
        await self._authenticator.authorize(org, principal, *needed)
        if not accepts(request.headers.get("accept"), operation.produces):
            raise Refused(406, [f"only {operation.produces} is available here"])
        origin, scheme = self._came_from(request)
        call = Call(
            http=request,
            body=body,
            org=org,
            path=path,
            at=self._services.clock.date(),
            origin=origin,
            scheme=scheme,
            principal=principal,
            key=key,
            allowed=partial(self._authenticator.still_allowed, org, principal, key, *needed),
        )
        repeat = operation.repeated(request.method)
        if repeat is Repeat.HARMLESS or (repeat is Repeat.TOLD and principal.kind == "user"):
            return await operation.handler(call)
        return await self._once(operation.handler, call, signature_of(call, signed), repeat)

    def _came_from(self, request: Request) -> tuple[str, str]:
        """The client's address and the scheme that it used, as far as they can be known."""
        peer, headers = _peer(request), request.headers
        origin = self._proxies.client(peer, headers.getlist("x-forwarded-for"))
        own, said = request.url.scheme, headers.getlist("x-forwarded-proto")
        return origin, self._proxies.scheme(peer, own, said)

    def _look_for_proxies(self, request: Request) -> None:
        """Warn of one that nobody made known."""
        peer = _peer(request)
        if not self._proxies.trusts(peer):
            now = asyncio.get_running_loop().time()
            if (line := self._overlooked.note(peer, request.headers, now)) is not None:
                _log.warning("%s", line)

    async def _once(
        self, handler: Handler, call: Call, signature: Signature, repeat: Repeat
    ) -> Response:
        """Carry a write out, or say that it was."""
        async with self._services.writes.once(signature, call.at) as attempt:
            if isinstance(attempt, Attempt):
                if attempt.beside and repeat is Repeat.REFUSED_AT_ONCE:
                    raise carried_out()
                return await handler(replace(call, attempt=attempt, repeated=attempt.beside))
            job_id = self._services.writes.job(signature)
            if repeat is Repeat.TOLD:
                return await handler(replace(call, repeated=True))
            if repeat is Repeat.FIRST_JOB and job_id is not None:
                return started(call, self._settings, job_id)
            if attempt is Verdict.TOO_OLD:
                raise Refused(409, [_TOO_OLD])
            raise carried_out()


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _connection(request: Request) -> BoundedHttp | None:
    """What is told how the request fares; None: it came some other way."""
    connection = request.scope.get("state", {}).get("connection")
    return connection if isinstance(connection, BoundedHttp) else None


def _allow(request: Request, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise Refused(405, ["method not allowed"], {"Allow": ", ".join(methods)})


def _unquoted(part: str) -> str:
    """A part of a path; what no database can hold names nothing."""
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise not_found() from None
    if "\0" in text:
        raise not_found()
    return text
