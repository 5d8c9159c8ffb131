"""What an agent takes from the server's whitelist: what editors signed, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from pushcli import keys
from pushcli.errors import ConfigError
from pushcli.protocol import messages
from pushcli.whitelist import statements
from pushcli.whitelist.statements import Change
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.server_whitelist import FILE, ServerWhitelist

ANN, BOB, EVE = keys.generate(), keys.generate(), keys.generate()
STAMP = "Mon, 23 Nov 2026 20:43:16 GMT"
NODE = "web01"


def pin(directory: Path, **pinned: Any) -> None:
    found = [
        {
            "name": name,
            "fingerprint": statements.fingerprint(key),
            "public_key": keys.public_pem(key),
        }
        for name, key in pinned.items()
    ]
    (directory / editors.FILE).write_text(json.dumps({"editors": found}))


def opened(directory: Path, **more: Any) -> ServerWhitelist:
    settings: dict[str, Any] = {"org": "acme", "node": NODE, "accept_unsigned": False}
    return ServerWhitelist(directory, **{**settings, **more})


@pytest.fixture
def whitelist(tmp_path: Path) -> ServerWhitelist:
    """Of a node that pinned ann."""
    pin(tmp_path, ann=ANN)
    return opened(tmp_path)


def signed(
    value: Any, version: int = 10, *, name: str = "uptime", node: str = NODE, org: str = "acme",
    key: Any = ANN, signer: str = "ann",
) -> messages.ServerEntry:  # fmt: skip
    changes = [Change("other", "true"), Change(name, value)]
    nodes = ["db01", node]
    made = statements.sign(
        key, org=org, nodes=nodes, changes=changes, version=version, signer=signer
    )
    record = statements.records(made, org=org, nodes=nodes, changes=changes)[node][name]
    return messages.ServerEntry(name=name, value=value, record=record)


def message(*entries: messages.ServerEntry, **more: Any) -> messages.Whitelist:
    return messages.Whitelist(
        sequence=1, timestamp=STAMP, digest="d1", entries=list(entries), **more
    )


def in_force(whitelist: ServerWhitelist) -> dict[str, Any]:
    return {name: accepted.entry.command for name, accepted in whitelist.accepted.items()}


def refusals(whitelist: ServerWhitelist) -> dict[str, str]:
    return {refused.name: refused.reason for refused in whitelist.refused}


def test_what_an_editor_signed_is_in_force(whitelist: ServerWhitelist) -> None:
    whitelist.apply(message(signed("uptime")))
    assert in_force(whitelist) == {"uptime": "uptime"}
    assert whitelist.refused == []
    assert whitelist.digest == "d1"
    assert whitelist.accepted["uptime"].signer == "ann"
    assert whitelist.accepted["uptime"].version == 10


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (messages.ServerEntry(name="uptime", value="uptime"), "unsigned"),
        (signed("uptime", key=EVE), "not an editor's key"),
        (signed("uptime", node="web02"), "does not match"),
        (signed("uptime", org="evil"), "does not match"),
        (messages.ServerEntry(name="sh", value="sh", record=signed("uptime").record), "not match"),
        (messages.ServerEntry(name="uptime", value="rm -rf /", record=signed("uptime").record),
         "does not match"),
        (messages.ServerEntry(name="uptime", value="uptime", record={"signer": 1}), "read"),
        (messages.ServerEntry(name="uptime", value="uptime", record="x" * 100), "read"),
        (signed(""), "command"),
        (signed({"command_line": "x", "lock": "/etc/passwd"}), "lock"),
    ],
)  # fmt: skip
def test_what_nobody_signed_is_refused(
    whitelist: ServerWhitelist, entry: messages.ServerEntry, reason: str
) -> None:
    good = signed("date", name="date")
    whitelist.apply(message(entry, good))
    assert in_force(whitelist) == {"date": "date"}
    assert reason in refusals(whitelist)[entry.name]


def test_a_name_that_comes_twice_counts_once(whitelist: ServerWhitelist) -> None:
    whitelist.apply(message(signed("uptime"), signed("uptime -p")))
    assert in_force(whitelist) == {"uptime": "uptime"}
    assert "twice" in refusals(whitelist)["uptime"]


def test_what_is_nested_deep_is_not_kept_where_a_start_could_fail_on_it(
    whitelist: ServerWhitelist, tmp_path: Path
) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    bare = messages.ServerEntry(name="value", value=deep)
    record = messages.ServerEntry(name="record", value="true", record={"signer": deep})
    whitelist.apply(message(bare, record, signed("uptime")))
    assert in_force(whitelist) == {"uptime": "uptime"}
    assert refusals(whitelist).keys() == {"value", "record"}
    assert "[[[[" not in (tmp_path / FILE).read_text()
    assert in_force(opened(tmp_path)) == {"uptime": "uptime"}


def test_an_older_version_is_a_replay(whitelist: ServerWhitelist, tmp_path: Path) -> None:
    old, new = signed("uptime -p", 10), signed("uptime", 11)
    whitelist.apply(message(old))
    whitelist.apply(message(new))
    whitelist.apply(message(old))
    assert in_force(whitelist) == {}
    assert "older than 11: replayed" in refusals(whitelist)["uptime"]
    # Nor after a restart of the agent.
    again = opened(tmp_path)
    again.apply(message(old))
    assert in_force(again) == {}
    again.apply(message(new))
    assert in_force(again) == {"uptime": "uptime"}


def test_a_removed_entry_does_not_come_back(whitelist: ServerWhitelist) -> None:
    entry = signed("uptime", 10)
    removal = signed(None, 11)
    whitelist.apply(message(entry))
    whitelist.apply(message(removed=[removal]))
    whitelist.apply(message(entry))
    assert in_force(whitelist) == {}
    assert "replayed" in refusals(whitelist)["uptime"]


def test_a_removal_that_nobody_signed_says_nothing(whitelist: ServerWhitelist) -> None:
    forged = messages.ServerEntry(name="uptime", record={**signed(None, 99, key=EVE).record})
    whitelist.apply(message(signed("uptime"), removed=[forged]))
    assert in_force(whitelist) == {"uptime": "uptime"}


def test_an_entry_that_the_server_withholds_is_not_in_force(whitelist: ServerWhitelist) -> None:
    whitelist.apply(message(signed("uptime")))
    whitelist.apply(message())
    assert in_force(whitelist) == {}


def test_it_holds_over_a_restart_with_its_age(whitelist: ServerWhitelist, tmp_path: Path) -> None:
    whitelist.apply(message(signed("uptime")))
    again = opened(tmp_path, now=lambda: 2e9)
    assert in_force(again) == {"uptime": "uptime"}
    assert again.digest == "d1"
    assert again.accepted["uptime"].since == whitelist.accepted["uptime"].since
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_unsigned_entries_count_where_the_node_says_so(tmp_path: Path) -> None:
    whitelist = opened(tmp_path, accept_unsigned=True)
    whitelist.apply(message(messages.ServerEntry(name="uptime", value="uptime")))
    assert in_force(whitelist) == {"uptime": "uptime"}
    assert whitelist.accepted["uptime"].signer is None


def vouch(
    editor: str, key: Any, version: int, *, by: Any = ANN, signer: str = "ann",
    removed: bool = False,
) -> dict[str, Any]:  # fmt: skip
    return statements.editor_statement(
        by, org="acme", signer=signer, editor=editor, editor_key=key.public_key(),
        version=version, removed=removed,
    )  # fmt: skip


def test_an_editor_can_vouch_for_another_who_vouches_for_a_third(
    whitelist: ServerWhitelist, tmp_path: Path
) -> None:
    said = [vouch("eve", EVE, 6, by=BOB, signer="bob"), vouch("bob", BOB, 5)]
    whitelist.apply(message(signed("uptime", key=EVE, signer="eve"), editors=said))
    assert in_force(whitelist) == {"uptime": "uptime"}
    # Kept, though the server says nothing of them any more.
    again = opened(tmp_path)
    again.apply(message(signed("uptime", 12, key=EVE, signer="eve")))
    assert in_force(again) == {"uptime": "uptime"}


def test_nobody_vouches_for_himself(whitelist: ServerWhitelist) -> None:
    said = [vouch("eve", EVE, 5, by=EVE, signer="eve")]
    whitelist.apply(message(signed("uptime", key=EVE), editors=said))
    assert in_force(whitelist) == {}


def test_an_editor_who_was_removed_counts_no_more(whitelist: ServerWhitelist) -> None:
    entry = signed("uptime", key=BOB, signer="bob")
    whitelist.apply(message(entry, editors=[vouch("bob", BOB, 5)]))
    assert in_force(whitelist) == {"uptime": "uptime"}
    gone = vouch("bob", BOB, 6, removed=True)
    whitelist.apply(message(entry, editors=[gone]))
    assert in_force(whitelist) == {}
    # The older statement does not bring him back, nor does his own.
    back = vouch("bob", BOB, 9, by=BOB, signer="bob")
    whitelist.apply(message(entry, editors=[vouch("bob", BOB, 5), back]))
    assert in_force(whitelist) == {}


def test_garbage_among_the_editors_does_no_harm(whitelist: ServerWhitelist) -> None:
    said = [None, 1, "x", {}, {**vouch("bob", BOB, 5), "modulus": "!"}, vouch("bob", BOB, 5)]
    whitelist.apply(message(signed("uptime", key=BOB, signer="bob"), editors=said))
    assert in_force(whitelist) == {"uptime": "uptime"}


def test_what_cannot_be_kept_does_not_count(whitelist: ServerWhitelist, tmp_path: Path) -> None:
    whitelist.apply(message(signed("uptime", 10)))
    (tmp_path / f".{FILE}.new").mkdir()
    whitelist.apply(message(signed("reboot", 11)))
    assert in_force(whitelist) == {"uptime": "uptime"}
    assert whitelist.error is not None
    assert "cannot save" in whitelist.error


@pytest.mark.parametrize("text", ["", "{", "[]", '{"versions": {"a": "b"}}'])
def test_a_damaged_file_is_refused_not_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match="damaged"):
        opened(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"editors": [{"name": "a", "public_key": "b"}]}'])
def test_a_damaged_file_of_editors_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / editors.FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"editors\.json"):
        opened(tmp_path)


def test_the_report_names_the_pinned_keys_that_count_and_how_they_came(tmp_path: Path) -> None:
    first = {"name": "bob", "public_key": keys.public_pem(BOB), "first_use": True}
    pin(tmp_path, ann=ANN, eve=EVE)
    found = json.loads((tmp_path / editors.FILE).read_text())
    found["editors"].append(first)
    found["distrusted"] = [statements.fingerprint(EVE)]
    (tmp_path / editors.FILE).write_text(json.dumps(found))
    assert opened(tmp_path).pinned() == [
        messages.PinnedKey(editor="ann", key=statements.fingerprint(ANN)),
        messages.PinnedKey(editor="bob", key=statements.fingerprint(BOB), first_use=True),
    ]


def test_what_came_on_first_use_signs_like_any_other(tmp_path: Path) -> None:
    first = {"name": "bob", "public_key": keys.public_pem(BOB), "first_use": True}
    (tmp_path / editors.FILE).write_text(json.dumps({"editors": [first]}))
    whitelist = opened(tmp_path)
    whitelist.apply(message(signed("uptime", key=BOB, signer="bob")))
    assert in_force(whitelist) == {"uptime": "uptime"}
