"""A server that says what a test tells it to: real sockets, keys and signatures.

It stands for an old Push Jobs server (without offers), and for one that falls silent, repeats,
lies or comes back with other keys at the very moment that a test needs; agents with the real
server are in tests/e2e.

The configuration comes over HTTP from a thread, the heartbeats from another; the command
channel belongs to the test's own thread.
"""

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from pushcli import keys
from pushcli.protocol import extensions, session_keys, verification, wire
from pushcli.protocol.timestamps import format_rfc1123
from tests.support.waiting import patient

NODE, ORG = "web01", "acme"
INTERVAL = 0.25


@dataclass
class ConfigRequest:
    """A verified request for the configuration."""

    path: str
    query: dict[str, list[str]]


@dataclass
class Message:
    """What an agent sent: its routing id, the header and the JSON body."""

    peer: bytes
    header: bytes
    body: dict[str, Any]

    @property
    def type(self) -> str:
        """Its type."""
        return str(self.body["type"])


@dataclass
class ScriptedServer:
    """One server; `incarnation`, `extensions` and `answer` may be changed in mid-test."""

    rsa_key: RSAPrivateKey
    node_key: RSAPublicKey
    offers: frozenset[str] = extensions.ALL - {extensions.STREAM, extensions.QUIET}
    """Output would wait for an answer while a command runs, and heartbeats for one."""
    incarnation: str = "server-1"
    session_key: bytes = b"s" * 32
    refuse: tuple[int, dict[str, Any]] | None = None
    """Status and body instead of a configuration."""
    retry_after: str = ""
    """When to come again, as all answers say."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Keys of the answer that are other than usual."""
    requests: list[ConfigRequest] = field(default_factory=list)
    seen: list[Message] = field(default_factory=list)
    beating: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.curve_public, self._curve_secret = zmq.curve_keypair()
        self._stopped = threading.Event()
        self._sequences: dict[bytes, int] = {}
        self._beat = 0
        self.open_command_channel()
        self._pub = self.context.socket(zmq.PUB)
        self._pub.linger = 0
        self.heartbeat_port = self._pub.bind_to_random_port("tcp://127.0.0.1")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.05,)),
            threading.Thread(target=self._beat_on),
        ]
        self.beating.set()
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """With the organization."""
        return f"http://127.0.0.1:{self._http.server_port}/organizations/{ORG}"

    def open_command_channel(self, port: int | None = None) -> None:
        """Listen for agents."""
        self.router = self.context.socket(zmq.ROUTER)
        self.router.linger = 0
        self.router.curve_server = True
        self.router.curve_secretkey = self._curve_secret
        if port is None:
            self.command_port = self.router.bind_to_random_port("tcp://127.0.0.1")
        else:
            _bind_again(self.router, f"tcp://127.0.0.1:{port}")

    def close(self) -> None:
        """Be gone."""
        self._stopped.set()
        self.beating.set()
        self._http.shutdown()
        for thread in self._threads:
            thread.join()
        self._http.server_close()
        self.router.close()
        self._pub.close()
        self.context.term()

    # --- configuration

    def configuration(self) -> dict[str, Any]:
        """The answer to a request for it."""
        answer = {
            "type": "config", "host": "127.0.0.1", "node": NODE, "organization": ORG,
            "push_jobs": {"heartbeat": {
                "out_addr": f"tcp://127.0.0.1:{self.heartbeat_port}",
                "command_addr": f"tcp://127.0.0.1:{self.command_port}",
                "interval": INTERVAL, "offline_threshold": 3, "online_threshold": 2,
            }},
            "public_key": keys.public_pem(self.rsa_key),
            "curve_public_key": self.curve_public.decode(),
            "encoded_session_key": session_keys.encrypt(self.session_key, self.node_key),
            "lifetime": 3600, "max_message_skew": 300, "max_body_size": 65536,
            "incarnation_id": self.incarnation,
            **self.changed,
        }  # fmt: skip
        if self.offers:
            answer["extensions"] = sorted(self.offers)
        return answer

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, Any]]:
        """Verify a request as a server does, and answer it."""
        parts = urllib.parse.urlsplit(request.path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = verification.parse_headers(headers, time.time())
        if not verification.verify(signed, self.node_key, method="GET", path=parts.path, body=b""):
            return 401, {"error": ["Invalid signature"]}
        self.requests.append(ConfigRequest(parts.path, urllib.parse.parse_qs(parts.query)))
        return self.refuse or (200, self.configuration())

    # --- heartbeats

    def _beat_on(self) -> None:
        while not self._stopped.is_set():
            if self.beating.is_set():
                self._pub.send_multipart(wire.seal_broadcast(self._heartbeat(), self.rsa_key))
            self._stopped.wait(INTERVAL)

    def _heartbeat(self) -> bytes:
        self._beat += 1
        return json.dumps({
            "server": "127.0.0.1", "type": "heartbeat", "incarnation_id": self.incarnation,
            "sequence": self._beat, "timestamp": format_rfc1123(time.time()),
        }).encode()  # fmt: skip

    # --- the command channel

    def receive(self, timeout: float = 5.0) -> Message:
        """The next message of an agent."""
        assert self.router.poll(int(patient(timeout) * 1000)), f"only {[m.type for m in self.seen]}"
        peer, header, body = self.router.recv_multipart()
        assert wire.unseal([header, body], self.session_key, 65_536) == body
        message = Message(peer, header, json.loads(body))
        self.seen.append(message)
        return message

    def expect(self, kind: str, timeout: float = 5.0, **fields: Any) -> Message:
        """The next message of this type with these fields; others are passed over."""
        end = time.monotonic() + patient(timeout)
        while True:
            assert time.monotonic() < end, f"only {[m.type for m in self.seen]}"
            message = self.receive(timeout)
            if message.type == kind and fields.items() <= message.body.items():
                return message

    def types_for(self, seconds: float) -> list[str]:
        """The types of all messages that come in this time."""
        end, types = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            if self.router.poll(int(left * 1000)):
                types.append(self.receive().type)
        return types

    def send(self, peer: bytes, kind: str, **fields: Any) -> None:
        """A message with the next sequence of this connection."""
        self._sequences[peer] = self._sequences.get(peer, 0) + 1
        head = {"sequence": self._sequences[peer], "timestamp": format_rfc1123(time.time())}
        self.send_body(peer, json.dumps({**head, "type": kind, **fields}).encode())

    def send_body(self, peer: bytes, body: bytes, key: bytes | None = None) -> None:
        """Any body, signed."""
        self.router.send_multipart([peer, *wire.seal(body, key or self.session_key)])

    def meet(self, timeout: float = 10.0) -> bytes:
        """Wait for an agent's connection and tell it that the channel works; the peer."""
        peer = self.expect("heartbeat", timeout).peer
        self.send(peer, "ack")
        return peer

    def meet_again(self, former: bytes, timeout: float = 10.0) -> Message:
        """Wait for another connection, and acknowledge it; its first message."""
        end = time.monotonic() + patient(timeout)
        while (message := self.receive(timeout)).peer == former:
            assert time.monotonic() < end, "no other connection came"
        self.send(message.peer, "ack")
        return message

    def run(self, peer: bytes, job_id: str, command: str, **fields: Any) -> None:
        """Take a job through the vote and start it."""
        self.send(peer, "commit", job_id=job_id, server="push", command=command, **fields)
        self.expect("ack_commit", job_id=job_id)
        self.send(peer, "run", job_id=job_id)
        self.expect("ack_run", job_id=job_id)


def _bind_again(socket: "zmq.Socket[bytes]", endpoint: str) -> None:
    """ZeroMQ lets go of a closed socket's port in the background."""
    end = time.monotonic() + patient(5)
    while True:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError:
            assert time.monotonic() < end
            time.sleep(0.01)
        else:
            return


def handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    """Answers requests for the configuration."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, value = server.answer(self)
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if server.retry_after:
                self.send_header("Retry-After", server.retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def scripted_server(
    rsa_key: RSAPrivateKey, node_key: RSAPublicKey, **options: Any
) -> Iterator[ScriptedServer]:
    """A server for the time of a test."""
    server = ScriptedServer(rsa_key, node_key, **options)
    try:
        yield server
    finally:
        server.close()


def decoded(text: str) -> bytes:
    """The bytes of base64."""
    return base64.b64decode(text, validate=True)
