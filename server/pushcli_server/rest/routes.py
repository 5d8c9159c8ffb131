"""What there is: each path with its methods, who may, and what it answers with."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

from starlette.responses import Response

from pushcli_server.rest import enroll
from pushcli_server.rest.administrators import AdministratorHandlers
from pushcli_server.rest.audit import AuditHandlers
from pushcli_server.rest.auth import Access
from pushcli_server.rest.brake import BrakeHandlers
from pushcli_server.rest.chef_nodes import ChefNodeHandlers
from pushcli_server.rest.clients import ClientHandlers
from pushcli_server.rest.editor_chain import EditorChainHandlers
from pushcli_server.rest.feeds import MEDIA_TYPE as EVENTS
from pushcli_server.rest.feeds import FeedHandlers
from pushcli_server.rest.groups import GroupHandlers
from pushcli_server.rest.identity_keys import KeyHandlers
from pushcli_server.rest.jobs import JobHandlers
from pushcli_server.rest.members import MemberHandlers
from pushcli_server.rest.nodes import NodeHandlers
from pushcli_server.rest.organizations import OrganizationHandlers
from pushcli_server.rest.output_feed import OutputFeedHandlers
from pushcli_server.rest.principals import PrincipalHandlers
from pushcli_server.rest.request import Asked, Call
from pushcli_server.rest.rights import Rights
from pushcli_server.rest.search import SearchHandlers
from pushcli_server.rest.servers import ServerHandlers
from pushcli_server.rest.tokens import TokenHandlers
from pushcli_server.rest.users import UserHandlers
from pushcli_server.rest.whitelists import WhitelistHandlers
from pushcli_server.services import Services
from pushcli_server.settings import Settings

JSON = "application/json"
RAW = "application/octet-stream"
Handler = Callable[[Call], Awaitable[Response]]
_READ, _WRITE, _MEMBER, _ADMIN = Access.READ, Access.WRITE, Access.MEMBER, Access.ADMIN
_SAFE = frozenset({"GET", "HEAD"})
_SUPERUSER, _OWN_USER, _OWN_CLIENT = Access.SUPERUSER, Access.OWN_USER, Access.OWN_CLIENT


class Repeat(Enum):
    """What a request gets whose signature was carried out before."""

    HARMLESS = auto()
    """The same as the first: nothing is changed."""
    REFUSED = auto()
    """409."""
    REFUSED_AT_ONCE = auto()
    """409, also beside an equal one of this moment: the answer has a secret."""
    FIRST_JOB = auto()
    """What the first got: the job that it started."""
    TOLD = auto()
    """The handler is told; it changes nothing twice."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a path does, who may, and what it answers with.

    Args:
        repeat: what becomes of a captured request that is sent again.
    """

    handler: Handler
    access: Access
    produces: str = JSON
    repeat: Repeat | None = None

    def repeated(self, method: str) -> Repeat:
        """The same, where a method's usual meaning says it."""
        if self.repeat is not None:
            return self.repeat
        return Repeat.HARMLESS if method in _SAFE else Repeat.REFUSED

    def only_looks(self, method: str) -> bool:
        """Whether it may be answered from what is committed while nothing can be written.

        A configuration admits a key, and a feed goes on from what its first look saw.
        """
        is_feed = self.produces == EVENTS
        return method in _SAFE and self.access is not Access.CONFIG and not is_feed


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What anybody may send who reaches the port; at most so many bytes."""

    handler: Callable[[Asked], Awaitable[Response]]
    max_body: int
    produces: str = JSON


@dataclass(frozen=True, slots=True)
class Route:
    """A path, and its methods; without an `org` in it, outside of the organizations."""

    pattern: re.Pattern[str]
    methods: dict[str, Operation | Unsigned]

    @property
    def is_identities(self) -> bool:
        """Whether it is about who and what there is, which a Chef Infra Server may have."""
        return not re.search(r"/(pushy/|audit\Z)", self.pattern.pattern)


def routes(services: Services, settings: Settings) -> list[Route]:
    """The whole API but `/pushy/_status`."""
    rights = Rights(services.identities, services.store)
    return [
        *_jobs(services, settings, rights),
        *_brake(services),
        *_audit(services),
        *_nodes(services, settings, rights),
        *_whitelists(services, settings),
        *_identities(services, settings, rights),
        *_outside(services, settings),
    ]


def _jobs(services: Services, settings: Settings, rights: Rights) -> list[Route]:
    jobs = JobHandlers(services.jobs, rights, settings)
    feeds = FeedHandlers(services.feeds, services.jobs, services.clock)
    return [
        _below(
            "pushy/jobs",
            GET=Operation(jobs.index, _READ),
            POST=Operation(jobs.start, _WRITE, repeat=Repeat.FIRST_JOB),
        ),
        _below("pushy/jobs/(?P<job>[^/]+)", GET=Operation(jobs.show, _READ)),
        _below("pushy/jobs/(?P<job>[^/]+)/nodes", GET=Operation(jobs.nodes, Access.OWN_JOB)),
        _below("pushy/jobs/(?P<job>[^/]+)/abort", POST=Operation(jobs.abort, _WRITE)),
        _below(
            "pushy/jobs/(?P<job>[^/]+)/output/(?P<node>[^/]+)/(?P<channel>stdout|stderr)",
            GET=Operation(jobs.output, Access.OUTPUT, RAW),
        ),
        _below("pushy/own_jobs", GET=Operation(jobs.own, _WRITE)),
        _below("pushy/own_jobs/(?P<job>[^/]+)", GET=Operation(jobs.show_own, Access.OWN_JOB)),
        _below(
            "pushy/own_jobs/(?P<job>[^/]+)/output/(?P<node>[^/]+)/(?P<channel>stdout|stderr)",
            GET=Operation(jobs.output, Access.OWN_OUTPUT, RAW),
        ),
        _below(
            "pushy/own_jobs/(?P<job>[^/]+)/feed",
            GET=Operation(feeds.job, Access.OWN_JOB, EVENTS),
        ),
        _below(
            "pushy/jobs/(?P<job>[^/]+)/output/(?P<digest>[0-9a-f]{64})",
            GET=Operation(jobs.output_of, Access.OWN_OUTPUT, RAW),
        ),
        _below(
            "pushy/jobs/(?P<job>[^/]+)/output_feed",
            GET=Operation(OutputFeedHandlers(services.outputs).job, Access.OWN_OUTPUT, EVENTS),
        ),
        _below(
            "pushy/(?:job_status_feed|jobs_status_feed)",
            GET=Operation(feeds.organization, _READ, EVENTS),
        ),
        _below(
            "pushy/(?:job_status_feed|jobs_status_feed)/(?P<job>[^/]+)",
            GET=Operation(feeds.job, _READ, EVENTS),
        ),
    ]


def _brake(services: Services) -> list[Route]:
    brake = BrakeHandlers(services.brake, services.clock)
    return [
        _below(
            "pushy/freeze",
            GET=Operation(brake.show, _MEMBER),
            PUT=Operation(brake.freeze, _ADMIN),
            DELETE=Operation(brake.unfreeze, _ADMIN),
        ),
        _below("pushy/pauses", POST=Operation(brake.pause, _WRITE)),
        _below("pushy/resumes", POST=Operation(brake.resume, _WRITE)),
    ]


def _audit(services: Services) -> list[Route]:
    """Twice below an organization: a proxy leads to this server what is below `pushy/` alone."""
    audit = AuditHandlers(services.store)
    return [
        _below("pushy/audit", GET=Operation(audit.index, _ADMIN)),
        _below("audit", GET=Operation(audit.index, _ADMIN)),
        _at("audit", GET=Operation(audit.index, _SUPERUSER)),
    ]


def _nodes(services: Services, settings: Settings, rights: Rights) -> list[Route]:
    nodes, store = NodeHandlers(services.nodes, services.admission), services.store
    objects, search = (
        ChefNodeHandlers(store, rights, settings, services.nodes),
        SearchHandlers(store, settings),
    )
    return [
        _below(
            "pushy/(?:config|connect)/(?P<node>[^/]+)",
            GET=Operation(nodes.config, Access.CONFIG, repeat=Repeat.TOLD),
        ),
        _below("pushy/node_states", GET=Operation(nodes.index, _READ)),
        _below("pushy/node_states/(?P<node>[^/]+)", GET=Operation(nodes.show, _READ)),
        _below("pushy/node_status", GET=Operation(nodes.status, _READ)),
        _below("pushy/node_status/(?P<node>[^/]+)", GET=Operation(nodes.status_of, _READ)),
        _below(
            "nodes",
            GET=Operation(objects.index, _MEMBER),
            POST=Operation(objects.create, _MEMBER),
        ),
        _below(
            "nodes/(?P<client>[^/]+)",
            GET=Operation(objects.show, _MEMBER),
            HEAD=Operation(objects.show, _MEMBER),
            PUT=Operation(objects.update, _OWN_CLIENT),
            DELETE=Operation(objects.delete, _ADMIN),
        ),
        _below("search", GET=Operation(search.index, _MEMBER)),
        _below(
            "search/node",
            GET=Operation(search.nodes, _MEMBER),
            POST=Operation(search.parts, _MEMBER, repeat=Repeat.HARMLESS),
        ),
    ]


def _whitelists(services: Services, settings: Settings) -> list[Route]:
    whitelists = WhitelistHandlers(
        services.store,
        services.whitelists,
        services.checks,
        services.nodes,
        services.jobs,
        settings,
    )
    chain = EditorChainHandlers(services.store, services.whitelists, settings)
    return [
        _below("pushy/checks", POST=Operation(whitelists.check, _READ, repeat=Repeat.HARMLESS)),
        _below(
            "pushy/whitelist",
            GET=Operation(whitelists.index, _READ),
            POST=Operation(whitelists.edit, _ADMIN),
        ),
        _below(
            "pushy/node_changes",
            POST=Operation(whitelists.announce, _ADMIN, repeat=Repeat.HARMLESS),
        ),
        _below("pushy/whitelist/(?P<node>[^/]+)", GET=Operation(whitelists.show, _READ)),
        _below(
            "pushy/whitelist_editors",
            GET=Operation(chain.show_old, _READ),
            POST=Operation(chain.add_old, _ADMIN),
        ),
        _below(
            "pushy/editors",
            GET=Operation(chain.show, _READ),
            POST=Operation(chain.append, _ADMIN),
        ),
        _below(
            "pushy/administrators",
            GET=Operation(AdministratorHandlers(services.identities).index, _MEMBER),
        ),
        _below("pushy/editors/entries", GET=Operation(chain.entries, _ADMIN)),
    ]


def _identities(services: Services, settings: Settings, rights: Rights) -> list[Route]:
    store = services.store
    clients, members = (
        ClientHandlers(store, rights, settings, services.admission),
        MemberHandlers(store, settings),
    )
    groups, tokens = GroupHandlers(store, settings), TokenHandlers(store)
    return [
        _below(
            "clients",
            GET=Operation(clients.index, _ADMIN),
            POST=Operation(clients.create, Access.CLIENTS),
        ),
        _below(
            "clients/(?P<client>[^/]+)",
            GET=Operation(clients.show, _OWN_CLIENT),
            PUT=Operation(clients.update, _OWN_CLIENT),
            DELETE=Operation(clients.delete, _ADMIN),
        ),
        *_keys(
            _below,
            "clients/(?P<client>[^/]+)",
            KeyHandlers(store, settings, "client", services.admission),
            _OWN_CLIENT,
        ),
        _below(
            "users",
            GET=Operation(members.index, _ADMIN),
            POST=Operation(members.associate, _ADMIN),
        ),
        _below(
            "users/(?P<user>[^/]+)",
            GET=Operation(members.show, _OWN_USER),
            DELETE=Operation(members.dissociate, _OWN_USER),
        ),
        _below(
            "groups",
            GET=Operation(groups.index, _MEMBER),
            POST=Operation(groups.create, _ADMIN),
        ),
        _below(
            "groups/(?P<group>[^/]+)",
            GET=Operation(groups.show, _MEMBER),
            PUT=Operation(groups.update, _ADMIN),
            DELETE=Operation(groups.delete, _ADMIN),
        ),
        _below("groups/(?P<group>[^/]+)/members", POST=Operation(groups.add, _ADMIN)),
        _below(
            "groups/(?P<group>[^/]+)/members/(?P<kind>users?|clients?|groups?)/(?P<member>[^/]+)",
            DELETE=Operation(groups.remove, _ADMIN),
        ),
        _below(
            "principals/(?P<principal>[^/]+)",
            GET=Operation(PrincipalHandlers(store).show, _MEMBER),
        ),
        _below(
            "tokens",
            GET=Operation(tokens.index, _ADMIN),
            POST=Operation(tokens.create, _ADMIN, repeat=Repeat.REFUSED_AT_ONCE),
        ),
        _below("tokens/(?P<token>[^/]+)", DELETE=Operation(tokens.delete, _ADMIN)),
        _below(
            "enroll",
            POST=Unsigned(enroll.EnrolmentHandlers(store, settings).enroll, enroll.MAX_BODY),
        ),
    ]


def _outside(services: Services, settings: Settings) -> list[Route]:
    store = services.store
    users = UserHandlers(store, settings)
    organizations = OrganizationHandlers(store, settings, services.organizations)
    keys = KeyHandlers(store, settings, "user", services.admission)
    servers = ServerHandlers(settings, services.shared)
    return [
        _at(
            "pushy/servers",
            POST=Operation(servers.join, _SUPERUSER, repeat=Repeat.REFUSED_AT_ONCE),
        ),
        _at(
            "users",
            GET=Operation(users.index, _SUPERUSER),
            POST=Operation(users.create, _SUPERUSER),
        ),
        _at(
            "users/(?P<user>[^/]+)",
            GET=Operation(users.show, _OWN_USER),
            PUT=Operation(users.update, _OWN_USER),
            DELETE=Operation(users.delete, _SUPERUSER),
        ),
        *_keys(_at, "users/(?P<user>[^/]+)", keys, _OWN_USER),
        _at(
            "organizations",
            GET=Operation(organizations.index, _SUPERUSER),
            POST=Operation(organizations.create, _SUPERUSER),
        ),
        _at(
            "organizations/(?P<name>[^/]+)",
            GET=Operation(organizations.show, _SUPERUSER),
            DELETE=Operation(organizations.delete, _SUPERUSER),
        ),
    ]


def _keys(
    place: Callable[..., Route], owner: str, keys: KeyHandlers, access: Access
) -> list[Route]:
    return [
        place(
            f"{owner}/keys",
            GET=Operation(keys.index, access),
            POST=Operation(keys.create, access),
        ),
        place(
            f"{owner}/keys/(?P<key>[^/]+)",
            GET=Operation(keys.show, access),
            PUT=Operation(keys.update, access),
            DELETE=Operation(keys.delete, access),
        ),
    ]


def _below(pattern: str, **methods: Operation | Unsigned) -> Route:
    """A path below an organization."""
    return _at(f"organizations/(?P<org>[^/]+)/{pattern}", **methods)


def _at(pattern: str, **methods: Operation | Unsigned) -> Route:
    return Route(re.compile(f"/{pattern}"), methods)
