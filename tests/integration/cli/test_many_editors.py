"""An organization of version 0.1.0 with years of rotations: more keys than reach the agents."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, update

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.protocol import limits
from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli.whitelist import following, statements
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.standing import Pin, Pins, Standing
from pushcli.whitelist.statements import EditorStatement
from pushcli_server.store import schema
from tests.support import key_files
from tests.support.fleet import Fleet
from tests.support.stored import database

pytestmark = pytest.mark.timeout(120)
COUNT = 295


def rotation(fleet: Sandbox, number: int) -> dict[str, Any]:
    """The operator vouches for one more key: a row as version 0.1.0 stored it."""
    key = key_files.read(Path(fleet.profile.client_key))
    modulus = (1 << 2047) + 2 * number + 1
    said = EditorStatement(
        org=ORG, signer=fleet.profile.client_name, key=statements.fingerprint(key),
        editor=f"key{number}", modulus=statements.modulus_text(PublicNumbers(modulus, 65537)),
        exponent=65537, version=1_700_000_000_000_000 + number, removed=False, signature="-",
    )  # fmt: skip
    signature = statements.signature(key, statements.editor_text(said))
    said = msgspec.structs.replace(said, signature=signature)
    return {
        "org": ORG, "key": said.editor_key().fingerprint, "version": said.version,
        "statement": msgspec.json.encode(said).decode(), "inherited": True,
    }  # fmt: skip


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Sandbox]:
    fleet = Fleet(tmp_path, [])
    try:
        fleet.make_server()
        rows = [rotation(fleet, number) for number in range(COUNT)]
        with database(fleet) as connection:
            connection.execute(insert(schema.whitelist_editors), rows)
        fleet.start_server()
        yield fleet
    finally:
        fleet.stop()


def known(fleet: Sandbox) -> tuple[set[str], Any]:
    """Whom a node knows that pinned the operator's key, and what the server has."""
    key = statements.public_numbers(key_files.read(Path(fleet.profile.client_key)))
    pins = Pins({key.fingerprint: Pin("operator", key)})
    stored = fleet.api.get("pushy/editors")
    offered = following.read(stored["base"], stored["links"])
    extended = following.extend(Standing(), pins, offered, org=ORG, latest=2**62)
    assert extended.error is None
    return {one.name for one in extended.standing.vouched.values()}, stored


def test_a_checkpoint_makes_room_and_names_what_it_drops(fleet: Sandbox, tmp_path: Path) -> None:
    public = tmp_path / "bob.pub"
    public.write_text(keys.public_pem(keys.generate()))
    add = ("whitelist", "editors", "add", "bob", str(public))
    refused = fleet.cli(*add)
    assert refused.returncode != ExitStatus.OK
    assert "whitelist editors checkpoint" in refused.stderr
    asked = fleet.cli("whitelist", "editors", "checkpoint")
    assert asked.returncode == ExitStatus.USAGE
    assert "no room for key0 (SHA256:" in asked.stderr
    assert fleet.api.get("pushy/editors")["links"] == []
    done = fleet.cli("whitelist", "editors", "checkpoint", "-y")
    assert done.returncode == ExitStatus.OK, done.stderr
    added = fleet.cli(*add)
    assert added.returncode == ExitStatus.OK, added.stderr
    names, stored = known(fleet)
    assert {"bob", f"key{COUNT - 1}"} <= names
    assert 50 < len(names) < COUNT
    assert len(json.dumps(stored)) < limits.MAX_STATEMENTS_SIZE


def test_a_statement_of_the_far_future_is_shown_as_void(fleet: Sandbox) -> None:
    row = rotation(fleet, 7)
    fingerprint, version = row["key"], 2**62
    text = json.dumps({**json.loads(row["statement"]), "version": version})
    table = schema.whitelist_editors
    with database(fleet) as connection:
        connection.execute(
            update(table).where(table.c.key == fingerprint).values(version=version, statement=text)
        )
    listed = fleet.cli("whitelist", "editors", "list")
    assert listed.returncode == ExitStatus.OK, listed.stderr
    [line] = [line for line in listed.stdout.splitlines() if fingerprint in line]
    assert "void: dated in the future" in line
    assert listed.stdout.count("vouched for") == COUNT - 1
