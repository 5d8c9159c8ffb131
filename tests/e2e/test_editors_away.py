"""A key that was taken back while a node was away, and checkpoints of those who are no editors."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pushcli import errors, keys
from pushcli.client import editors
from pushcli.client.api import ApiClient
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.e2e.test_whitelist import edit, in_force, refused, whitelist_of
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(90)


def administrator(fleet: Sandbox, name: str, directory: Path) -> Path:
    """One more, with a key file."""
    private = directory / f"{name}.pem"
    pivotal = str(fleet.server_directory / "keys" / "pivotal.pem")
    made = fleet.cli(
        "user", "create", name, "--key-file", str(private), "-u", "pivotal", "-k", pivotal
    )
    assert made.returncode == ExitStatus.OK, made.stderr
    assert fleet.cli("group", "add", "admins", "--user", name).returncode == ExitStatus.OK
    return private


def checkpoint(fleet: Sandbox, name: str, key: Path) -> None:
    """Signed by this administrator: one that keeps nothing, and then one as it has to be."""
    profile = msgspec.structs.replace(fleet.profile, client_name=name, client_key=str(key))
    client = ApiClient(profile)
    with pytest.raises(errors.RequestRefused, match="does not keep what it has to"):
        editors.checkpoint(client, editors.read(fleet.api), [])
    known = editors.read(fleet.api)
    editors.checkpoint(client, known, editors.to_keep(client, known).statements)
    client.close()


@pytest.mark.parametrize("by", ["mal", "bob"])
def test_a_key_that_was_taken_back_counts_nowhere_whoever_signs_a_checkpoint(
    make_fleet: Callable[..., Sandbox], tmp_path: Path, by: str
) -> None:
    fleet = make_fleet("n3")
    files = {name: administrator(fleet, name, tmp_path) for name in ("bob", "mal")}
    public = tmp_path / "bob.pub"
    public.write_text(keys.public_pem(keys.load_private_key(files["bob"])))
    as_bob = ("-u", "bob", "-k", str(files["bob"]))
    edit(fleet, "editors", "add", "bob", str(public), "-y")
    edit(fleet, "add", "bobold", "id", "n3", *as_bob)
    assert in_force(fleet, "n3")["bobold"]["signer"] == "bob"

    fleet.end_agent("n3")
    edit(fleet, "editors", "remove", "bob", "-y")
    checkpoint(fleet, by, files[by])
    fleet.cli("whitelist", "add", "bobnew", "id", "n3", *as_bob)
    fleet.start_agent("n3")
    fleet.wait_available(["n3"])
    until(lambda: {"bobold", "bobnew"} <= set(refused(fleet, "n3")), "n3 goes by neither")
    assert not {"bobold", "bobnew"} & set(in_force(fleet, "n3"))
    assert not whitelist_of(fleet, "n3")["in_force"].get("error")
