"""An agent and its editors: pinned keys as they change, the chain as it comes, and the past."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli import keys
from pushcli.protocol import messages
from pushcli.whitelist import chain, statements
from pushcli.whitelist.chain import Statement
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.statements import Change
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.server_whitelist import FILE, ServerWhitelist
from tests.support.editors import NOW, ORG, Chain, fp, key_of, old, person

STAMP = "Mon, 23 Nov 2026 20:43:16 GMT"
NODE = "web01"
CLOCK = NOW / 1_000_000


def pin(directory: Path, *names: str, distrusted: Sequence[str] = ()) -> None:
    found = [{"name": person(name), "public_key": keys.public_pem(key_of(name))} for name in names]
    content = {"editors": found, "distrusted": [fp(name) for name in distrusted]}
    file = directory / editors.FILE
    file.write_text(json.dumps(content))
    # As if it had been written some time ago: it is not looked at again and again.
    os.utime(file, (time.time() - 10, time.time() - 10))


def opened(directory: Path, clock: float = CLOCK) -> ServerWhitelist:
    return ServerWhitelist(directory, org=ORG, node=NODE, accept_unsigned=False, now=lambda: clock)


def entry(name: str, by: str, version: int = NOW, value: Any = "true") -> messages.ServerEntry:
    return entries([name], by, version, value)[0]


def entries(
    names: Sequence[str], by: str, version: int = NOW, value: Any = "true"
) -> list[messages.ServerEntry]:
    changes = [Change(name, value) for name in names]
    place: dict[str, Any] = {"org": ORG, "nodes": [NODE], "changes": changes}
    signed = statements.sign(key_of(by), version=version, signer="whoever", **place)
    records = statements.records(signed, **place)[NODE]
    return [messages.ServerEntry(name=name, value=value, record=records[name]) for name in names]


def message(
    *said: messages.ServerEntry, chain: Chain | None = None, digest: str = "d1", **more: Any
) -> messages.Whitelist:
    if chain is not None:
        more["editors"] = [one.raw for one in chain.base]
        more["chain"] = [one.raw for one in chain.links]
    return messages.Whitelist(
        sequence=1, timestamp=STAMP, digest=digest, entries=list(said), **more
    )


def refusals(whitelist: ServerWhitelist) -> dict[str, str]:
    return {refused.name: refused.reason for refused in whitelist.refused}


def test_a_chain_says_whose_entries_count(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    whitelist, said = opened(tmp_path), Chain()
    said.say("ann", "add", "bob")
    whitelist.apply(message(entry("a", "bob"), entry("b", "eve"), chain=said))
    assert set(whitelist.accepted) == {"a"}
    said.say("ann", "remove", "bob")
    whitelist.apply(message(entry("a", "bob"), chain=said))
    assert set(whitelist.accepted) == set()
    # Nor after a restart, and without the server.
    assert set(opened(tmp_path).accepted) == set()


def test_the_name_of_a_signer_is_the_one_by_which_the_key_is_known(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    whitelist, said = opened(tmp_path), Chain()
    said.say("ann", "add", "bob")
    # The record's own name is not signed: the server could write what it likes.
    whitelist.apply(message(entry("a", "bob"), entry("b", "ann"), chain=said))
    assert {name: one.signer for name, one in whitelist.accepted.items()} == {
        "a": "bob", "b": "ann",
    }  # fmt: skip


def test_a_fork_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    pin(tmp_path, "ann", "bob")
    whitelist, said, other = opened(tmp_path), Chain(), Chain()
    said.say("ann", "add", "carl")
    whitelist.apply(message(entry("a", "carl"), chain=said))
    assert whitelist.error is None
    other.say("bob", "add", "eve")
    whitelist.apply(message(entry("a", "carl"), entry("b", "eve"), chain=other, digest="d2"))
    assert set(whitelist.accepted) == {"a"}
    assert "follow the same one" in str(whitelist.error)
    # It has heard of it: it need not come again and again. And it stays reported.
    assert whitelist.digest == "d2"
    assert "follow the same one" in str(opened(tmp_path).error)
    said.say("ann", "add", "dora")
    whitelist.apply(message(entry("b", "dora"), chain=said))
    assert (set(whitelist.accepted), whitelist.error) == ({"b"}, None)


def test_who_may_have_been_taken_back_puts_nothing_new_in_force(tmp_path: Path) -> None:
    """A node that cannot follow may not have heard that carl's key was stolen."""
    pin(tmp_path, "ann", "bob")
    whitelist, said, other = opened(tmp_path), Chain(), Chain()
    said.say("ann", "add", "carl")
    there = entry("there", "carl")
    whitelist.apply(message(there, chain=said))
    since = whitelist.accepted["there"].since
    other.say("bob", "add", "eve")
    new = [entry("new", "carl"), entry("pinned", "bob")]
    for digest in ("d2", "d3"):
        whitelist.apply(message(there, *new, chain=other, digest=digest))
        assert set(whitelist.accepted) == {"there", "pinned"}
        assert refusals(whitelist)["new"] == (
            "signed by carl, who may have been taken back since: "
            "this node cannot follow the statements about editors"
        )
        again = opened(tmp_path)
        assert (set(again.accepted), again.accepted["there"].since) == ({"there", "pinned"}, since)
    # Another value under the same version is another entry; one that was out is new.
    whitelist.apply(message(entry("there", "carl", value="rm"), *new, chain=other, digest="d4"))
    assert set(whitelist.accepted) == {"pinned"}
    whitelist.apply(message(there, *new, chain=other, digest="d5"))
    assert set(whitelist.accepted) == {"pinned"}
    # Once it can follow, all of them count.
    whitelist.apply(message(there, *new, chain=said, digest="d6"))
    assert set(whitelist.accepted) == {"there", "new", "pinned"}


@pytest.mark.parametrize("links", [[None], [{}], ["x"] * 300, [old("ann", "bob").raw]])
def test_what_is_no_chain_is_reported_and_changes_nothing(tmp_path: Path, links: Any) -> None:
    pin(tmp_path, "ann")
    whitelist, said = opened(tmp_path), Chain()
    said.say("ann", "add", "bob")
    whitelist.apply(message(entry("a", "bob"), chain=said))
    whitelist.apply(message(entry("a", "bob"), editors=[]))
    assert set(whitelist.accepted) == {"a"}
    broken = messages.Whitelist(
        sequence=1, timestamp=STAMP, digest="d2", entries=[entry("a", "bob")], chain=links
    )
    whitelist.apply(broken)
    assert set(whitelist.accepted) == {"a"}
    assert whitelist.error is not None


# --- versions


def test_an_entry_of_version_2_to_the_62_keeps_nobody_out(tmp_path: Path) -> None:
    pin(tmp_path, "ann", "bob")
    whitelist = opened(tmp_path)
    whitelist.apply(message(entry("a", "ann")))
    whitelist.apply(message(entry("a", "bob", 2**62, "stolen")))
    assert "ahead of this node's clock" in refusals(whitelist)["a"]
    removal = messages.ServerEntry(name="a", record=entry("a", "bob", 2**62, None).record)
    whitelist.apply(message(removed=[removal]))
    whitelist.apply(message(entry("a", "ann", NOW + 1, "date")))
    assert whitelist.accepted["a"].value == "date"


def test_an_entry_that_is_a_little_ahead_counts_as_soon_as_it_may(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    clock = [CLOCK]
    whitelist = ServerWhitelist(
        tmp_path, org=ORG, node=NODE, accept_unsigned=False, now=lambda: clock[0]
    )
    whitelist.apply(message(entry("a", "ann", NOW + 360_000_000)))
    assert "dated 360 s ahead" in refusals(whitelist)["a"]
    assert not whitelist.refresh()
    clock[0] += 61
    assert whitelist.refresh()
    assert set(whitelist.accepted) == {"a"}
    assert not whitelist.refresh()
    # And then for good, whatever the clock says.
    assert set(opened(tmp_path, CLOCK - 86_400).accepted) == {"a"}


# --- pinned keys


def test_keys_are_pinned_and_unpinned_while_it_runs(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    whitelist, said = opened(tmp_path), Chain()
    said.say("ann", "add", "bob")
    said.say("dora", "add", "carl")
    everything = [entry(person(name), name) for name in ("ann", "bob", "carl", "dora")]
    whitelist.apply(message(*everything, chain=said))
    assert set(whitelist.accepted) == {"ann", "bob"}
    assert not whitelist.refresh()
    pin(tmp_path, "ann", "dora", distrusted=["bob"])
    assert whitelist.refresh()
    assert set(whitelist.accepted) == {"ann", "dora"}
    # All has to be said once more: what dora said counts now.
    assert whitelist.digest is None
    whitelist.apply(message(*everything, chain=said))
    assert set(whitelist.accepted) == {"ann", "carl", "dora"}
    assert whitelist.digest == "d1"
    pin(tmp_path, "dora")
    assert whitelist.refresh()
    # Vouching counts up to the moment at which who vouched goes.
    assert set(whitelist.accepted) == {"bob", "carl", "dora"}
    assert whitelist.digest == "d1"


def test_a_file_of_editors_with_a_mistake_changes_nothing(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    whitelist = opened(tmp_path)
    whitelist.apply(message(entry("a", "ann")))
    for text in ("", "{", '{"editors": [{"name": "x", "public_key": "y"}]}'):
        (tmp_path / editors.FILE).write_text(text)
        assert whitelist.refresh() or whitelist.error is not None
        assert set(whitelist.accepted) == {"a"}
        assert "editors.json" in str(whitelist.error)
    pin(tmp_path, "ann")
    assert whitelist.refresh()
    assert whitelist.error is None


def test_a_file_of_editors_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    (tmp_path / editors.FILE).chmod(0o666)
    with pytest.raises(Exception, match="writable by others"):
        opened(tmp_path)


# --- the past


def kept_by_0_1_0(directory: Path, *accepted: Statement, **more: Any) -> None:
    known = {"digest": "d0", "editors": [one.raw for one in accepted], **more}
    (directory / FILE).write_bytes(msgspec.json.encode(known))


def test_what_an_earlier_version_accepted_counts_after_the_upgrade(tmp_path: Path) -> None:
    pin(tmp_path, "ann", "bob")
    kept_by_0_1_0(
        tmp_path, old("ann", "bob", NOW - 9, removed=True), old("ann", "carl", NOW - 8),
        old("ann", "dora", 2**62),
        entries=[entry("a", "carl"), entry("b", "bob"), entry("c", "dora")],
        versions={"a": NOW, "b": NOW, "c": 2**62},
    )  # fmt: skip
    whitelist = opened(tmp_path)
    assert set(whitelist.accepted) == {"a"}
    # Neither the next message nor the first link of the chain changes that.
    base = [old("ann", "bob", NOW - 9, removed=True), old("ann", "carl", NOW - 8)]
    whitelist.apply(message(entry("a", "carl"), editors=[one.raw for one in base], chain=None))
    assert set(whitelist.accepted) == {"a"}
    said = Chain(*base)
    said.say("carl", "add", "eve")
    whitelist.apply(message(entry("a", "eve"), entry("b", "bob"), entry("c", "ann"), chain=said))
    assert set(whitelist.accepted) == {"a", "c"}
    assert whitelist.error is None


def test_a_first_start_with_a_wrong_clock_forgets_nothing(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    kept_by_0_1_0(
        tmp_path, old("ann", "carl", NOW - 8), entries=[entry("a", "carl")], versions={"a": NOW}
    )
    assert set(opened(tmp_path, clock=0.0).accepted) == set()
    whitelist = opened(tmp_path)
    assert set(whitelist.accepted) == {"a"}
    whitelist.apply(message(entry("a", "carl", NOW - 1)))
    assert "replayed" in refusals(whitelist)["a"]


# --- each signature once


def test_entries_of_one_edit_are_verified_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(tmp_path, "ann")
    count = 0
    verify = PublicNumbers.signed

    def signed(key: PublicNumbers, text: bytes, signature: str) -> bool:
        nonlocal count
        count += 1
        return verify(key, text, signature)

    monkeypatch.setattr(PublicNumbers, "signed", signed)
    whitelist = opened(tmp_path)
    said = entries([f"e{number}" for number in range(50)], "ann")
    for _ in range(3):
        whitelist.apply(message(*said))
    assert len(whitelist.accepted) == 50
    assert count == 1


def test_two_hundred_statements_are_taken_in_at_once(tmp_path: Path) -> None:
    pin(tmp_path, "ann")
    said = Chain()
    while sum(one.size for one in said.links) < 98_000:
        said.say("ann", "remove", "bob")
    whitelist = opened(tmp_path)
    begin = time.process_time()
    whitelist.apply(message(chain=said))
    assert time.process_time() - begin < 1
    assert whitelist.error is None
    assert chain.end_of(said.base, said.links) == said.links[-1].digest
