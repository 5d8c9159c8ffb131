"""Simulated agents: many in one process, on the real wire (CURVE, HMAC, heartbeats).

They vote yes, but for those that refuse everything, run nothing and report success at once: what
is left is the server's work.
"""

import base64
import heapq
import json
import select
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import requests
import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.protocol import extensions, messages, session_keys, signing, wire
from pushcli.protocol.timestamps import format_iso8601, format_rfc1123

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

    @property
    def fetch(self) -> bool:
        """Whether the configuration comes from a server; else it is given here."""
        return bool(self.url)


AGAIN = 10.0
"""Seconds after which a result that was not acknowledged is sent again."""


@dataclass(slots=True)
class Kept:
    """A result that was not acknowledged."""

    kind: type[messages.Result]
    fields: dict[str, object]
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
    """Seconds between its heartbeats while it has something to do, ..."""
    quiet_interval: float = 1.0
    """... and while it has nothing to do."""
    is_connected: bool = False
    beat_at: float = 0.0
    """When its next heartbeat is due (monotonic)."""
    listening: "zmq.Socket[bytes] | None" = None
    """To the server's heartbeats."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.job_state == "idle" and not self.kept

    def send(self, kind: type, **fields: object) -> None:
        """Send one message."""
        self.sequence += 1
        message = kind(
            node=self.name, org=self.org, incarnation_id=self.incarnation, client="sim",
            sequence=self.sequence, timestamp=format_rfc1123(time.time()),
            **{"job_id": self.job_id, **fields},
        )  # fmt: skip
        # Without a connection nothing is sent: what an agent says next repairs it.
        with suppress(zmq.Again):
            self.socket.send_multipart(
                wire.seal(messages.encode(message), self.session_key), zmq.NOBLOCK
            )

    def heartbeat(self) -> None:
        """Say what we do, and again what was not acknowledged."""
        waiting = list(self.kept) or None
        self.send(
            messages.Heartbeat, job_state=self.job_state, whitelist=self.whitelist,
            pending_results=waiting,
        )  # fmt: skip
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
        kept.until = time.monotonic() + AGAIN
        self.send(kept.kind, job_id=job_id, **kept.fields)


def connect(
    plan: Plan, context: "zmq.Context[zmq.Socket[bytes]]", kind: type[Agent] = Agent
) -> list[Agent]:
    """All agents of a plan, connecting."""
    key = keys.load_private_key(Path(plan.key_file)) if plan.fetch else None
    session = requests.Session()
    session.trust_env = False
    agents = []
    for name in plan.nodes:
        public, secret = zmq.curve_keypair()
        quiet_interval = plan.interval
        if key is not None:
            config = fetch(session, plan, key, name, public.decode())
            address = config["push_jobs"]["heartbeat"]["command_addr"]
            server_key = config["curve_public_key"]
            quiet_interval = config["push_jobs"]["heartbeat"].get("quiet_interval", plan.interval)
            session_key = session_keys.decrypt(config["encoded_session_key"], key)
        else:
            address, server_key = plan.command_addr, plan.curve_public_key
            session_key = bytes.fromhex(plan.session_key)
        socket = context.socket(zmq.DEALER)
        socket.immediate = True
        socket.curve_serverkey = server_key.encode()
        socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.linger = 0
        socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 2000
        socket.connect(address)
        run = f"sim-{name}-{public[:8]!r}"
        agents.append(
            kind(
                name, socket, session_key, plan.org, run, refuses=name in plan.refusing,
                keeps_results=extensions.RESULTS in plan.extensions.split(","),
                interval=plan.interval, quiet_interval=quiet_interval,
            )
        )  # fmt: skip
        if plan.old and plan.fetch:
            heartbeats = config["push_jobs"]["heartbeat"]["out_addr"]
            agents[-1].listening = listen(context, heartbeats)
    return agents


def listen(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> "zmq.Socket[bytes]":
    """A subscriber that nobody reads: what comes is received and then thrown away."""
    socket = context.socket(zmq.SUB)
    socket.linger, socket.rcvhwm = 0, 1
    socket.subscribe(b"")
    socket.connect(address)
    return socket


def fetch(
    session: requests.Session, plan: Plan, key: RSAPrivateKey, name: str, public: str
) -> dict[str, Any]:
    """A configuration from a real server."""
    path = f"/organizations/{plan.org}/pushy/config/{name}"
    headers = signing.sign(
        key, method="GET", path=path, body=b"", user=name, timestamp=format_iso8601(time.time())
    )
    response = session.get(
        plan.url + path,
        params={"ccpk": public, "version": "2.0", **_offered(plan)},
        headers=headers,
        timeout=30,
    )
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def _offered(plan: Plan) -> dict[str, str]:
    return {"extensions": plan.extensions} if plan.extensions else {}


@contextmanager
def simulating(*plans: Plan) -> Iterator[None]:
    """A process for each plan, for this time."""
    with ExitStack() as ended:
        for plan in plans:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.simulated"],
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

    def __init__(self, agents: Sequence[Agent], interval: float) -> None:
        self._agents = agents
        self._by_fd = {int(agent.socket.getsockopt(zmq.FD)): agent for agent in agents}
        self._epoll = select.epoll()
        for fd in self._by_fd:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        now, step = time.monotonic(), interval / max(1, len(agents))
        for number, agent in enumerate(agents):
            agent.beat_at = now + number * step
        self._beats = [(agent.beat_at, number) for number, agent in enumerate(agents)]
        self._numbers = {agent.name: number for number, agent in enumerate(agents)}
        self._running: list[Agent] = []
        self._ends_at = 0.0

    def run(self) -> None:
        """Until the process ends."""
        for agent in self._agents:
            self._read(agent)
        while True:
            for fd, _ in self._epoll.poll(
                min(0.05, max(0.001, self._beats[0][0] - time.monotonic()))
            ):
                self._read(self._by_fd[fd])
            if self._running and self._ends_at <= time.time():
                self._end_commands()
            self._beat()

    def _read(self, agent: Agent) -> None:
        # To ask for the events may swallow an edge, too.
        while (events := int(agent.socket.getsockopt(zmq.EVENTS))) & zmq.POLLIN:
            _, body = agent.socket.recv_multipart(zmq.NOBLOCK)
            was = agent.job_state
            agent.receive(body)
            if not agent.is_idle and agent.beat_at > (now := time.monotonic()) + agent.interval:
                self._schedule(agent, now)
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
        while self._beats[0][0] <= now:
            due, number = heapq.heappop(self._beats)
            agent = self._agents[number]
            # Another one stands there too if it was busy meanwhile.
            if agent.beat_at == due:
                agent.heartbeat()
                self._schedule(agent, due)
                self._read(agent)

    def _schedule(self, agent: Agent, now: float) -> None:
        agent.beat_at = now + (agent.quiet_interval if agent.is_idle else agent.interval)
        heapq.heappush(self._beats, (agent.beat_at, self._numbers[agent.name]))

    def _end_commands(self) -> None:
        """Commands that were to end at a time of day end all at once."""
        ended, self._running = self._running, []
        for agent in ended:
            if agent.job_state == "running":
                agent.finish()
                self._read(agent)


def run(plan: Plan, kind: type[Agent] = Agent) -> None:
    """Simulate until the parent kills us."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    context.max_sockets = 65_000
    agents = connect(plan, context, kind)
    print("connected", flush=True)
    Simulation(agents, plan.interval).run()


if __name__ == "__main__":
    run(msgspec.convert(json.loads(sys.stdin.readline()), Plan))
