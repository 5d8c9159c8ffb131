"""docs/api.md: every request is made, in order, and answered as the page says."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
import requests

from pushcli.client.api import requestor_of, server_of
from pushcli.client.credentials import Profile
from pushcli.client.http import HttpClient
from pushcli.errors import PushcliError
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server.rest.routes import routes
from tests.support.feed_reader import FeedReader
from tests.support.waiting import patient

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```http\n(.*?)```", PAGE, flags=re.DOTALL)
pytestmark = pytest.mark.timeout(60)


def matches(shown: Any, actual: Any) -> bool:
    """Whether a value is as shown; `...` in a string stands for anything, a time for any."""
    if isinstance(shown, dict):
        return (
            isinstance(actual, dict)
            and shown.keys() == actual.keys()
            and all(matches(value, actual[key]) for key, value in shown.items())
        )
    if isinstance(shown, list):
        return (
            isinstance(actual, list)
            and len(shown) == len(actual)
            and all(matches(a, b) for a, b in zip(shown, actual, strict=True))
        )
    if isinstance(shown, str) and isinstance(actual, str):
        pattern = ".*".join(re.escape(part) for part in shown.split("..."))
        return re.fullmatch(pattern, actual, flags=re.DOTALL) is not None
    if isinstance(shown, float):
        return isinstance(actual, float)
    return bool(shown == actual)


def test_the_examples_are_answered_as_shown(server: Sandbox) -> None:
    job_id = token = ""
    # The page begins without the token that `server init` made.
    for made in server.api.get("tokens"):
        server.api.delete(f"tokens/{made['id']}")
    for example in EXAMPLES:
        request, _, answer = example.partition("\n\n")
        first, _, body = request.partition("\n")
        method, path = first.split(" ")
        status, _, shown = answer.partition("\n")
        path = path.replace("JOB", job_id).replace("TOKEN", token)
        if "job_status_feed" in path or path.endswith("/feed"):
            feed = FeedReader(server.profile, path.partition("/pushy/")[2])
            text = feed.response.read().decode()
            assert feed.status == int(status)
            assert re.match(".*?".join(re.escape(p) for p in shown.split("...")), text), text
            feed.close()
            continue
        code, actual = call(server, method, path, body)
        assert (code, matches(json.loads(shown), actual)) == (int(status), True), (first, actual)
        if status == "201" and path.endswith("/jobs"):
            job_id = actual["uri"][-32:]
        token = actual["id"] if method == "POST" and path.endswith("/tokens") else token


def call(server: Sandbox, method: str, path: str, body: str) -> tuple[int, Any]:
    base = server.url.partition("/organizations/")[0]
    if path == "/pushy/_status" or path.endswith("/enroll"):
        headers = {"Content-Type": "application/json"}
        response = requests.request(
            method, base + path, data=body, headers=headers, timeout=patient(10)
        )
        return response.status_code, response.json()
    relative = path.removeprefix("/organizations/sandbox/")
    profile = superuser(server) if relative.startswith("/") else server.profile
    session = HttpClient(server_of(profile), requestor_of(profile))
    try:
        headers = {"Accept": "application/octet-stream"} if "/output/" in path else {}
        if path.endswith("/output_feed"):
            headers = {"Accept": "text/event-stream"}
        path, _, query = relative.partition("?")
        answer = session.request(
            method, path, params=parse_qs(query), body=body.encode(), headers=headers
        )
        return answer.status, json.loads(answer.content)
    except PushcliError as error:
        return refused(error)
    finally:
        session.close()


def superuser(server: Sandbox) -> Profile:
    key = server.server_directory / "keys" / "pivotal.pem"
    return msgspec.structs.replace(server.profile, client_name="pivotal", client_key=str(key))


def refused(error: PushcliError) -> tuple[int, Any]:
    """Status and body of a refusal, which the session tells as an error."""
    kinds = {"NotFound": 404, "RequestRefused": 400, "Conflict": 409, "Frozen": 503}
    text = re.sub(r"^.*\((?:400|409)\): ", "", error.message)
    return kinds[type(error).__name__], {"error": [text]}


def test_every_path_of_the_server_stands_on_the_page() -> None:
    class Nothing:
        """Handlers only keep what they are given, until they are called."""

        def __getattr__(self, name: str) -> None:
            return None

    for route in routes(Nothing(), None):  # type: ignore[arg-type]
        examples = [example.split("\n")[0].split(" ") for example in EXAMPLES]
        found = {m for m, path in examples if route.pattern.fullmatch(path.partition("?")[0])}
        pattern = route.pattern.pattern
        if pattern.endswith("job_status_feed|jobs_status_feed)"):
            continue
        assert found == route.methods.keys() - {"HEAD"}, pattern
