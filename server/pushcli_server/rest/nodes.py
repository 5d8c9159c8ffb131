"""`node_states`, and `config/NODE`, which hands an agent what it needs to connect."""

import re

from starlette.responses import Response
from zmq.utils import z85

from pushcli.protocol import extensions, names
from pushcli_server.admission import AdmissionService
from pushcli_server.core.identity import NodeKey
from pushcli_server.nodes import NodeService
from pushcli_server.rest.errors import Refused, answer, unauthenticated
from pushcli_server.rest.pieces import array
from pushcli_server.rest.request import Call

MAX_ADOPTED = 16
_CURVE_KEY = 40
_AGENT = re.compile(r"pushcli/[0-9A-Za-z.+-]{1,48}")


class NodeHandlers:
    """Handlers for nodes."""

    def __init__(self, nodes: NodeService, admission: AdmissionService) -> None:
        self._nodes = nodes
        self._admission = admission

    async def index(self, call: Call) -> Response:
        """`GET node_states`."""
        return await array(await self._nodes.states(call.org))

    async def show(self, call: Call) -> Response:
        """`GET node_states/NODE`."""
        return answer(200, self._nodes.state(_key(call)))

    async def status(self, call: Call) -> Response:
        """`GET pushy/node_status` (an extension)."""
        return await array(await self._nodes.statuses(call.org))

    async def status_of(self, call: Call) -> Response:
        """`GET pushy/node_status/NODE` (an extension)."""
        return answer(200, await self._nodes.status(_key(call)))

    async def config(self, call: Call) -> Response:
        """`GET config/NODE`."""
        if call.attempt is not None:
            # However this one ends: whoever comes with its signature again repeats it.
            call.attempt.stored()
        query = call.http.query_params
        curve_key = query.get("ccpk")
        if curve_key is None:
            raise Refused(400, ["Missing ccpk"])
        if not is_curve_key(curve_key):
            raise unauthenticated("Bad ccpk")
        offered = query.get("extensions")
        configuration = await self._admission.configure(
            _key(call),
            curve_key=curve_key,
            by_client=call.principal.kind == "client",
            requestor_key=call.key,
            offered=None if offered is None else extensions.parse(offered),
            agent=_agent(query.get("client", "")),
            adopts=_adopted(query.getlist("adopts")),
            signature=None if call.attempt is None else call.attempt.signature,
            repeated=call.repeated,
        )
        return answer(200, configuration)


def _key(call: Call) -> NodeKey:
    return NodeKey(call.org, call.path["node"])


def is_curve_key(text: str) -> bool:
    """Whether this is a CURVE key in Z85."""
    if len(text) != _CURVE_KEY or not text.isascii():
        return False
    try:
        return z85.encode(z85.decode(text.encode())) == text.encode()
    except Exception:
        return False


def _agent(client: str) -> str | None:
    """What an agent says that it is, if it is of a form that can be shown."""
    return client if _AGENT.fullmatch(client) else None


def _adopted(ids: list[str]) -> tuple[str, ...]:
    return tuple(job_id for job_id in ids[:MAX_ADOPTED] if names.is_job_id(job_id))
