"""A fleet whose operators and nodes come through a proxy, and what must hold behind each."""

import http.client
import json
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli.exit_status import ExitStatus
from pushcli.protocol import limits, signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import ADMIN, ORG
from tests.support.beside_chef import BesideChef
from tests.support.chef_server import ChefServer
from tests.support.proxies import Certificate
from tests.support.raw_http import Answer, Raw
from tests.support.waiting import job_is, patient, until

NODE = "n1"
CLIENT = "127.0.0.2"
"""Of somebody who is not the proxy."""
_WAIT = {
    "command_line": 'echo first; while [ ! -e "$MARK" ]; do sleep 0.05; done; echo last',
    "env": ["MARK"],
}
WHITELIST = {"true": "true", "wait": _WAIT, "sleep": "echo begun; sleep 600"}
READERS = 120
PATHS = [
    f"pushy/node_states/{NODE}", f"pushy//node_states///{NODE}",
    f"//organizations//{ORG}//pushy/jobs",
    "pushy/node_states/n%31", "pushy/node_states/a%2Fb", "pushy/node_states/a%20b",
    "pushy/node_states/%C3%A9", "pushy/node_states/%e4", f"pushy/node_states/{NODE}/",
    "pushy/jobs/%2e%2e/x", "pushy/node_states/a+b", "pushy/node_states/a%25b",
]  # fmt: skip


class BehindProxy(BesideChef):
    """Server, command line and agents have one URL, at which there is Chef, too.

    Args:
        port: where the proxy listens, with TLS.
    """

    whitelist = WHITELIST

    def __init__(
        self, directory: Path, chef: ChefServer, superuser_key: RSAPrivateKey, *, port: int,
        certificate: Certificate, **settings: Any,
    ) -> None:  # fmt: skip
        self.port = port
        there = {
            "chef_server_url": f"https://127.0.0.1:{port}",
            "chef_fingerprint": certificate.fingerprint,
        }
        settings = {**there, **settings}
        super().__init__(directory, chef, superuser_key, **settings)
        self.trust = {"fingerprint": certificate.fingerprint}

    @property
    def url(self) -> str:
        """The proxy's."""
        return f"https://127.0.0.1:{self.port}/organizations/{ORG}"

    @property
    def raw(self) -> Raw:
        """Requests through the proxy, from another address than its own."""
        raw = Raw(self)
        raw.port, raw.source = self.port, CLIENT
        raw.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        raw.context.check_hostname, raw.context.verify_mode = False, ssl.CERT_NONE
        return raw

    def start(self) -> None:
        """With a node."""
        super().start()
        self.enroll([NODE])
        self.start_agent(NODE)
        self.wait_available([NODE])


def check_paths(fleet: BehindProxy, version: str) -> None:
    """What is asked for gets the answer that it gets without a proxy."""
    answers = [_both(fleet, path, version) for path in PATHS]
    assert answers[0][0].status == 200
    assert [through for through, _ in answers] == [direct for _, direct in answers]
    assert {through.status for through, _ in answers} == {200, 404}


def _both(fleet: BehindProxy, path: str, version: str) -> tuple[Answer, Answer]:
    through = fleet.raw(path=path, version=version)
    direct = Raw(fleet)(path=path, version=version)
    return _told(through), _told(direct)


def _told(answer: Answer) -> Answer:
    return Answer(answer.status, {}, answer.body)


def check_uri(fleet: BehindProxy) -> None:
    """The address of a job leads there, and the change has the client's address."""
    body = {"command": "true", "nodes": [NODE]}
    spoofs: list[dict[str, Any]] = [
        {},
        {"X_Forwarded_For": "6.6.6.6", "X_Forwarded_Proto": "http"},
    ]
    for spoofed in spoofs:
        answer = fleet.raw("POST", body=body, **spoofed)
        assert answer.status == 201, answer
        uri = answer.json["uri"]
        assert uri.startswith(f"{fleet.url}/pushy/jobs/")
        assert answer.headers["location"] == uri
        shown = fleet.raw(path=uri.removeprefix(f"https://127.0.0.1:{fleet.port}"))
        assert shown.status == 200
        job_is(fleet, shown.json["id"], "complete")
        assert _last_change(fleet) == {"target": shown.json["id"], "origin": CLIENT}


def _last_change(fleet: BehindProxy) -> dict[str, str]:
    """As the command line tells it, through the proxy."""
    done = fleet.cli("audit", "--limit", "1", "-F", "json")
    assert done.returncode == ExitStatus.OK, done.stderr
    [record] = json.loads(done.stdout)["records"]
    return {name: record[name] for name in ("target", "origin")}


def check_live_output(fleet: BehindProxy, mark: Path) -> None:
    """A line is there while its command runs, by the feeds of output and of states."""
    mark.unlink(missing_ok=True)
    arguments = ("job", "start", "wait", NODE, "--env", f"MARK={mark}", "--follow")
    with _begun(fleet, *arguments) as (process, job_id):
        assert _line(process) == f"{NODE} | first"
        names: list[str] = []
        for events in fleet.api.job_feed(job_id):
            names += [event.name for event in events]
            if "run_start" in names:
                break
        assert not mark.exists()
        mark.touch()
        out, notes = process.communicate(timeout=patient(20))
    assert process.returncode == ExitStatus.OK, notes
    assert out.splitlines()[0] == f"{NODE} | last"


def check_abort(fleet: BehindProxy) -> None:
    """Ctrl-C ends the job where that was asked for."""
    policy = ("--on-interrupt", "abort")
    with _begun(fleet, "job", "start", "sleep", NODE, "--follow", *policy) as (process, job_id):
        assert _line(process) == f"{NODE} | begun"
        process.send_signal(signal.SIGINT)
        _, notes = process.communicate(timeout=patient(20))
    assert process.returncode == ExitStatus.ABORTED, notes
    job_is(fleet, job_id, "aborted")


def check_many_readers(fleet: BehindProxy) -> None:
    """Who comes through the proxy is not one client who has too much."""
    path = f"/organizations/{ORG}/pushy/job_status_feed"
    raw = fleet.raw
    with ExitStack() as stack:
        for _ in range(READERS):
            connection = stack.enter_context(raw.connected())
            signed = signing.sign(
                raw.key, method="GET", path=path, body=b"", user=ADMIN,
                timestamp=format_iso8601(time.time()),
            )  # fmt: skip
            headers = {**signed, "Host": f"127.0.0.1:{fleet.port}", "Accept": "text/event-stream"}
            lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
            connection.sendall("\r\n".join(lines).encode())
        until(lambda: _readers(fleet) >= READERS, "all of them read")
        done = fleet.cli("node", "status")
        assert done.returncode == ExitStatus.OK, done.stderr


def _readers(fleet: BehindProxy) -> int:
    # The proxy's own address sees no measurements.
    raw = Raw(fleet)
    raw.source = CLIENT
    text = raw(path="/metrics").body.decode()
    found = re.search(r'^pushcli_connections{port="rest"} ([0-9.]+)', text, re.MULTILINE)
    assert found is not None, text
    return int(float(found[1]))


def check_kept_connections(fleet: BehindProxy) -> None:
    """One connection carries many requests."""
    raw = fleet.raw
    path = f"/organizations/{ORG}/pushy/jobs"
    connection = http.client.HTTPSConnection(
        "127.0.0.1", fleet.port, timeout=patient(10), context=raw.context
    )
    connection.connect()
    first = connection.sock
    for _ in range(50):
        signed = signing.sign(
            raw.key, method="GET", path=path, body=b"", user=ADMIN,
            timestamp=format_iso8601(time.time()),
        )  # fmt: skip
        connection.request("GET", path, headers={**signed, "Accept": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, connection.sock) == (200, first), answer.read()
        json.loads(answer.read())
    connection.close()


def check_sizes(fleet: BehindProxy) -> None:
    """Long names and large bodies get the server's own answers."""
    long = ",".join(f"node-{i:>0200}" for i in range(100))
    query = f"?nodes={long}"
    path = f"pushy/jobs/{'0' * 32}/output_feed"
    answer = fleet.raw(path=path, query=query, Accept="text/event-stream")
    assert answer.error == ["no output was captured"]
    for size, status in ((limits.MAX_REQUEST - 1000, 400), (limits.MAX_REQUEST + 1000, 413)):
        body = json.dumps({"command": "true", "nodes": "x" * size}).encode()
        answer = fleet.raw("POST", body=body)
        assert (answer.status, "error" in answer.json) == (status, True)


@contextmanager
def _begun(fleet: BehindProxy, *arguments: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """A command that starts a job, and the job's id; it is ended if that takes too long."""
    process = subprocess.Popen(
        fleet.command(*arguments), env=fleet.environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    # Lines are waited for without a limit, and come to an end with the process.
    limit = threading.Timer(patient(20), process.kill)
    limit.start()
    try:
        yield process, _line(process).rpartition(" ")[2]
    finally:
        limit.cancel()
        process.kill()
        process.communicate()


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.communicate(timeout=patient(10))
    return line


def refused(fleet: BehindProxy, *arguments: str) -> tuple[int, str]:
    """Exit status and the line that a command of the command line ends with."""
    done = fleet.cli(*arguments)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def wait_for_log(fleet: BehindProxy, text: str) -> int:
    """How often the server's log has it, once it does."""
    return until(lambda: fleet.log("server").read_text().count(text), f"the log has {text!r}")
