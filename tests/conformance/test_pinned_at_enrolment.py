"""Whom a node pins that enrolls now: not those whose keys were taken back."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from pushcli import keys
from pushcli.client import editors
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli.whitelist import statements
from tests.support.fleet import Fleet
from tests.support.stored import database

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server of its own, with ann and bob among its administrators."""
    fleet = Fleet(tmp_path_factory.mktemp("server"), [])
    try:
        fleet.make_server()
        fleet.start_server()
        for name in ("ann", "bob"):
            pivotal = fleet.server_directory / "keys" / "pivotal.pem"
            private = fleet.directory / f"{name}.pem"
            as_pivotal = ("-u", "pivotal", "-k", str(pivotal))
            made = fleet.cli("user", "create", name, "--key-file", str(private), *as_pivotal)
            assert made.returncode == 0, made.stderr
            for group in ("admins", "pushy_job_readers"):
                assert fleet.cli("group", "add", group, "--user", name).returncode == 0
        yield fleet
    finally:
        fleet.stop()


def enrolled(fleet: Sandbox, name: str) -> set[str]:
    """Whose keys the server names to a node that enrolls."""
    validator = fleet.server_directory / "keys" / f"{ORG}-validator.pem"
    common: Any = {"name": "test", "chef_server_url": fleet.url, "signing_version": "1.3"}
    client = ApiClient(Profile(client_name=f"{ORG}-validator", client_key=str(validator), **common))
    wanted = {"name": name, "public_key": keys.public_pem(keys.generate())}
    answer = client.post("clients", wanted, {"X-Pushcli-Editors": "1"})
    client.close()
    return {editor["name"] for editor in answer["editors"]}


def key_of(fleet: Sandbox, name: str) -> Any:
    return keys.load_private_key(fleet.directory / f"{name}.pem")


def revoke(fleet: Sandbox, name: str, by: str) -> None:
    profile = Profile(
        name="by", chef_server_url=fleet.url, client_name=by,
        client_key=str(fleet.directory / f"{by}.pem"), signing_version="1.3",
    ) if by != fleet.profile.client_name else fleet.profile  # fmt: skip
    client = ApiClient(profile)
    editors.revoke(client, name, key_of(fleet, name).public_key())
    client.close()


def test_a_key_is_pinned_until_two_others_took_it_back(fleet: Sandbox) -> None:
    operator = fleet.profile.client_name
    assert enrolled(fleet, "e1") == {operator, "ann", "bob"}
    # One stolen key does not keep the others from being pinned.
    revoke(fleet, "bob", "ann")
    assert enrolled(fleet, "e2") == {operator, "ann", "bob"}
    revoke(fleet, "bob", operator)
    assert enrolled(fleet, "e3") == {operator, "ann"}
    revoke(fleet, "ann", "ann")
    assert enrolled(fleet, "e4") == {operator}


def test_what_was_taken_back_before_there_was_a_chain_stays_so(fleet: Sandbox) -> None:
    said = statements.editor_statement(
        key_of(fleet, "ann"), org=ORG, signer="ann", editor="bob",
        editor_key=key_of(fleet, "bob").public_key(), version=int(time.time() * 1e6), removed=True,
    )  # fmt: skip
    client = ApiClient(
        Profile(
            name="ann", chef_server_url=fleet.url, client_name="ann",
            client_key=str(fleet.directory / "ann.pem"), signing_version="1.3",
        )
    )  # fmt: skip
    # Said now in the old form, it is one word of one editor.
    client.post("pushy/whitelist_editors", {"statement": said})
    client.close()
    assert "bob" in enrolled(fleet, "e5")
    fleet.end_server()
    with database(fleet) as connection:
        connection.execute(text("UPDATE whitelist_editors SET inherited = TRUE"))
    fleet.start_server()
    assert "bob" not in enrolled(fleet, "e6")
