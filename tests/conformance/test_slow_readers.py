"""A reader of a feed that does not read is cut off; memory does not grow for it."""

import http.client
import socket
import time
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import ADMIN, ORG, Sandbox
from pushcli_server.rest.feeds import SLOW

pytestmark = pytest.mark.timeout(90)
LARGE = {"command": "x" * 240_000, "nodes": ["nosuch"]}


def test_a_reader_that_does_not_read_is_cut_off(server: Sandbox) -> None:
    path = f"/organizations/{ORG}/pushy/job_status_feed"
    headers = signing.sign(
        keys.load_private_key(Path(server.profile.client_key)),
        method="GET", path=path, body=b"", user=ADMIN, timestamp=format_iso8601(time.time()),
    )  # fmt: skip
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Accept: text/event-stream"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", server.ports[0]))
        reader.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        response = http.client.HTTPResponse(reader)
        response.begin()
        assert response.status == 200
        # More than the kernel holds for it.
        for _ in range(45):
            server.api.start_job(LARGE)
        # Nothing tells a reader that does not read: only time does.
        time.sleep(SLOW + 3)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
        response.close()
    assert server.api.node_states() is not None
