"""Why a node is not there: its request for a configuration is refused for its time.

Nobody else's word is taken for it: what is remembered was signed by the node's own client,
whose only fault is its clock.
"""

import contextlib

from starlette.requests import Request

from pushcli.protocol import verification
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.admission import AdmissionService
from pushcli_server.core.identity import NodeKey
from pushcli_server.rest.auth import Authenticator
from pushcli_server.rest.errors import Refused
from pushcli_server.store import StoreUnavailable


async def observe(
    authenticator: Authenticator,
    admission: AdmissionService,
    request: Request,
    node: NodeKey,
    skew: verification.ClockSkew,
) -> None:
    """Remember how far the clock of a node is off, if it is the node's client that asks."""
    if skew.user != node.name:
        return
    with contextlib.suppress(
        Refused,
        StoreUnavailable,
        ChefAway,
        ChefRefuses,
        verification.UnsupportedVersion,
        verification.BadHeader,
    ):
        signed = authenticator.headers(request, at=skew.signed_at)
        signers = await authenticator.signers(node.org, signed, request)
        if any(signer.kind == "client" for signer, _ in signers):
            admission.observe_clock(node, skew.signed_at)
