"""The limits that docs/api.md names are those that are kept."""

from pathlib import Path

from pushcli.protocol import limits
from pushcli_server import descriptors
from pushcli_server.rest import app, connections, request, turns
from pushcli_server.rest.http_protocol import BoundedHttp
from pushcli_server.store import store

PAGE = (Path(__file__).parents[3] / "docs/api.md").read_text("utf-8")
TABLE = PAGE.partition("## Limits")[2].partition("\n\n## ")[0]


def test_the_table_of_limits() -> None:
    for text in (
        f"{BoundedHttp.max_head:,} bytes, {BoundedHttp.max_headers} headers (431), within "
        f"{BoundedHttp.head_timeout:g} s",
        f"{limits.MAX_REQUEST:,} bytes (413), within {request.BODY_TIMEOUT:g} s",
        f"{limits.MAX_RUN:,} bytes of JSON",
        f"{app.BODIES_EACH >> 20} MiB of one requestor, {app.BODIES >> 20} MiB of all; what is "
        f"beyond waits for {turns.WAIT:g} s",
        f"{BoundedHttp.read_timeout:g} s without progress",
        f"{descriptors.MAX_REST:,}, or one for {descriptors.REST_SHARE} descriptors of the process"
        f", but {descriptors.REST_KEPT} at least",
        f"nothing for {connections.STAY:g} s",
        f"{store.SEARCH_TIME:g} s of the database's time (400 or 503)",
        f"{turns.MAX_WAITING} may wait",
        f"{store.LIST_TIME:g} s of the database's time for each part",
    ):
        assert text in TABLE, text
