"""`pushy/editors` against a real server: a chain that nobody forks, dates back or renames; and
what of it reaches agents of either version.
"""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from sqlalchemy import insert

from pushcli import errors, keys
from pushcli.client import editors
from pushcli.client.api import ApiClient
from pushcli.protocol import limits, wire
from pushcli.sandbox.sandbox import Sandbox
from pushcli.whitelist import chain, statements
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli_server.store import schema
from tests.conformance.test_whitelist_channel import next_of
from tests.support import key_files
from tests.support.fleet import Fleet
from tests.support.old_agent import OldAgent, enroll
from tests.support.stored import database
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(120)
BOB, EVE = keys.generate(), keys.generate()
EIGHT = 8192


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server of its own: what is said here stays."""
    fleet = Fleet(tmp_path_factory.mktemp("server"), [])
    try:
        fleet.make_server()
        fleet.start_server()
        fleet.api.post("pushy/editors", {"statement": link(fleet, "eve", EVE)})
        yield fleet
    finally:
        fleet.stop()


def key_of(fleet: Sandbox) -> Any:
    return key_files.read(Path(fleet.profile.client_key))


def now(ahead: float = 0) -> int:
    return int((time.time() + ahead) * 1_000_000)


def link(fleet: Sandbox, editor: str = "bob", key: Any = BOB, **more: Any) -> dict[str, Any]:
    """The next statement, as our command line would sign it."""
    who = {"key": key_of(fleet), "org": "sandbox", "name": fleet.profile.client_name}
    signer = chain.Signer(**{name: more.pop(name, value) for name, value in who.items()})
    place = {"previous": fleet.api.get("pushy/editors")["end"], "version": now(), **more}
    return signer.add(editor, key.public_key(), **place)


def refusal(fleet: Sandbox, body: Any) -> errors.PushcliError:
    with pytest.raises(errors.PushcliError) as caught:
        fleet.api.post("pushy/editors", body)
    return caught.value


def test_a_statement_follows_the_last_one_and_is_there(fleet: Sandbox) -> None:
    first = link(fleet)
    answer = fleet.api.post("pushy/editors", {"statement": first})
    shown = fleet.api.get("pushy/editors")
    assert shown["links"][-1] == first
    assert shown["end"] == answer["digest"] == chain.Statement(first).digest
    assert link(fleet)["previous"] == answer["digest"]


def test_a_fork_is_refused_with_409(fleet: Sandbox) -> None:
    one, other = link(fleet), link(fleet, "eve", EVE)
    fleet.api.post("pushy/editors", {"statement": one})
    for again in (other, one):
        error = refusal(fleet, {"statement": again})
        assert isinstance(error, errors.Conflict)
        assert "meanwhile" in str(error)
    assert fleet.api.get("pushy/editors")["links"][-1] == one


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 2**62}, "ahead of the server's clock"),
        ({"version": lambda: now(limits.MAX_AHEAD + 60)}, "ahead of the server's clock"),
        ({"version": lambda: now(-3600)}, "of the past"),
        ({"name": "eve"}, "another organization or signer"),
        ({"org": "evil"}, "another organization or signer"),
        ({"key": EVE}, "not signed with the key"),
        ({"previous": "0" * 64}, "meanwhile"),
    ],
)
def test_what_is_dated_otherwise_or_somebody_elses_is_refused(
    fleet: Sandbox, change: dict[str, Any], text: str
) -> None:
    before = fleet.api.get("pushy/editors")["links"]
    made = {name: value() if callable(value) else value for name, value in change.items()}
    signed_by = {"signer_key": made.pop("key")} if "key" in made else {}
    said = link(fleet, **made)
    if signed_by:
        signer = chain.Signer(EVE, org="sandbox", name=fleet.profile.client_name)
        place = {"previous": said["previous"], "version": said["version"]}
        said = signer.add("bob", BOB.public_key(), **place)
    assert text in str(refusal(fleet, {"statement": said}))
    assert fleet.api.get("pushy/editors")["links"] == before


@pytest.mark.parametrize(
    "body",
    [
        {}, {"statement": None}, {"statement": {}}, {"statement": {"previous": "x"}},
        {"statement": {"previous": "0" * 64, "nested": {"a": []}}}, {"statement": [[]]},
        {"statement": {}, "kept": "x"}, {"statement": {}, "kept": ["x"] * 1000},
        {"statement": {"previous": "0" * 64, "version": 10**40}},
    ],
)  # fmt: skip
def test_what_is_no_statement_is_refused(fleet: Sandbox, body: Any) -> None:
    assert isinstance(refusal(fleet, body), errors.RequestRefused)


@pytest.mark.parametrize(
    "change",
    [
        {"modulus": "!"},
        {"modulus": "AAAA"},
        {"exponent": 1},
        {"subject": "SHA256:x"},
        {"editor": ""},
    ],
)
def test_a_key_that_is_none_is_refused(fleet: Sandbox, change: dict[str, Any]) -> None:
    said = link(fleet)
    signer = chain.Signer(key_of(fleet), org="sandbox", name=fleet.profile.client_name)
    fields = {name: said[name] for name in ("editor", "subject", "modulus", "exponent")}
    made = signer.signed(said["previous"], said["version"], "add", **{**fields, **change})
    assert isinstance(refusal(fleet, {"statement": made}), errors.RequestRefused)


def test_both_forms_have_to_say_the_same(fleet: Sandbox) -> None:
    said = link(fleet)
    fields: dict[str, Any] = {
        "org": "sandbox", "signer": fleet.profile.client_name, "editor": "bob",
        "editor_key": BOB.public_key(), "version": said["version"],
    }  # fmt: skip
    for change in ({"removed": True}, {"editor_key": EVE.public_key()}, {"version": now(-1)}):
        old = statements.editor_statement(key_of(fleet), **{**fields, **change})
        error = refusal(fleet, {"statement": said, "old": old})
        assert "do not say the same" in str(error)
    old = statements.editor_statement(EVE, **fields)
    assert "not signed" in str(refusal(fleet, {"statement": said, "old": old}))


def test_the_old_form_alone_is_refused_once_there_is_a_chain(fleet: Sandbox) -> None:
    old = statements.editor_statement(
        key_of(fleet), org="sandbox", signer=fleet.profile.client_name, editor="eve",
        editor_key=EVE.public_key(), version=now(),
    )  # fmt: skip
    with pytest.raises(errors.Conflict, match="upgrade pushcli"):
        fleet.api.post("pushy/whitelist_editors", {"statement": old})


def test_clients_at_once_all_get_their_word_in(fleet: Sandbox) -> None:
    def vouch(_: int) -> None:
        client = ApiClient(fleet.profile)
        editors.vouch(client, "bob", BOB.public_key())
        client.close()

    before = len(fleet.api.get("pushy/editors")["links"])
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(vouch, range(3)))
    assert len(fleet.api.get("pushy/editors")["links"]) == before + 3


def test_a_checkpoint_is_signed_by_itself_when_there_is_no_room(fleet: Sandbox) -> None:
    for _ in range(130):
        editors.vouch(fleet.api, "bob", BOB.public_key())
        shown = fleet.api.get("pushy/editors")
        if shown["links"][0]["action"] == "checkpoint":
            break
    assert shown["links"][0]["action"] == "checkpoint"
    assert len(shown["base"]) + len(shown["links"]) < limits.MAX_STATEMENTS
    # Bob, and eve whom another test may have added.
    assert {one["editor"] for one in shown["base"]} <= {"bob", "eve"}


def test_many_statements_with_big_keys_cost_no_agent_its_connection(
    fleet: Sandbox, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    # As 0.1.0 let them in: 145 with keys of 8192 bits are more than a message holds.
    big = (1 << (EIGHT - 1)) + 1
    rows = []
    for number in range(160):
        modulus = big + 2 * number
        said = {
            "org": "sandbox", "signer": "x", "key": "SHA256:x", "editor": "y",
            "modulus": statements.modulus_text(PublicNumbers(modulus, 65537)),
            "exponent": 65537, "version": 1000 + number, "removed": False,
            "signature": "A" * 1368,
        }  # fmt: skip
        # As they lie in a store of an earlier version.
        rows.append(
            {
                "org": "sandbox", "key": f"key{number}", "version": 1000 + number,
                "statement": json.dumps(said), "inherited": True,
            }
        )  # fmt: skip
    fleet.end_server()
    with database(fleet) as connection:
        connection.execute(insert(schema.whitelist_editors), rows)
    fleet.start_server()
    made = [OldAgent(fleet, context, f"a{uuid.uuid4().hex[:8]}", offers=offers)
            for offers in ("whitelist", "whitelist,editors")]  # fmt: skip
    try:
        for agent in made:
            agent.come_online()
        earlier, later = (next_of(agent, "whitelist") for agent in made)
        # All that it has room for, and the newest of them.
        size = len(msgspec.json.encode(earlier))
        assert wire.MAX_BODY_TO_EARLIER - 10_000 < size < wire.MAX_BODY_TO_EARLIER
        assert earlier["editors"][-1]["version"] >= said["version"]
        assert "chain" not in earlier
        assert later["chain"]
        assert len(msgspec.json.encode(later)) < limits.MAX_STATEMENTS_SIZE + 5000
    finally:
        for agent in made:
            agent.close()


def test_verifying_does_not_hold_up_others(fleet: Sandbox) -> None:
    enroll(fleet, "somebody")
    client = ApiClient(fleet.profile)
    slowest = 0.0
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(editors.vouch, ApiClient(fleet.profile), "bob", BOB.public_key())
        while not asked.done():
            begin = time.monotonic()
            client.get("pushy/node_states")
            slowest = max(slowest, time.monotonic() - begin)
    assert slowest < patient(2)
