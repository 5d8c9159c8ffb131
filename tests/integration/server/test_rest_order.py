"""Which of two faults a request is refused for: every pair, in the order of section 2."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator

import pytest

from pushcli import keys
from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import settings
from pushcli_server.rest.errors import EXTENSIONS
from pushcli_server.store import Store, operations
from tests.support.fleet import Fleet
from tests.support.raw_http import Answer, Raw

pytestmark = pytest.mark.timeout(60)
KEY, WRONG_KEY = keys.generate(), keys.generate()
WRITERS = "pushy_job_writers"

# Each stage of the order, and what a request that fails there is told.
STAGES: dict[str, tuple[int, str]] = {
    "path": (404, "not found"),
    "method": (405, "method not allowed"),
    "missing header": (400, "missing required authentication header(s) 'X-Ops-Content-Hash'"),
    "time": (401, "bad header(s) 'X-Ops-Timestamp'"),
    "version": (400, "Unsupported authentication protocol version"),
    "size": (413, "JSON must be no more than 1000000 bytes."),
    "organization": (404, "organization 'noorg' does not exist."),
    "principal": (401, "Failed to authenticate as 'ghost'. Ensure that your node_name and client "
                       "key are correct."),
    "signature": (401, "Invalid signature for user or client "),
    "association": (403, "'stranger' is not associated with organization 'sandbox'"),
    "group": (403, "User or client 'plain' does not have access to that action on this server."),
    "accept": (406, "only application/json is available here"),
    "type": (415, "Content-Type must be application/json"),
    "body": (400, "an unknown validation error has occurred"),
}  # fmt: skip


async def fill(fleet: Sandbox) -> None:
    place = fleet.server_directory
    store = Store.open(settings.load(place).database(place), place / "blobs")
    store.start(asyncio.get_running_loop(), lambda _: None)
    pem = keys.public_pem(KEY)
    for user in ("writer", "plain", "stranger"):
        await store.write(operations.CreateUser(name=user, public_key=pem))
    for user in ("writer", "plain"):
        await store.write(operations.AssociateUser("sandbox", user))
    await store.write(operations.AddMember("sandbox", WRITERS, "user", "writer"))
    await store.close()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), [])
    fleet.make_server()
    asyncio.run(fill(fleet))
    fleet.start_server()
    yield Raw(fleet)
    fleet.stop()


def ask(raw: Raw, faults: set[str]) -> Answer:
    """A job's start with these faults, each made so that it shows at its own stage."""
    user = next(
        (user for fault, user in (("principal", "ghost"), ("association", "stranger"),
                                  ("group", "plain")) if fault in faults),
        "writer",
    )  # fmt: skip
    method = "PATCH" if "method" in faults else "POST"
    org = "noorg" if "organization" in faults else "sandbox"
    # A path that never exists has no method, and one below no organization is unknown too.
    path = f"/organizations/{org}/pushy/{'nothing' if 'path' in faults else 'jobs'}"
    body = b"junk" if "body" in faults else b'{"command":"x","nodes":["a"]}'
    headers = signing.sign(
        WRONG_KEY if "signature" in faults else KEY,
        method=method, path=path, body=body, user=user, timestamp=format_iso8601(time.time()),
    )  # fmt: skip
    headers |= {"Host": "x", "Content-Type": "application/json", "Accept": "application/json"}
    headers |= {
        name: value
        for fault, name, value in (
            ("missing header", "X-Ops-Content-Hash", ""),
            ("time", "X-Ops-Timestamp", "yesterday"),
            ("version", "X-Ops-Sign", "version=9"),
            ("size", "Content-Length", "1000001"),
            ("accept", "Accept", "text/html"),
            ("type", "Content-Type", "text/plain"),
        )
        if fault in faults
    }
    return raw.send(method, path, headers, body)


def test_without_a_fault_it_is_accepted(raw: Raw) -> None:
    assert ask(raw, set()).status == 201


@pytest.mark.parametrize("first", STAGES)
def test_a_request_is_refused_for_the_first_of_its_faults(raw: Raw, first: str) -> None:
    later = list(itertools.dropwhile(lambda stage: stage != first, STAGES))
    wrong = []
    for second in later:
        answer = ask(raw, {first, second})
        error = answer.error if isinstance(answer.error, str) else answer.error[0]
        status, text = STAGES[first]
        if answer.status != status or not error.startswith(text):
            wrong.append(f"{first} and {second}: {answer.status} {error}")
    assert wrong == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_form_of_a_refusal(raw: Raw, stage: str) -> None:
    answer = ask(raw, {stage})
    # A text in a list; but plain for the size of a body and for what is in it.
    assert isinstance(answer.error, str if stage in {"size", "body"} else list)
    assert list(answer.json) == ["error"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-pushcli-extensions"] == EXTENSIONS["X-Pushcli-Extensions"]
    assert "server" not in answer.headers
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)
    assert answer.headers.get("allow") == ("GET, POST" if stage == "method" else None)


@pytest.mark.parametrize(
    ("accept", "status"), [("application/json", 404), ("text/html", 406), ("*/*", 404)]
)
def test_what_can_be_had_is_checked_before_what_exists(raw: Raw, accept: str, status: int) -> None:
    answer = raw(path=f"pushy/jobs/{'0' * 32}", Accept=accept)
    assert answer.status == status
    assert json.loads(answer.body)["error"]
