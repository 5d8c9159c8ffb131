"""What monitoring asks, without a signature: is it alive, may it get work, what does it measure.

Whether the server is alive and ready may be asked by anybody who reaches it; its measurements tell
of the fleet and are for the addresses of `monitoring_networks` alone.
"""

import ipaddress
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.forwarded import Proxies, parse
from pushcli_server.settings import Settings
from pushcli_server.store import Store, reads
from pushcli_server.store.errors import StoreUnavailable

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers of a proxy: behind it may be anybody, whatever address it has itself."""


class MonitoringHandlers:
    """Paths by name.

    Args:
        settings: say who may see the measurements, and who is a proxy.
    """

    def __init__(self, registry: CollectorRegistry, store: Store, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._proxies = Proxies(settings.trusted_proxies)
        self._networks = [ipaddress.ip_network(each) for each in settings.monitoring_networks]
        self.paths: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/healthz": self.health,
            "/readyz": self.readiness,
            "/metrics": self.metrics,
        }

    async def health(self, request: Request) -> Response:
        """`GET /healthz`: the event loop turns, or there would be no answer."""
        return answer(200, {"status": "ok"})

    async def readiness(self, request: Request) -> Response:
        """`GET /readyz`: 503 while nothing can be stored, so no job can start."""
        if (why := self._store.trouble) is not None:
            raise Refused(503, [f"the database cannot be written: {why}"], {"Retry-After": "5"})
        if self._store.is_full:
            raise Refused(503, ["too much waits for the database"], {"Retry-After": "5"})
        try:
            # While nobody writes, nothing else would tell.
            await self._store.ask(reads.nothing)
        except StoreUnavailable as error:
            why = f"the database cannot be read: {error}"
            raise Refused(503, [why], {"Retry-After": "5"}) from error
        return answer(200, {"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`, in Prometheus' text format; for others there is no such path."""
        if not self._may_see(request):
            raise not_found("not found: metrics are for monitoring_networks in server.toml")
        content = generate_latest(self._registry)
        return Response(content, media_type=None, headers={"Content-Type": _TYPE})

    def _may_see(self, request: Request) -> bool:
        if request.client is None or any(name in request.headers for name in _FORWARDED):
            return False
        if self._proxies.trusts(request.client.host):
            return False
        address = parse(request.client.host)
        return address is not None and any(address in network for network in self._networks)


_TYPE = CONTENT_TYPE_PLAIN_0_0_4
