"""The application: which path means what, and the order in which requests are refused.

Path, method, headers, size, organization, principal, signature, association, group,
`Accept`; then the handler: existence, Content-Type, content.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pushcli_server.hub import Hub
from pushcli_server.rest.accept import accepts
from pushcli_server.rest.auth import Access, Authenticator
from pushcli_server.rest.chef_nodes import ChefNodes
from pushcli_server.rest.clients import Clients
from pushcli_server.rest.errors import EXTENSIONS, Refused, answer, answer_for, not_found
from pushcli_server.rest.feeds import MEDIA_TYPE as EVENTS
from pushcli_server.rest.feeds import Feeds
from pushcli_server.rest.jobs import Jobs
from pushcli_server.rest.nodes import Nodes
from pushcli_server.rest.request import Call, read_body, signed_path
from pushcli_server.rest.search import Search
from pushcli_server.rest.unread import Incoming, closes_if_unread, outlasting
from pushcli_server.rest.whitelists import Whitelists
from pushcli_server.settings import Settings
from pushcli_server.store import Store

JSON = "application/json"
RAW = "application/octet-stream"
Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a path does, who may, and what it answers with."""

    handler: Handler
    access: Access
    produces: str = JSON


@dataclass(frozen=True, slots=True)
class Route:
    """A path, and its methods; without an `org` in it, outside of the organizations."""

    pattern: re.Pattern[str]
    methods: dict[str, Operation]


def routes(hub: Hub, settings: Settings, store: Store) -> list[Route]:
    """The whole API below `/organizations/ORG`."""
    jobs, nodes, feeds = Jobs(hub, settings), Nodes(hub), Feeds(hub)
    whitelists = Whitelists(hub, store)
    objects, search = ChefNodes(store, settings, hub), Search(store, settings)
    clients = Clients(store, settings, hub.engine.clock)
    read, write, admin = Access.READ, Access.WRITE, Access.ADMIN
    member = Access.MEMBER
    config = {"GET": Operation(nodes.config, Access.CONFIG)}
    return [
        _route("pushy/(?:config|connect)/(?P<node>[^/]+)", config),
        _route(
            "pushy/jobs",
            {"GET": Operation(jobs.index, read), "POST": Operation(jobs.start, write)},
        ),
        _route("pushy/jobs/(?P<job>[^/]+)", {"GET": Operation(jobs.show, read)}),
        _route("pushy/jobs/(?P<job>[^/]+)/nodes", {"GET": Operation(jobs.nodes, read)}),
        _route("pushy/jobs/(?P<job>[^/]+)/abort", {"POST": Operation(jobs.abort, write)}),
        _route(
            "pushy/jobs/(?P<job>[^/]+)/output/(?P<node>[^/]+)/(?P<channel>stdout|stderr)",
            {"GET": Operation(jobs.output, read, RAW)},
        ),
        _route(
            "pushy/(?:job_status_feed|jobs_status_feed)",
            {"GET": Operation(feeds.organization, read, EVENTS)},
        ),
        _route(
            "pushy/(?:job_status_feed|jobs_status_feed)/(?P<job>[^/]+)",
            {"GET": Operation(feeds.job, read, EVENTS)},
        ),
        _route("pushy/node_states", {"GET": Operation(nodes.index, read)}),
        _route("pushy/node_states/(?P<node>[^/]+)", {"GET": Operation(nodes.show, read)}),
        _route(
            "nodes",
            {
                "GET": Operation(objects.index, member),
                "POST": Operation(objects.create, member),
            },
        ),
        _route(
            "nodes/(?P<client>[^/]+)",
            {
                "GET": Operation(objects.show, member),
                "HEAD": Operation(objects.show, member),
                "PUT": Operation(objects.update, Access.OWN_CLIENT),
                "DELETE": Operation(objects.delete, admin),
            },
        ),
        _route("search", {"GET": Operation(search.index, member)}),
        _route(
            "search/node",
            {"GET": Operation(search.nodes, member), "POST": Operation(search.parts, member)},
        ),
        _route("pushy/node_status", {"GET": Operation(nodes.status, read)}),
        _route("pushy/node_status/(?P<node>[^/]+)", {"GET": Operation(nodes.status_of, read)}),
        _route("pushy/checks", {"POST": Operation(whitelists.check, read)}),
        _route(
            "pushy/whitelist",
            {
                "GET": Operation(whitelists.index, read),
                "POST": Operation(whitelists.edit, admin),
            },
        ),
        _route("pushy/whitelist/(?P<node>[^/]+)", {"GET": Operation(whitelists.show, read)}),
        _route(
            "pushy/whitelist_editors",
            {
                "GET": Operation(whitelists.editors, read),
                "POST": Operation(whitelists.say_editor, admin),
            },
        ),
        _route("clients", {"POST": Operation(clients.create, Access.CLIENTS)}),
    ]


def _route(pattern: str, methods: dict[str, Operation]) -> Route:
    return Route(re.compile(f"/organizations/(?P<org>[^/]+)/{pattern}"), methods)


class Application:
    """The ASGI application.

    Args:
        authenticator: whose clock decides what is too old.
    """

    def __init__(
        self, hub: Hub, settings: Settings, store: Store, authenticator: Authenticator
    ) -> None:
        self._hub = hub
        self._routes = routes(hub, settings, store)
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        incoming = Incoming(receive, Headers(scope=scope))
        request = Request(scope, incoming)
        try:
            response = await self._respond(request)
        except Exception as error:
            response = answer_for(error)
        response.headers.update(EXTENSIONS)
        closes_if_unread(response.headers, incoming)
        await response(scope, incoming, outlasting(send, incoming))

    async def _respond(self, request: Request) -> Response:
        raw = signed_path(request)
        if raw == "/pushy/_status":
            _allow(request, ("GET",))
            return answer(200, self._hub.status())
        route, path = self._match(raw)
        _allow(request, tuple(route.methods))
        return await self._authorized(request, route.methods[request.method], path)

    def _match(self, raw: str) -> tuple[Route, dict[str, str]]:
        for route in self._routes:
            if (match := route.pattern.fullmatch(raw)) is not None:
                return route, {k: _unquoted(v) for k, v in match.groupdict().items()}
        raise not_found()

    async def _authorized(
        self, request: Request, operation: Operation, path: dict[str, str]
    ) -> Response:
        signed = self._authenticator.headers(request)
        body = await read_body(request)
        org = path.get("org", "")
        principal, key = await self._authenticator.principal(org, signed, request, body)
        await self._authenticator.authorize(org, principal, operation.access, path)
        if not accepts(request.headers.get("accept"), operation.produces):
            raise Refused(406, [f"only {operation.produces} can be had here"])
        call = Call(
            http=request,
            body=body,
            org=org,
            path=path,
            at=self._hub.engine.clock.now(),
            principal=principal,
            key=key,
            signed_at=signed.signed_at,
        )
        return await operation.handler(call)


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
