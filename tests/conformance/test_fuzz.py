"""Whatever comes in over REST, there is no 500, and the server lives."""

import json
import re
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushcli.sandbox.sandbox import Sandbox
from tests.conformance.json_values import values
from tests.support.raw_http import Raw

pytestmark = pytest.mark.timeout(90)
bounded = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def raw(server: Sandbox) -> Raw:
    return Raw(server)


job_keys = st.sampled_from(
    ["command", "nodes", "run_timeout", "quorum", "user", "dir", "env", "file", "capture_output"]
)
likely: dict[str, st.SearchStrategy[Any]] = {
    "command": st.text(max_size=20),
    "nodes": st.lists(st.text(max_size=300), min_size=1, max_size=3),
}
bodies = st.one_of(
    st.binary(max_size=300),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(likely, optional={}).flatmap(
        lambda good: st.dictionaries(job_keys | st.text(max_size=5), values, max_size=4).map(
            lambda more: json.dumps({**good, **more}).encode()
        )
    ),
)
header_text = st.text(string.printable.replace("\r", "").replace("\n", ""), max_size=80)
paths = st.text("/abcjobsnodepushy_.%0123456789:~?&=", max_size=60).map("/organizations/".__add__)


@bounded
@given(body=bodies)
def test_bodies(raw: Raw, body: bytes) -> None:
    answer = raw("POST", body=body or b" ")
    assert answer.status in {201, 400}, answer
    assert raw("POST", "clients", body or b" ").status in {201, 400, 409}


@bounded
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["X-Ops-Sign", "X-Ops-Userid", "X-Ops-Timestamp", "X-Ops-Content-Hash",
             "X-Ops-Authorization-1", "X-Ops-Server-API-Version", "Accept", "Content-Type",
             "Host", "X-Forwarded-Proto", "X-Pushcli-Request-Id", "Last-Event-ID"]
        ),
        header_text,
    )
)  # fmt: skip
def test_headers(raw: Raw, headers: dict[str, Any]) -> None:
    answer = raw("POST", body={"command": "x", "nodes": ["a"]}, **headers)
    assert answer.status < 500, answer


@bounded
@given(path=paths, method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "X"]))
def test_paths_and_methods(raw: Raw, path: str, method: str) -> None:
    answer = raw(method, path)
    assert answer.status < 500, answer


@bounded
@given(query=st.text(string.printable, max_size=120))
def test_queries(raw: Raw, query: str) -> None:
    safe = "?" + re.sub(r"[\s#]", "", query)
    for path in ("pushy/config/node1", "pushy/jobs", f"pushy/jobs/{'0' * 32}"):
        answer = raw(path=path, query=safe)
        assert answer.status < 500, answer


def test_the_server_lives_and_has_logged_no_failure(raw: Raw, server: Sandbox) -> None:
    assert raw().status == 200
    assert "Traceback" not in server.log("server").read_text()
