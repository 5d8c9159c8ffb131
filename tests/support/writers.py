"""Many agents in one thread, on the real wire: by themselves, all write at once.

Each answers as an agent of ours does that delivers while its command runs: a chunk, when that is
held the result, and that again until it is acknowledged.
"""

import base64
import hashlib
import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli.protocol import extensions, messages, session_keys, signing, wire
from pushcli.protocol.timestamps import format_iso8601, format_rfc1123

OFFERED = "adopt,output,partial,results,stream"
assert set(OFFERED.split(",")) <= extensions.ALL


def written(node: str, size: int) -> bytes:
    """What a node's command writes: its own, and no text."""
    return hashlib.shake_128(node.encode()).digest(size)


class Writer:
    """One agent."""

    offered = OFFERED

    def __init__(self, name: str, org: str, size: int) -> None:
        self.name, self.org = name, org
        self.data = written(name, size)
        self.is_done = False
        self._numbers = itertools.count(1)
        self._job: str | None = None

    def connect(
        self, session: requests.Session, url: str, key: RSAPrivateKey,
        context: "zmq.Context[zmq.Socket[bytes]]",
    ) -> "zmq.Socket[bytes]":  # fmt: skip
        """Its socket, with the configuration that the server gives it."""
        public, secret = zmq.curve_keypair()
        path = f"/organizations/{self.org}/pushy/config/{self.name}"
        headers = signing.sign(
            key, method="GET", path=path, body=b"", user=self.name,
            timestamp=format_iso8601(time.time()),
        )  # fmt: skip
        query = {
            "client": "pushcli/0.2.0",
            "ccpk": public.decode(),
            "version": "2.0",
            "extensions": self.offered,
        }
        answer: dict[str, Any] = session.get(
            url + path, params=query, headers=headers, timeout=60
        ).json()
        self._session_key = session_keys.decrypt(answer["encoded_session_key"], key)
        self.socket = context.socket(zmq.DEALER)
        self.socket.curve_serverkey = answer["curve_public_key"].encode()
        self.socket.curve_publickey, self.socket.curve_secretkey = public, secret
        self.socket.linger = 0
        self.socket.connect(answer["push_jobs"]["heartbeat"]["command_addr"])
        self._run = f"{self.name}-{public[:6].hex()}"
        return self.socket

    def send(self, kind: type[messages.AgentMessage], **fields: Any) -> None:
        """Send one message."""
        message = kind(
            node=self.name, org=self.org, incarnation_id=self._run, client="writer",
            sequence=next(self._numbers), timestamp=format_rfc1123(time.time()),
            **{"job_id": self._job, **fields},
        )  # fmt: skip
        self.socket.send_multipart(wire.seal(messages.encode(message), self._session_key))

    def tick(self, now: float) -> None:
        """Time passed."""

    def heartbeat(self) -> None:
        """Say what it does."""
        self.send(messages.Heartbeat, job_state="running" if self._job else "idle")

    def receive(self, body: bytes) -> None:
        """Answer."""
        match messages.decode_command(body):
            case messages.Abort():
                self.send(messages.Aborted)
            case messages.Commit(job_id=job_id):
                self._job = job_id
                self.send(messages.AckCommit)
            case messages.Run():
                self.send(messages.AckRun)
                data = base64.b64encode(self.data).decode()
                self.send(messages.Output, channel="stdout", offset=0, data=data)
            case messages.AckOutput(size=size) if size == len(self.data):
                self.send(
                    messages.Succeeded, spooled=True, exit_code=0, stdout_size=size,
                    stdout_head=size, stderr_size=0, stderr_head=0,
                )  # fmt: skip
            case messages.AckResult():
                self._job, self.is_done = None, True
            case _:
                pass


class Writers:
    """All of them, on a thread of their own for the time of a `with` block.

    Args:
        url: of the server, without the organization.
        key: of all the nodes' clients, which are registered already.
    """

    def __init__(self, writers: Sequence[Writer], *, url: str, key: RSAPrivateKey) -> None:
        self._writers = writers
        self._url, self._key = url, key
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @property
    def are_done(self) -> bool:
        """Whether the server has all results."""
        return all(writer.is_done for writer in self._writers)

    def __enter__(self) -> "Writers":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        context.max_sockets = 10_000
        session = requests.Session()
        session.trust_env = False
        poller = zmq.Poller()
        try:
            by_socket = {
                writer.connect(session, self._url, self._key, context): writer
                for writer in self._writers
            }
            for socket in by_socket:
                poller.register(socket, zmq.POLLIN)
            self._ready.set()
            due = 0.0
            while not self._stop.is_set():
                if time.monotonic() >= due:
                    due = time.monotonic() + 1.0
                    for writer in self._writers:
                        writer.heartbeat()
                for socket, _ in poller.poll(50):
                    by_socket[socket].receive(socket.recv_multipart()[-1])
                now = time.monotonic()
                for writer in self._writers:
                    writer.tick(now)
        finally:
            self._ready.set()
            session.close()
            context.destroy(0)


def register(directory: Path, org: str, names: Sequence[str], public_pem: str) -> None:
    """Have clients of these names with one key, before the server starts: keys take long."""
    import asyncio  # noqa: PLC0415 - with the server's store, which few tests open

    from pushcli_server import settings  # noqa: PLC0415
    from pushcli_server.store import Store, operations  # noqa: PLC0415

    async def fill() -> None:
        store = Store.open(settings.load(directory).database(directory), directory / "blobs")
        store.start(asyncio.get_running_loop(), lambda _: None)
        try:
            made = [
                operations.CreateClient(org=org, name=name, public_key=public_pem, enrolls=True)
                for name in names
            ]
            for start in range(0, len(made), 500):
                await store.write(*made[start : start + 500])
        finally:
            await store.close()

    asyncio.run(fill())
