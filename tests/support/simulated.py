"""Simulated agents: many in one process, on the real wire (CURVE, HMAC, heartbeats).

They vote yes, but for those that refuse everything, run nothing and report success at once: what
is left is the server's work.
"""

import base64
import heapq
import json
import math
import random
import select
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import msgspec
import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.protocol import extensions, messages, session_keys, signing, wire
from pushcli.protocol.timestamps import format_iso8601, format_rfc1123
from pushcli_agent.core.backoff import backoff
from pushcli_agent.core.delivery import MAX_REPEAT, REPEAT
from pushcli_agent.core.link import UNREPEATED

OURS = extensions.render(
    frozenset({
        extensions.CAPTURE, extensions.OUTPUT, extensions.PARTIAL, extensions.QUIET,
        extensions.REASON, extensions.REQUESTOR, extensions.RESULTS, extensions.TIMEOUT,
        extensions.WHITELIST,
    })
)  # fmt: skip
"""What our agents offer, as far as it is simulated."""


class Plan(msgspec.Struct, kw_only=True):
    """What one process simulates: `fetch` says whether a real server is asked first."""

    nodes: list[str]
    interval: float
    key_file: str = ""
    url: str = ""
    command_addr: str = ""
    curve_public_key: str = ""
    session_key: str = ""
    org: str = "sandbox"
    extensions: str = ""
    """What the agents offer: nothing, or some of `OURS`."""
    refusing: list[str] = []
    """Those of the nodes that vote no."""
    old: bool = False
    """Whether they listen to the server's heartbeats too, over a second connection each."""

    network: str = ""
    """What their addresses begin with, such as `127.2`. Each has its own, as machines do: a server
    takes only so many connections of one address that have not proven yet whose they are.
    """

    def way_to(self, server: str, name: str) -> str:
        """A server's ZeroMQ address as libzmq is given it, with that of the node of this name."""
        if not self.network:
            return server
        number = zlib.crc32(name.encode())
        ours = f"{self.network}.{number % 251}.{number // 251 % 251 + 1}"
        return server.replace("tcp://", f"tcp://{ours}:0;")

    @property
    def fetch(self) -> bool:
        """Whether the configuration comes from a server; else it is given here."""
        return bool(self.url)


NUMBER, TIME = 987_654_321, "<time>"
"""Stand for a message's number and its time where they are not known yet."""
FETCHERS = 16
"""Configurations of one process that are asked for at a time."""


@dataclass(slots=True)
class Kept:
    """A result that was not acknowledged."""

    kind: type[messages.Result]
    fields: dict[str, object]
    sent: int = 0
    """How often it was sent."""
    until: float = 0.0
    """When it is sent again (monotonic)."""


@dataclass(slots=True)
class Agent:
    """One simulated agent."""

    name: str
    socket: "zmq.Socket[bytes]"
    session_key: bytes
    org: str
    incarnation: str
    sequence: int = 0
    job_state: str = "idle"
    job_id: str | None = None
    ends_at: float = 0.0
    """When the command that was committed to ends; `until:SECONDS` names a time of day."""
    writes: str = ""
    """The command: `three outputs` writes one of three, and fails on 2 % of the nodes; `distinct`
    writes 1 KB like no other node's.
    """
    by_default: bool = False
    """Whether this job's output is kept though nobody asked for it."""
    keeps_results: bool = False
    """Whether results are kept until they are acknowledged."""
    kept: "dict[str, Kept]" = field(default_factory=dict)
    """By job."""
    whitelist: str | None = None
    """The digest of the last one."""
    refuses: bool = False
    """Whether it votes no."""
    interval: float = 1.0
    """Seconds; an old agent sends its heartbeats so often, ..."""
    quiet_interval: float = 1.0
    """... and one of ours so."""
    quiet_at: float = 0.0
    """When its next heartbeat is due, if nothing changes (monotonic)."""
    said: tuple[str, str | None, bool] | None = None
    """What the last one said of its work."""
    is_connected: bool = False
    beat_at: float = 0.0
    """When its next heartbeat is due (monotonic)."""
    listening: "zmq.Socket[bytes] | None" = None
    """To the server's heartbeats."""
    beat: tuple[bytes, ...] = ()
    """The body of a heartbeat, but for its number and its time, ..."""
    in_beat: tuple[object, ...] = ()
    """... and what it says."""

    @property
    def work(self) -> tuple[str, str | None, bool]:
        """What there is to do."""
        return self.job_state, self.job_id, bool(self.kept)

    def send(self, kind: type, **fields: object) -> None:
        """Send one message."""
        self.sequence += 1
        self._seal(self._body(kind, self.sequence, format_rfc1123(time.time()), **fields))

    def _body(self, kind: type, sequence: int, timestamp: str, **fields: object) -> bytes:
        return messages.encode(
            kind(
                node=self.name, org=self.org, incarnation_id=self.incarnation, client="sim",
                sequence=sequence, timestamp=timestamp, **{"job_id": self.job_id, **fields},
            )
        )  # fmt: skip

    def _seal(self, body: bytes) -> None:
        header, body = wire.seal(body, self.session_key)
        # Without a connection nothing is sent: what an agent says next repairs it.
        with suppress(zmq.Again):
            self.socket.send(header, zmq.NOBLOCK | zmq.SNDMORE)
            self.socket.send(body, zmq.NOBLOCK)

    def heartbeat(self) -> None:
        """Say what we do, and again what was not acknowledged."""
        said = self.job_state, self.job_id, self.whitelist, tuple(self.kept)
        if said != self.in_beat:
            # Thousands are sent every second, and only number and time change.
            body = self._body(
                messages.Heartbeat, NUMBER, TIME, job_state=self.job_state,
                whitelist=self.whitelist, pending_results=list(self.kept) or None,
            )  # fmt: skip
            before, _, rest = body.partition(b"%d" % NUMBER)
            self.in_beat, self.beat = said, (before, *rest.split(TIME.encode()))
        self.sequence += 1
        before, between, behind = self.beat
        stamp = format_rfc1123(time.time()).encode()
        self._seal(b"%b%d%b%b%b" % (before, self.sequence, between, stamp, behind))
        for job_id, kept in self.kept.items():
            if kept.until < time.monotonic():
                self._send_result(job_id, kept)

    def receive(self, body: bytes) -> None:
        """Answer as an agent would whose commands take no time."""
        match messages.decode_command(body):
            case messages.Commit(job_id=job_id) if self.refuses:
                self.send(messages.NackCommit, job_id=job_id, reason="not on the whitelist")
            case messages.Commit(job_id=job_id, command=command, default_capture=by_default):
                self.by_default = by_default
                self.job_id, self.job_state = job_id, "committed"
                name, _, when = (command or "").partition(":")
                self.ends_at = float(when) if name == "until" else 0.0
                self.writes = name
                self.send(messages.AckCommit)
            case messages.Run(job_id=job_id) if job_id != self.job_id:
                self.send(messages.NackRun, job_id=job_id)
            case messages.Run():
                self.job_state = "running"
                self.send(messages.AckRun)
                if self.ends_at <= time.time():
                    self.finish()
            case messages.Beat(ask=True):
                self.heartbeat()
            case messages.AckResult(job_id=job_id):
                self.kept.pop(job_id, None)
            case messages.Abort():
                self.send(messages.Aborted)
                self.job_id, self.job_state = None, "idle"
            case messages.Whitelist() as whitelist:
                self.whitelist = whitelist.digest
                self.report(whitelist)
            case _:
                pass

    def report(self, whitelist: messages.Whitelist) -> None:
        """Take everything: checking signatures is work of the nodes, not of the server."""
        entries = [
            messages.EntryInForce(
                name=entry.name, value=entry.value, source="server", since=time.time(),
                signer=entry.record["signer"], version=entry.record["version"],
            )
            for entry in whitelist.entries
        ]  # fmt: skip
        self.send(messages.WhitelistReport, job_id=None, digest=self.whitelist, entries=entries)

    def finish(self) -> None:
        """The command ended."""
        number = zlib.crc32(self.name.encode()) % 100
        if self.writes == "distinct":
            self.deliver(messages.Succeeded, stdout=f"{self.name} {self.job_id}\n".ljust(1024, "."))
        elif self.writes != "three outputs":
            self.deliver(messages.Succeeded, stdout="ok\n")
        elif number < 2:
            self.deliver(messages.Failed, stderr="no space left\n")
        else:
            self.deliver(messages.Succeeded, stdout="a\n" if number < 30 else "b\n")
        self.job_id, self.job_state = None, "idle"

    def deliver(self, kind: type[messages.Result], *, stdout: str = "", stderr: str = "") -> None:
        """A result with what was written."""
        fields: dict[str, object] = {"stdout": stdout, "stderr": stderr}
        if self.by_default:
            fields = {
                f"{channel}_base64": base64.b64encode(text.encode()).decode()
                for channel, text in (("stdout", stdout), ("stderr", stderr))
            }
        if self.keeps_results:
            fields |= {"spooled": True, "exit_code": 1 if kind is messages.Failed else 0}
            assert self.job_id is not None
            kept = self.kept[self.job_id] = Kept(kind, fields)
            self._send_result(self.job_id, kept)
        else:
            self.send(kind, **fields)

    def _send_result(self, job_id: str, kept: "Kept") -> None:
        wait = backoff(random.random, REPEAT, kept.sent, MAX_REPEAT)
        kept.until, kept.sent = time.monotonic() + wait, kept.sent + 1
        self.send(kept.kind, job_id=job_id, **kept.fields)


class Configuration(msgspec.Struct, frozen=True):
    """What a node needs in order to connect."""

    name: str
    command_addr: str
    server_key: str
    session_key: bytes
    key_pair: tuple[bytes, bytes]
    """Public and secret, Z85."""
    quiet_interval: float
    heartbeat_addr: str = ""
    """Where an old agent hears the server."""


def configurations(plan: Plan) -> Iterator[Configuration]:
    """Of each node, one after the other, from the server where the plan says so."""
    if not plan.fetch:
        for name in plan.nodes:
            yield Configuration(
                name, plan.command_addr, plan.curve_public_key, bytes.fromhex(plan.session_key),
                zmq.curve_keypair(), plan.interval,
            )  # fmt: skip
        return
    key = keys.load_private_key(Path(plan.key_file))
    connection = HTTPConnection(plan.url.removeprefix("http://"), timeout=30)
    for name in plan.nodes:
        pair = zmq.curve_keypair()
        told = fetch(connection, plan, key, name, pair[0].decode())
        heartbeat = told["push_jobs"]["heartbeat"]
        yield Configuration(
            name, heartbeat["command_addr"], told["curve_public_key"],
            session_keys.decrypt(told["encoded_session_key"], key), pair,
            heartbeat.get("quiet_interval", plan.interval),
            heartbeat["out_addr"] if plan.old else "",
        )  # fmt: skip


def connect(
    plan: Plan,
    context: "zmq.Context[zmq.Socket[bytes]]",
    config: Configuration,
    kind: type[Agent] = Agent,
) -> Agent:
    """An agent, connecting."""
    public, secret = config.key_pair
    socket = context.socket(zmq.DEALER)
    socket.immediate = True
    socket.curve_serverkey = config.server_key.encode()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.linger = 0
    socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 2000
    socket.connect(plan.way_to(config.command_addr, config.name))
    run = f"sim-{config.name}-{public[:8]!r}"
    return kind(
        config.name, socket, config.session_key, plan.org, run,
        refuses=config.name in plan.refusing,
        keeps_results=extensions.RESULTS in plan.extensions.split(","),
        interval=plan.interval, quiet_interval=config.quiet_interval,
        listening=(
            listen(context, plan.way_to(config.heartbeat_addr, config.name))
            if config.heartbeat_addr
            else None
        ),
    )  # fmt: skip


def listen(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> "zmq.Socket[bytes]":
    """A subscriber that nobody reads: what comes is received and then thrown away."""
    socket = context.socket(zmq.SUB)
    # Of what comes the last is kept. With a full queue in its place nothing would be received any
    # more: the buffers of thousands of connections take the kernel's memory, and it drops packets.
    socket.linger, socket.conflate = 0, True
    socket.subscribe(b"")
    socket.connect(address)
    return socket


def fetch(
    connection: HTTPConnection, plan: Plan, key: RSAPrivateKey, name: str, public: str
) -> dict[str, Any]:
    """A configuration from a real server."""
    path = f"/organizations/{plan.org}/pushy/config/{name}"
    headers = signing.sign(
        key, method="GET", path=path, body=b"", user=name, timestamp=format_iso8601(time.time())
    )
    asked = urlencode({"ccpk": public, "version": "2.0", **_offered(plan)})
    connection.request("GET", f"{path}?{asked}", headers=headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != HTTPStatus.OK:
        raise OSError(f"no configuration of {name}: {response.status} {body!r}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def _offered(plan: Plan) -> dict[str, str]:
    return {"extensions": plan.extensions} if plan.extensions else {}


@contextmanager
def simulating(*plans: Plan) -> Iterator[None]:
    """A process for each plan, for this time."""
    with ExitStack() as ended:
        for plan in plans:
            # In earnest agents are on other machines, and take nothing from the server's.
            process = subprocess.Popen(
                ["nice", sys.executable, "-m", "tests.support.simulated"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            ended.callback(process.communicate)
            ended.callback(process.kill)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(plan).decode() + "\n")
            process.stdin.flush()
        yield


class Simulation:
    """Many agents in one thread, at little cost for those of whom nothing is asked.

    libzmq's descriptors are edge-triggered, and a send may swallow the edge: a socket is read
    until it is empty when its descriptor wakes, and once after whatever was sent on it.
    """

    def __init__(self, plan: Plan, kind: type[Agent]) -> None:
        self._plan, self._kind = plan, kind
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._context.max_sockets = 65_000
        self._configured = SimpleQueue[Configuration]()
        self._agents: list[Agent] = []
        self._by_fd: dict[int, Agent] = {}
        self._epoll = select.epoll()
        self._beats: list[tuple[float, int]] = []
        self._numbers: dict[str, int] = {}
        self._running: list[Agent] = []
        self._ends_at = 0.0

    def run(self) -> None:
        """Until the process ends."""
        fetching = [Thread(target=self._fetch, args=(first,)) for first in range(FETCHERS)]
        for thread in fetching:
            thread.start()
        while True:
            if fetching:
                fetching = [thread for thread in fetching if thread.is_alive()]
                self._connect()
            due = self._beats[0][0] if self._beats else math.inf
            for fd, _ in self._epoll.poll(min(0.05, max(0.001, due - time.monotonic()))):
                self._read(self._by_fd[fd])
            if self._running and self._ends_at <= time.time():
                self._end_commands()
            self._beat()

    def _fetch(self, first: int) -> None:
        plan = self._plan
        for config in configurations(
            msgspec.structs.replace(plan, nodes=plan.nodes[first::FETCHERS])
        ):
            self._configured.put(config)

    def _connect(self) -> None:
        """Those who have their configuration connect, as agents do, while others still fetch."""
        while not self._configured.empty():
            agent = connect(self._plan, self._context, self._configured.get(), self._kind)
            self._numbers[agent.name] = len(self._agents)
            self._agents.append(agent)
            fd = int(agent.socket.getsockopt(zmq.FD))
            self._by_fd[fd] = agent
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
            # A chance within the first interval, so that not all are heard at once.
            self._beat_at(agent, time.monotonic() + random.random() * self._plan.interval)
            self._read(agent)

    def _read(self, agent: Agent) -> None:
        # To ask for the events may swallow an edge, too.
        while (events := int(agent.socket.getsockopt(zmq.EVENTS))) & zmq.POLLIN:
            _, body = agent.socket.recv_multipart(zmq.NOBLOCK)
            was = agent.job_state
            agent.receive(body)
            self._note_change(agent)
            if agent.job_state == "running" != was:
                self._running.append(agent)
                self._ends_at = agent.ends_at
        was_connected, agent.is_connected = agent.is_connected, bool(events & zmq.POLLOUT)
        if agent.is_connected and not was_connected:
            agent.heartbeat()
            self._schedule(agent, time.monotonic())
            self._read(agent)

    def _beat(self) -> None:
        now = time.monotonic()
        while self._beats and self._beats[0][0] <= now:
            due, number = heapq.heappop(self._beats)
            agent = self._agents[number]
            # Another one stands there too if it was busy meanwhile.
            if agent.beat_at == due:
                agent.heartbeat()
                self._schedule(agent, due)
                self._read(agent)

    def _schedule(self, agent: Agent, now: float) -> None:
        agent.said, agent.quiet_at = agent.work, now + agent.quiet_interval
        self._beat_at(agent, agent.quiet_at)

    def _beat_at(self, agent: Agent, when: float) -> None:
        agent.beat_at = when
        heapq.heappush(self._beats, (when, self._numbers[agent.name]))

    def _note_change(self, agent: Agent) -> None:
        """As our agents do: what became of it is said again, if it is still so."""
        if agent.work == agent.said:
            if agent.beat_at != agent.quiet_at:
                self._beat_at(agent, agent.quiet_at)
        elif agent.beat_at == agent.quiet_at:
            soon = time.monotonic() + UNREPEATED * agent.interval
            if soon < agent.quiet_at:
                self._beat_at(agent, soon)

    def _end_commands(self) -> None:
        """Commands that were to end at a time of day end all at once."""
        ended, self._running = self._running, []
        for agent in ended:
            if agent.job_state == "running":
                agent.finish()
                self._read(agent)


def run(plan: Plan, kind: type[Agent] = Agent) -> None:
    """Simulate until the parent kills us."""
    Simulation(plan, kind).run()


if __name__ == "__main__":
    run(msgspec.convert(json.loads(sys.stdin.readline()), Plan))
