"""Configurations for agents, and who is admitted to the command channel."""

import logging
import secrets as random
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli import keys
from pushcli.errors import KeyFileError
from pushcli.protocol import extensions, session_keys, wire
from pushcli_server.channel.broker import MAX_MESSAGE_SKEW
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.fleet_nodes import ClientGone
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.replays import Signature
from pushcli_server.engine import Engine
from pushcli_server.identities import Identities
from pushcli_server.secrets import Secrets
from pushcli_server.settings import Settings
from pushcli_server.store import Store, StoreUnavailable

_log = logging.getLogger(__name__)


class AdmissionService:
    """Hands out configurations.

    Args:
        secrets: gives those of the server that agents are to be told.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        identities: Identities,
        settings: Settings,
        secrets: Callable[[], Secrets],
        incarnation_id: str,
    ) -> None:
        self._engine = engine
        self._store = store
        self._identities = identities
        self._settings = settings
        self._secrets = secrets
        self._incarnation_id = incarnation_id

    async def configure(
        self,
        node: NodeKey,
        *,
        curve_key: str,
        by_client: bool,
        requestor_key: RSAPublicKey,
        offered: frozenset[str] | None,
        adopts: tuple[str, ...],
        agent: str | None,
        signature: Signature | None,
        repeated: bool,
    ) -> dict[str, Any]:
        """What an agent needs to connect (Push Jobs protocol, section 4).

        Args:
            curve_key: the agent's, Z85; admitted only for the node's own client.
            offered: the extensions that the agent offers; None for an old one.
            adopts: jobs that a restarted agent still has.
            agent: what it says that it is.
            signature: of the request; stored with what it changes.
            repeated: one with this signature came before: this one changes nothing.

        Raises:
            ClientGone: the node's client is not there any more.
            KeyOfAnotherNode: the CURVE key was handed out to another node.
        """
        common = extensions.ALL & (offered or frozenset())
        salt = ""
        if by_client:
            client_key = keys.fingerprint(requestor_key)
            deletions, salt = await self._registered(node, client_key)
            request = on_fleet.ConfigurationRequested(
                node=node,
                curve_key=curve_key,
                offered=common,
                adopts=frozenset(adopts),
                agent=agent,
                deletions=deletions,
                client_key=client_key,
                session_salt=salt,
                signature=signature,
                repeated=repeated,
            )
            await self._admit(request)
            if signature is not None and not repeated:
                # Its messages will be refused for what its request may be.
                self.observe_clock(node, signature.signed_at)
        own = self._secrets()
        # A user may look, but a key that works would let any reader pose as the node.
        session_key = own.session_key(*node, salt) if by_client else random.token_bytes(32)
        answer = self._configuration(node, own)
        answer["encoded_session_key"] = session_keys.encrypt(session_key, requestor_key)
        if offered is not None:
            answer["extensions"] = sorted(common)
        if extensions.QUIET in common:
            patience = self._engine.fleet.rules.patience
            answer["push_jobs"]["heartbeat"]["quiet_interval"] = patience.quiet_interval
        if extensions.SPLAY in common:
            answer["reconfigure_splay"] = self._engine.fleet.reconfigure_splay
        return answer

    async def _admit(self, request: on_fleet.ConfigurationRequested) -> None:
        self._engine.handle(request)
        if request.repeated:
            return
        await self._store.barrier()
        self._engine.handle(
            on_fleet.ConfigurationStored(
                node=request.node,
                curve_key=request.curve_key,
                deletions=request.deletions,
                client_key=request.client_key,
            )
        )

    async def _registered(self, node: NodeKey, client_key: str) -> tuple[int, str]:
        """How many clients had been deleted at a moment when there is one of this name with
        this key (its fingerprint), and that client's salt.
        """
        deletions = self._engine.fleet.deletions
        while True:
            before = deletions.count
            found = await self._identities.client_keys(*node)
            salts = [salt for pem, salt in found if _fingerprint(pem) == client_key]
            if not salts:
                raise ClientGone
            if not deletions.since(before, node):
                return before, salts[0]

    def observe_clock(self, node: NodeKey, signed_at: float) -> None:
        """The node's own client signed something at this time by its clock."""
        ahead = signed_at - self._engine.clock.date()
        if abs(ahead) > MAX_MESSAGE_SKEW:
            self._engine.handle(on_fleet.ClockDiffers(node, ahead))

    async def keys_revoked(self, org: str, name: str) -> None:
        """Keys of a client were replaced or deleted: what they admitted counts no more."""
        node = NodeKey(org, name)
        try:
            revoked = await self._revoked(node)
        except StoreUnavailable:
            # They were: what is left is seen by who looks at all keys.
            revoked = frozenset()
        self._engine.handle(on_fleet.KeysRevoked(node, revoked))

    async def look_at_keys(self, node: NodeKey) -> None:
        """The same, if any by which its agent was admitted counts no more.

        Raises:
            ChefAway, ChefRefuses, StoreUnavailable: nobody can be asked now.
        """
        # One that admits something while we ask may be younger than the answer.
        known = self._engine.fleet.client_keys(node)
        if revoked := (await self._revoked(node) & known) - {""}:
            _log.info(
                "its connection ends: the client key that admitted it is no longer valid: %s",
                ", ".join(sorted(revoked)),
                extra={"node": node.name},
            )
            self._engine.handle(on_fleet.KeysRevoked(node, revoked))

    async def _revoked(self, node: NodeKey) -> frozenset[str]:
        """Of the keys that admitted something, as fingerprints, those that count no more; an empty
        one if some of them are not known.
        """
        found = await self._identities.client_keys(*node)
        if not found and self._settings.identity == "chef":
            # Whether its client is gone is found out with more care (`chef.departures`).
            return frozenset()
        valid = {_fingerprint(pem) for pem, _ in found} - {""}
        # As it is now: what was admitted meanwhile was so by what was found before.
        return self._engine.fleet.client_keys(node) - valid

    def client_deleted(self, org: str, name: str) -> None:
        """A client was deleted: its node's connection counts no more, and none is admitted."""
        self._engine.handle(on_fleet.ClientDeleted(NodeKey(org, name)))

    def _configuration(self, node: NodeKey, own: Secrets) -> dict[str, Any]:
        s = self._settings
        return {
            "type": "config",
            "host": s.server_name,
            "node": node.name,
            "organization": node.org,
            "push_jobs": {
                "heartbeat": {
                    "out_addr": s.heartbeat_address,
                    "command_addr": s.command_address,
                    "interval": s.heartbeat_interval / 1000,
                    "offline_threshold": s.offline_threshold,
                    "online_threshold": s.online_threshold,
                }
            },
            "public_key": own.public_pem,
            "curve_public_key": own.curve_public.decode(),
            "lifetime": s.lifetime,
            "max_message_skew": int(MAX_MESSAGE_SKEW),
            "max_body_size": wire.MAX_BODY_FROM_AGENT,
            "incarnation_id": self._incarnation_id,
        }


def _fingerprint(pem: str) -> str:
    """Empty: no key of ours, for a Chef Infra Server may have anything beside those."""
    try:
        return keys.fingerprint(keys.load_public_key(pem))
    except KeyFileError:
        return ""
