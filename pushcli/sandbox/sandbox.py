"""A throw-away server with agents, as real processes on loopback.

`pushcli sandbox` shows it to people; the end-to-end tests and benchmarks use the same
code for their fleets.
"""

import contextlib
import errno
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from pushcli.client.credentials import Profile, load_profile
from pushcli.errors import StartError
from pushcli.protocol.names import by_number
from pushcli.terminal.folding import fold
from pushcli.whitelist import toml_text

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

ORG = "sandbox"
ADMIN = "operator"
PATIENCE = 60.0
"""Seconds in which a process must be ready; a small machine starts 50 agents in 20."""
_TICK = 0.02
_LONGEST_TICK = 0.1
_PORTS = range(15_000, 32_000)
"""Below those that systems give to outgoing connections, which could take one meanwhile."""
_STOP = 8.0
"""Seconds for a process to end by itself: a supervisor may need 5 s to end its command."""


class Sandbox:
    """One server and its agents below a directory of their own.

    Args:
        directory: empty or new; everything lies in it, also the log of each process.
        nodes: their names.
        whitelist: of every node; names and values of its entries.
        settings: for `server.toml`, beside the ports.
        agent_settings: for `agent.toml`, as TOML lines.
    """

    def __init__(
        self,
        directory: Path,
        nodes: Sequence[str],
        *,
        whitelist: Mapping[str, Any] | None = None,
        settings: Mapping[str, object] | None = None,
        agent_settings: str = "",
        with_tls: bool = False,
    ) -> None:
        self.directory = directory
        self.nodes = list(nodes)
        self.ports = free_ports(3)
        self._whitelist = dict(whitelist or {})
        self._settings = dict(settings or {})
        self._agent_settings = agent_settings
        self._with_tls = with_tls
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._began: dict[str, int] = {}
        """Where in its log what a process says begins."""
        self._client: ApiClient | None = None

    # --- the whole of it

    def start(self) -> None:
        """Make and start everything; returns when all nodes are available.

        Raises:
            StartError: a process did not start; the text has what it said.
        """
        self.make_server()
        self.start_server()
        self.enroll(self.nodes)
        for node in self.nodes:
            self.start_agent(node)
        self.wait_available(self.nodes)

    def stop(self) -> None:
        """End everything that was started here, commands of jobs included."""
        if self._client is not None:
            self._client.close()
            self._client = None
        try:
            self._end_started()
        finally:
            end_all(self.directory)

    def _end_started(self) -> None:
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        for process in self._processes.values():
            _end(process)
        self._processes.clear()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- the server

    @property
    def server_directory(self) -> Path:
        """Its `server.toml`, database, keys."""
        return self.directory / "server"

    @property
    def superuser_key(self) -> Path:
        """The private key of `pivotal`, who may do all that the operator may not."""
        return self.server_directory / "keys" / "pivotal.pem"

    @property
    def credentials(self) -> Path:
        """The operator's profile, named `sandbox`."""
        return self.directory / "home" / ".pushcli" / "credentials"

    @property
    def url(self) -> str:
        """The server's URL with its organization."""
        return self._url(self.ports)

    @property
    def urls(self) -> list[str]:
        """What agents are told of where servers are."""
        return [self.url]

    def _url(self, ports: Sequence[int]) -> str:
        scheme = "https" if self._with_tls else "http"
        return f"{scheme}://127.0.0.1:{ports[0]}/organizations/{ORG}"

    def make_server(self) -> None:
        """`pushcli server init`."""
        tls = ["--tls"] if self._with_tls else []
        self._check(
            [
                "server",
                "init",
                "--dir",
                str(self.server_directory),
                "--org",
                ORG,
                "--admin",
                ADMIN,
                "--profile",
                "sandbox",
                *tls,
                *(f"--set={value}" for value in self.values()),
            ]
        )

    def values(self) -> list[str]:
        """What is set in `server.toml`, each as NAME=VALUE."""
        return self._values(self.ports)

    def _values(self, ports: Sequence[int]) -> list[str]:
        api, commands, heartbeats = ports
        settings = {
            "api_port": api,
            "command_port": commands,
            "server_heartbeat_port": heartbeats,
            "zeromq_listen_address": "tcp://127.0.0.1",
            **self._settings,
        }
        return [f"{name}={_text(value)}" for name, value in settings.items()]

    def start_server(self) -> None:
        """`pushcli server start`; returns when it is ready."""
        self._start_server("server", self.server_directory, says=b" ready, ")

    def _start_server(self, name: str, directory: Path, *options: str, says: bytes) -> None:
        """Start one; returns when it says this."""
        self._spawn(name, ["server", "start", "--dir", str(directory), *options])
        deadline = time.monotonic() + PATIENCE
        while says not in self._logged(name):
            self._require_alive(name, deadline)
            time.sleep(_TICK)

    def _logged(self, name: str) -> bytes:
        """What a process has written to its log."""
        with self.log(name).open("rb") as log:
            log.seek(self._began[name])
            return log.read()

    def end_server(self, number: int = signal.SIGTERM) -> int:
        """Signal the server and wait for its end; returns its exit status."""
        return self._end("server", number)

    # --- agents

    def agent_directory(self, node: str) -> Path:
        """Its `agent.toml`, key and spool."""
        return self.directory / "agents" / node.replace(":", "_")

    def enroll(self, nodes: Iterable[str]) -> None:
        """`pushcli agent enroll` for each, some at a time."""
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            try:
                for done in [pool.submit(self._enroll, node) for node in nodes]:
                    done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def start_agent(self, node: str) -> None:
        """`pushcli agent start`; returns at once."""
        config = str(self.agent_directory(node) / "agent.toml")
        self._spawn(node, ["agent", "start", "-c", config])

    def end_agent(self, node: str, number: int = signal.SIGTERM) -> int:
        """Signal an agent and wait for its end; returns its exit status."""
        return self._end(node, number)

    def pid(self, name: str) -> int:
        """The process of a node's agent, or of `server`."""
        return self._processes[name].pid

    def wait_available(
        self, nodes: Iterable[str], *, available: bool = True, patience: float = PATIENCE
    ) -> None:
        """Wait until these nodes may be asked to run jobs, or may not; so many seconds at most."""
        wanted = set(nodes)
        begun = time.monotonic()
        deadline = begun + patience
        while wanted:
            states = self.api.node_states()
            are = {s["node_name"] for s in states if s["availability"] == "available"}
            wanted = wanted - are if available else wanted & are
            if wanted:
                self._require_time(deadline, wanted)
                # To ask takes the time of those that are starting.
                time.sleep(min(max(_TICK, (time.monotonic() - begun) / 10), _LONGEST_TICK))

    # --- the operator

    @property
    def api(self) -> "ApiClient":
        """A client that signs as the operator."""
        if self._client is None:
            from pushcli.client.api import ApiClient  # noqa: PLC0415 - slow to import

            self._client = ApiClient(self.profile)
        return self._client

    @property
    def profile(self) -> Profile:
        """The operator's profile."""
        return load_profile("sandbox", {}, config=self.credentials)

    @property
    def environment(self) -> dict[str, str]:
        """For processes of this fleet: its own home, and nothing of the caller's profiles."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUSHCLI_", "CHEF_"))}
        return {**kept, "HOME": str(self.directory / "home"), "PUSHCLI_PROFILE": "sandbox"}

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs pushcli with these arguments."""
        return [sys.executable, "-m", "pushcli", *arguments]

    def cli(self, *arguments: str, timeout: float = PATIENCE) -> "subprocess.CompletedProcess[str]":
        """Run pushcli as the operator, to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def log(self, name: str) -> Path:
        """What a node's agent, or `server`, wrote to standard error."""
        return self.directory / "log" / f"{name.replace(':', '_')}.log"

    # --- processes

    def _enroll(self, node: str) -> None:
        self.enroll_node(node)
        self.write_agent_settings(node, self._whitelist)

    def enroll_node(self, node: str) -> None:
        """`pushcli agent enroll`."""
        directory = self.agent_directory(node)
        validator = self.server_directory / "keys" / f"{ORG}-validator.pem"
        profile = self.profile
        pin = ["--fingerprint", profile.fingerprint] if profile.fingerprint else []
        self._check(
            [
                "agent",
                "enroll",
                *(f"--server={url}" for url in self.urls),
                "--validator",
                str(validator),
                "--node-name",
                node,
                "--dir",
                str(directory),
                *pin,
            ]
        )

    def write_agent_settings(self, node: str, whitelist: Mapping[str, Any]) -> None:
        """Put a whitelist, and this fleet's settings, into a node's `agent.toml`."""
        file = self.agent_directory(node) / "agent.toml"
        enrolled = file.with_suffix(".enrolled")
        if not enrolled.exists():
            enrolled.write_bytes(file.read_bytes())
        head = enrolled.read_text().partition("[whitelist]")[0]
        jobs = self.agent_directory(node) / "files"
        lines = [toml_text.pair(name, value) for name, value in whitelist.items()]
        fresh = file.with_suffix(".new")
        fresh.write_text(
            f"{head}\nfile_dir = {_text(str(jobs))}\n{self._agent_settings}\n[whitelist]\n"
            + "\n".join(lines)
            + "\n"
        )
        fresh.replace(file)

    def _check(self, arguments: list[str]) -> None:
        (self.directory / "home").mkdir(parents=True, exist_ok=True)
        done = self.cli(*arguments)
        if done.returncode:
            raise StartError(f"pushcli {arguments[0]} {arguments[1]} failed: {done.stderr.strip()}")

    def _spawn(self, name: str, arguments: list[str]) -> None:
        log = self.log(name)
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as stderr:
            self._began[name] = stderr.tell()
            self._processes[name] = subprocess.Popen(
                self.command(*arguments),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                # Ctrl-C in the terminal is for us: we take them down in order.
                start_new_session=True,
            )

    def _end(self, name: str, number: int) -> int:
        process = self._processes.pop(name)
        _signal(process, number)
        return process.wait(PATIENCE)

    def _require_alive(self, name: str, deadline: float = math.inf) -> None:
        process = self._processes[name]
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartError(f"{name} did not start: {self._last_words(name)}")

    def _require_time(self, deadline: float, nodes: set[str]) -> None:
        for node in nodes & self._processes.keys():
            self._require_alive(node)
        if time.monotonic() > deadline:
            first = min(nodes, key=by_number)
            # The directory with the logs may not be there any more when this is read.
            last = f"{first} wrote last: {self._last_words(first)}"
            raise StartError(f"not ready in time: {fold(nodes)}", last)

    def _last_words(self, name: str) -> str:
        log = self.log(name)
        text = log.read_text(errors="replace") if log.exists() else ""
        return text.strip().rpartition("\n")[2] or "nothing"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, and that no outgoing connection is given."""
    with contextlib.ExitStack() as stack:
        ports: set[int] = set()
        while len(ports) < count:
            port = random.choice(_PORTS)  # noqa: S311
            try:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                ports.add(port)
        return list(ports)


def end_all(directory: Path) -> None:
    """End all of ours whose command line names this directory: supervisors, strays, a database."""
    deadline = time.monotonic() + _STOP
    while found := _processes_of(directory):
        is_late = time.monotonic() > deadline
        for pid, is_database in found:
            # A database that is asked by SIGTERM waits for whoever is connected.
            gentle = signal.SIGINT if is_database else signal.SIGTERM
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if is_late else gentle)
        if is_late and time.monotonic() > deadline + _STOP:
            return
        time.sleep(_TICK)


def _processes_of(directory: Path) -> list[tuple[int, bool]]:
    """Their numbers, and of each whether it is PostgreSQL."""
    # Only what our interpreter runs, and PostgreSQL: an operator's `tail -f` on a log is not ours.
    name, python = os.fsencode(f"{directory}/"), os.fsencode(sys.executable)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                program = command.partition(b"\0")[0]
                is_database = program.endswith((b"/postgres", b"/initdb"))
                if (is_database or program == python) and name in command:
                    found.append((int(entry.name), is_database))
    return found


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _text(value: object) -> str:
    # JSON's scalars and lists are TOML's.
    return msgspec.json.encode(value).decode()
