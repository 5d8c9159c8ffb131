"""What the live display costs an operator's machine: `pushcli job watch` on a pseudo-terminal, fed
with the events of a large job at a steady pace by a server that this plays.

usage: python -m tests.bench.display [NODES [SECONDS]]
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pexpect  # type: ignore[import-untyped]

from pushcli import keys
from pushcli.protocol.headers import EXTENSIONS
from tests.bench.machine import cpu_seconds, describe
from tests.support.memory import rss_mib

JOB = "8f593bb9ad3e4c1f8a60d2b7c9e4f015"
VOTE = 0.3
"""The vote's part of the time."""
BURST = 0.1
"""Seconds between two writes of the feed."""
FAILING = 50
"""Every so many-th node fails."""


class Script:
    """The job's events, and how it stands meanwhile."""

    def __init__(self, count: int, seconds: float) -> None:
        self.nodes = [f"web{number:05d}" for number in range(count)]
        self.seconds = seconds
        self.failed: list[str] = []
        self.is_over = False
        self.sent = 0

    def bursts(self) -> Iterator[bytes]:
        """What the feed says at a time, a `BURST` apart from the next."""
        events = [("start", {"command": "true", "run_timeout": 3600, "quorum": 1})]
        events += [("quorum_vote", {"node": n, "status": "success"}) for n in self.nodes]
        yield from self._spread(events, self.seconds * VOTE)
        events = [("quorum_succeeded", {})]
        events += [("run_start", {"node": name}) for name in self.nodes]
        yield self._said(events)
        events = []
        for number, name in enumerate(self.nodes):
            status = "failure" if number % FAILING == 0 else "success"
            events.append(("run_complete", {"node": name, "status": status}))
        yield from self._spread(events, self.seconds * (1 - VOTE))
        self.is_over = True
        yield self._said([("job_complete", {"status": "complete"})])

    def job(self) -> dict[str, object]:
        """`GET jobs/ID`."""
        bad = set(self.nodes[::FAILING])
        good = [name for name in self.nodes if name not in bad]
        ended = {"succeeded": good, "failed": sorted(bad)}
        return {
            "id": JOB, "command": "true", "status": "complete" if self.is_over else "voting",
            "created_at": "Thu, 10 Jul 2014 05:00:00 GMT",
            "updated_at": "Thu, 10 Jul 2014 05:00:00 GMT", "run_timeout": 3600,
            "nodes": ended if self.is_over else {"new": self.nodes},
        }  # fmt: skip

    def troubled(self) -> list[dict[str, object]]:
        """`GET jobs/ID/nodes?troubled=true`."""
        return [{"node": name, "state": "failed", "exit_code": 1} for name in self.failed[:500]]

    def _spread(self, events: list[tuple[str, dict[str, object]]], over: float) -> Iterator[bytes]:
        a_time = max(1, round(len(events) * BURST / over))
        for at in range(0, len(events), a_time):
            yield self._said(events[at : at + a_time])

    def _said(self, events: list[tuple[str, dict[str, object]]]) -> bytes:
        now = datetime.now(UTC).isoformat(" ").replace("+00:00", "Z")
        lines = []
        for name, data in events:
            self.sent += 1
            if data.get("status") == "failure":
                self.failed.append(str(data["node"]))
            told = json.dumps({"timestamp": now, **data})
            lines.append(f"event: {name}\nid: {JOB}-{self.sent}\ndata: {told}\n\n")
        return "".join(lines).encode()


class Handler(BaseHTTPRequestHandler):
    """The few questions that `job watch` asks."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[Script]

    def do_GET(self) -> None:
        """By the path."""
        if self.path.endswith("/feed") or "/job_status_feed/" in self.path:
            self._feed()
        elif "troubled" in self.path:
            self._json(self.script.troubled())
        elif self.path.endswith(f"/jobs/{JOB}"):
            self._json(self.script.job())
        else:
            self._json([{"node": name, "state": "succeeded"} for name in self.script.nodes])

    def _feed(self) -> None:
        self._head("text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        due = time.monotonic()
        for burst in self.script.bursts():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(burst), burst))
            due += BURST
            time.sleep(max(0.0, due - time.monotonic()))
        self.wfile.write(b"0\r\n\r\n")

    def _json(self, data: object) -> None:
        body = json.dumps(data).encode()
        self._head("application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _head(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header(EXTENSIONS, "own-jobs, job-nodes, troubled-nodes")

    def log_message(self, *_: object) -> None:
        """Silent."""


def measure(count: int, seconds: float) -> None:
    """Print what the display took of a core, and its memory as the job went on."""
    Handler.script = script = Script(count, seconds)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        _write_profile(Path(directory), server.server_port)
        child = pexpect.spawn(
            sys.executable, ["-m", "pushcli", "job", "watch", JOB], dimensions=(40, 120),
            env={**os.environ, "HOME": directory, "TERM": "xterm-256color"}, timeout=seconds + 60,
        )  # fmt: skip
        try:
            _report(child, script)
        finally:
            child.close(force=True)
            server.shutdown()


def _write_profile(home: Path, port: int) -> None:
    key = home / "admin.pem"
    keys.write_private_key(key, keys.generate())
    file = home / ".pushcli" / "credentials"
    file.parent.mkdir(mode=0o700)
    file.touch(0o600)
    url = f"http://127.0.0.1:{port}/organizations/acme"
    file.write_text(
        f'[default]\nclient_name = "admin"\nclient_key = "{key}"\nchef_server_url = "{url}"\n'
    )


def _report(child: "pexpect.spawn[bytes]", script: Script) -> None:
    child.expect_exact(b"Voting")
    began, cpu, first = time.monotonic(), cpu_seconds(child.pid), rss_mib(child.pid)
    memory, written = [first], 0
    while not script.is_over:
        written += len(child.read_nonblocking(1 << 20, timeout=5))
        memory.append(rss_mib(child.pid))
        time.sleep(0.05)
    lasted, cpu = time.monotonic() - began, cpu_seconds(child.pid) - cpu
    over = time.monotonic()
    child.expect(pexpect.EOF)
    print(f"{len(script.nodes):,} nodes, {script.sent:,} events in {lasted:.0f} s on {describe()}")
    print(f"the display: {100 * cpu / lasted:.0f} % of a core ({cpu:.2f} s)   aim 20 %")
    middle, end = memory[len(memory) // 2], memory[-1]
    print(f"memory: {first:.0f} MiB at first, {middle:.0f} half-way, {end:.0f} at the end")
    print(f"written to the terminal: {written / lasted / 1024:.1f} KiB/s")
    print(f"from the job's end to the command's: {time.monotonic() - over:.2f} s")


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:]]
    nodes, lasting = given + [10_000, 30][len(given) :]
    measure(int(nodes), lasting)
