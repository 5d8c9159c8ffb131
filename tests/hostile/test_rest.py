"""Every route of the API with bodies, names, queries and headers that nobody should send."""

import json
import re
import time
import urllib.parse
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pushcli import keys
from pushcli.sandbox.sandbox import ADMIN, ORG, Sandbox
from pushcli_server.rest.routes import routes
from tests.hostile.chaos import Chaos
from tests.hostile.conftest import SECONDS
from tests.hostile.endurance import OTHER, unharmed
from tests.support.identities import KEYS
from tests.support.raw_http import Answer, Raw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 3 * SECONDS)]
PEM = keys.public_pem(KEYS[0])
NAMES = ["victim", "nobody", "new", "job", "0" * 32]
"""Never those of the fleet: an operator may well delete its nodes."""
VALUES: dict[str, list[str]] = {
    "org": [ORG], "channel": ["stdout", "stderr"], "kind": ["users", "clients", "groups"],
}  # fmt: skip
EXAMPLES: dict[str, Any] = {
    "jobs": {
        "command": "true", "nodes": [OTHER], "run_timeout": 60, "quorum": 1, "user": "nobody",
        "dir": "/tmp", "env": {"A": "b"}, "file": "raw:x", "capture_output": True,
    },
    "clients": {"name": "victim", "public_key": PEM, "admin": False, "validator": False},
    "keys": {"name": "new", "public_key": PEM, "expiration_date": "infinity"},
    "users": {"username": "victim", "public_key": PEM, "email": "a@b", "display_name": "x"},
    "groups": {"groupname": "victim", "actors": {"users": ["nobody"], "clients": [], "groups": []}},
    "members": {"users": ["nobody"], "clients": ["victim"], "groups": []},
    "tokens": {"uses": 1, "expires_in": 60, "node": "victim"},
    "enroll": {"token": "x", "node": "victim", "public_key": PEM, "proof": "x"},
    "organizations": {"name": "victim", "full_name": "x"},
    "checks": {"command": "true", "nodes": [OTHER], "user": None, "dir": None},
    "whitelist": {
        "nodes": ["victim"], "entries": [{"name": "x", "value": "true"}], "statement": {},
    },
    "whitelist_editors": {"statement": {"kind": "editor", "name": "x", "key": PEM, "version": 1}},
    "editors": {
        "statement": {
            "org": "sandbox", "signer": "x", "key": "SHA256:x", "previous": "0" * 64, "version": 1,
            "action": "add", "role": "edit", "editor": "x", "subject": "SHA256:x",
            "modulus": "AAAA", "exponent": 65537, "signature": "AAAA",
        },
        "old": None, "kept": ["0" * 64],
    },
    "nodes": {
        "name": "victim", "chef_environment": "_default", "run_list": ["recipe[a]"],
        "normal": {"a": {"b": [1, "x"]}}, "automatic": {}, "default": {}, "override": {},
    },
    "node": {"ip": ["ipaddress"]},
}  # fmt: skip
HEADERS = [
    "X-Ops-Sign", "X-Ops-Userid", "X-Ops-Timestamp", "X-Ops-Content-Hash",
    "X-Ops-Authorization-1", "X-Ops-Server-API-Version", "Accept", "Content-Type", "Host",
    "X-Forwarded-Proto", "X-Pushcli-Request-Id", "Last-Event-ID", "Connection", "Expect",
]  # fmt: skip


class Nothing:
    """Handlers only keep what they are given, until they are called."""

    def __getattr__(self, name: str) -> None:
        return None


def places() -> list[tuple[str, str]]:
    """Method and pattern of everything that the server has, but for feeds, which do not end."""
    table = routes(Nothing(), None)  # type: ignore[arg-type]
    return [
        (method, route.pattern.pattern)
        for route in table
        for method in route.methods
        if "status_feed" not in route.pattern.pattern
    ]


def path(chaos: Chaos, pattern: str) -> str:
    """A path of this pattern, with names in it that are there or not, or could not be."""
    plain = re.sub(r"\(\?:([^|)]*)[^)]*\)", r"\1", pattern)

    def name(match: re.Match[str]) -> str:
        known = VALUES.get(match[1], NAMES)
        return chaos.choice(known) if chaos.random() < 0.8 else quoted(chaos.text(40))

    return re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^)]*\))*\)", name, plain)


def quoted(text: str) -> str:
    """As part of a path or query."""
    return urllib.parse.quote(text.encode("utf-8", "replace"), safe="") or "x"


def query(chaos: Chaos) -> str:
    """Sometimes none."""
    if chaos.random() < 0.6:
        return ""
    names = ["q", "rows", "start", "ccpk", "version", "since", "until", "limit", "user", "detail"]
    asked = [f"{chaos.choice(names)}={quoted(chaos.text(60))}" for _ in range(chaos.randrange(4))]
    return "?" + "&".join(asked)


def request(chaos: Chaos, raw: dict[str, Raw]) -> tuple[str, Answer]:
    """One request of somebody, and its answer."""
    method, pattern = chaos.choice(places())
    who = chaos.choice(list(raw))
    if method == "DELETE" and pattern.endswith("organizations/(?P<name>[^/]+)"):
        who = "nobody"
    target = path(chaos, pattern)
    last = [word for word in re.split(r"\W", pattern) if word in EXAMPLES]
    body = chaos.body(EXAMPLES[last[-1] if last else "nodes"]) if method != "GET" else b""
    more: dict[str, Any] = {}
    if chaos.random() < 0.2:
        text = re.sub(r"[\r\n\0]", "", chaos.text(80)).encode("ascii", "replace").decode()
        more[chaos.choice(HEADERS)] = text
    drop = (chaos.choice(HEADERS),) if chaos.random() < 0.1 else ()
    version = chaos.choice(["1.0", "1.1", "1.3"])
    if len(target) > 200:
        version = "1.3"
    answer = raw[who](
        method, target, body, query=query(chaos), user=who, drop=drop, version=version, **more
    )
    return f"{who}: {method} {target} {body[:300]!r} {more}", answer


def test_no_request_harms(fleet: Sandbox, chaos: Chaos, seconds: float) -> None:
    raw = {name: Raw(fleet) for name in (ADMIN, "pivotal", OTHER, "nobody")}
    raw["pivotal"].key = keys.load_private_key(fleet.server_directory / "keys" / "pivotal.pem")
    raw[OTHER].key = keys.load_private_key(Path(fleet.agent_directory(OTHER)) / "client.pem")
    raw["nobody"].key = KEYS[3]
    answers: Counter[int] = Counter()
    end = time.monotonic() + seconds
    with unharmed(fleet):
        while time.monotonic() < end:
            what, answer = request(chaos, raw)
            answers[answer.status] += 1
            assert answer.status < 500 or is_busy(answer), (what, answer)
        # Jobs of what went through end by themselves; the node is asked for one afterwards.
        fleet.wait_available([OTHER])
    print(dict(answers))
    assert sum(answers.values()) > 5 * seconds


def is_busy(answer: Answer) -> bool:
    """Whether it is a 503 that says why."""
    return answer.status == 503 and bool(json.loads(answer.body)["error"])
