"""An old agent as a script: raw frames, as push-jobs-client sends them; no extensions."""

import contextlib
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import zmq

from pushcli import keys
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.protocol import session_keys, wire
from pushcli.protocol.timestamps import format_rfc1123
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.support import key_files
from tests.support.waiting import patient


def enroll(fleet: Sandbox, name: str) -> Profile:
    """Register a client by the validator's key; returns its profile."""
    pair = key_files.another()
    key = fleet.directory / f"{uuid.uuid4().hex}.pem"
    keys.write_private_key(key, pair)
    validator = fleet.server_directory / "keys" / f"{ORG}-validator.pem"
    common: Any = {"name": "test", "chef_server_url": fleet.url, "signing_version": "1.1"}
    client = _validator(fleet.url, str(validator))
    client.post("clients", {"name": name, "public_key": keys.public_pem(pair)})
    client.close()
    return Profile(client_name=name, client_key=str(key), **common)


@lru_cache(maxsize=4)
def _validator(url: str, key: str) -> ApiClient:
    return ApiClient(
        Profile(
            name="test", chef_server_url=url, client_name=f"{ORG}-validator", client_key=key,
            signing_version="1.1",
        )
    )  # fmt: skip


class OldAgent:
    """One scripted agent. Nothing is sent or answered by itself; a frame of more than
    `max_frame` bytes ends its connection.
    """

    def __init__(
        self,
        fleet: Sandbox,
        context: "zmq.Context[zmq.Socket[bytes]]",
        name: str,
        *,
        offers: str | None = None,
        max_frame: int = -1,
    ) -> None:
        self._max_frame = max_frame
        self.name = name
        self._offers = offers
        self._context = context
        self._profile = enroll(fleet, name)
        self._client = ApiClient(self._profile)
        self.client_key = Path(self._profile.client_key)
        self.socket: zmq.Socket[bytes] | None = None
        self.restart()

    def restart(self) -> None:
        """A new run of the agent: new CURVE key, new incarnation, new configuration."""
        self.incarnation = str(uuid.uuid4())
        self._public, self._secret = zmq.curve_keypair()
        self.configure()
        self.connect()

    def configure(self) -> None:
        """Fetch the configuration with the key that we have."""
        query = {"ccpk": self._public.decode(), "version": "2.0"}
        if self._offers is not None:
            query["extensions"] = self._offers
        try:
            self.config = self._client.get(f"pushy/config/{self.name}", query)
        finally:
            self._client.close()
        self.key = session_keys.decrypt(
            self.config["encoded_session_key"], key_files.read(self.client_key)
        )

    def connect(self) -> None:
        """A new connection; the sequence begins anew."""
        self.close()
        self.socket = socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        # Without a connection, and once one was refused, ZeroMQ takes no messages.
        socket.sndtimeo = int(patient(10) * 1000)
        socket.maxmsgsize = self._max_frame
        socket.curve_serverkey = self.config["curve_public_key"].encode()
        socket.curve_publickey, socket.curve_secretkey = self._public, self._secret
        socket.connect(self.config["push_jobs"]["heartbeat"]["command_addr"])
        self.sequence = 0

    def close(self) -> None:
        """Hang up."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def send(self, kind: str, job_id: str | None = None, **more: Any) -> None:
        """One message, its keys in the order of the real agent's."""
        self.sequence += 1
        body = {
            "node": self.name, "client": "vm", "protocol_version": "2.0", "org": ORG,
            "type": kind, "sequence": self.sequence, "timestamp": format_rfc1123(time.time()),
            "incarnation_id": self.incarnation, **more, "job_id": job_id,
        }  # fmt: skip
        self.send_raw(msgspec.json.encode(body))

    def send_raw(self, body: bytes) -> None:
        """A body, signed."""
        assert self.socket is not None
        self.socket.send_multipart(wire.seal(body, self.key))

    def heartbeat(self, state: str = "idle", job_id: str | None = None) -> None:
        """Alive."""
        self.send("heartbeat", job_id, job_state=state)

    def knock(self, state: str = "idle", job_id: str | None = None) -> None:
        """Alive, if ZeroMQ takes it: not after the connection was refused."""
        assert self.socket is not None
        patience, self.socket.sndtimeo = self.socket.sndtimeo, 100
        with contextlib.suppress(zmq.Again):
            self.heartbeat(state, job_id)
        self.socket.sndtimeo = patience

    def receive(self, seconds: float = 5.0) -> dict[str, Any] | None:
        """The next message, verified; None if none comes in time."""
        assert self.socket is not None
        if not self.socket.poll(int(seconds * 1000)):
            return None
        frames = self.socket.recv_multipart()
        body = wire.unseal(frames, self.key, wire.MAX_BODY_FROM_SERVER)
        message: dict[str, Any] = msgspec.json.decode(body)
        return message

    def expect(self, kind: str, seconds: float = 5.0) -> dict[str, Any]:
        """The next message, which must be of this type."""
        message = self.receive(patient(seconds))
        assert message is not None, f"no {kind} came"
        assert message["type"] == kind, message
        return message

    def come_online(self) -> None:
        """First heartbeat, abort, aborted: available."""
        self.heartbeat()
        self.expect("abort")
        self.send("aborted")


MakeAgent = Callable[..., OldAgent]


def availability(server: Sandbox, agent: OldAgent) -> tuple[str, str]:
    """Whether the server sees it connected, and whether it may take part."""
    state = server.api.node_state(agent.name)
    return state["status"], state["availability"]


def keep_alive(agent: OldAgent, seconds: float) -> list[str]:
    """Heartbeats for a while; returns the types of what came."""
    came = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        agent.knock()
        if (message := agent.receive(0.2)) is not None:
            came.append(message["type"])
    return came
