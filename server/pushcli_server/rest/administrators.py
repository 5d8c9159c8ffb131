"""`pushy/administrators`: who administrates, for nodes that may not look at the group."""

from starlette.responses import Response

from pushcli_server.identities import Identities, bear
from pushcli_server.rest.errors import answer
from pushcli_server.rest.request import Call


class AdministratorHandlers:
    """The handler for administrators."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    async def index(self, call: Call) -> Response:
        """`GET pushy/administrators`."""
        # Looking is all it is here, but a node trusts for good who is named now.
        bear(0.0)
        return answer(200, {"users": await self._identities.administrators(call.org)})
