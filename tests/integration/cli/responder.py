"""A scripted HTTP server, for what our own cannot be brought to say.

It stands for a hostile or a broken server, for an old Push Jobs server (`old`), and for a job
that takes, between two requests, exactly the course whose display is looked at.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.waiting import patient

EXTENSIONS = {"X-Pushcli-Extensions": "abort,job-nodes,request-id"}
JOB_ID = "aaaaaaaaaaaa25fd67fa8715fd547d3d"
PUSHY = "/organizations/acme/pushy"


@dataclass(frozen=True)
class Answer:
    """What the server says to one request, `until` somebody lets it: not before."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    until: threading.Event | None = None


def json_answer(value: object, status: int = 200, *, old: bool = False) -> Answer:
    """As our server says it; `old`: without the header that tells of extensions."""
    return Answer(status, json.dumps(value).encode(), headers={} if old else EXTENSIONS)


def job(status: str, **fields: object) -> dict[str, object]:
    """A job as `GET jobs/ID` gives it."""
    return {
        "id": JOB_ID, "command": "uptime", "status": status, "run_timeout": 3600,
        "created_at": "Tue, 04 Sep 2012 23:01:02 GMT",
        "updated_at": "Tue, 04 Sep 2012 23:17:56 GMT", "nodes": {}, **fields,
    }  # fmt: skip


def _whole(path: str) -> str:
    return f"/organizations/acme{path}" if path.startswith("/") else f"{PUSHY}/{path}"


class Responder:
    """Answers below `/organizations/acme/pushy`; everything else is 404."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, str, bytes]] = []
        self._changed = threading.Condition()
        self._answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)

    def say(self, method: str, path: str, *answers: Answer) -> None:
        """These answers one after the other; the last one again and again.

        Args:
            path: below `pushy/`; one that begins with `/` is below the organization.
        """
        self._answers[method, _whole(path)] = list(answers)

    def accept_job(self, *snapshots: dict[str, object], old: bool = False) -> None:
        """A POST starts a job that GET shows in these snapshots; the last one stays."""
        uri = f"{self.url}/pushy/jobs/{JOB_ID}"
        self.say("POST", "jobs", json_answer({"uri": uri}, 201, old=old))
        self.say("GET", f"jobs/{JOB_ID}", *(json_answer(s, old=old) for s in snapshots))

    def next_answer(self, method: str, path: str, body: bytes) -> Answer:
        """Takes note of the request and gives the answer that is due."""
        with self._changed:
            self.requests.append((method, path, body))
            self._changed.notify_all()
            answers = self._answers.get((method, path.partition("?")[0]), [])
            if not answers:
                return Answer(404, b'{"error": ["not found"]}')
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def count(self, method: str, path: str) -> int:
        """How many such requests came."""
        wanted = f"{PUSHY}/{path}"
        return sum(m == method and p.partition("?")[0] == wanted for m, p, _ in self.requests)

    def wait_for(self, method: str, path: str, count: int = 1, timeout: float = 10) -> None:
        """Until so many such requests have come."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: self.count(method, path) >= count, patient(timeout)
            )
            assert done, f"no {method} {path} came, but {self.requests}"


@contextmanager
def running_responder() -> Iterator[Responder]:
    """A responder on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = responder.next_answer(self.command, self.path, body)
            if answer.until is not None:
                answer.until.wait()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    responder = Responder(f"http://127.0.0.1:{server.server_port}/organizations/acme")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield responder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
