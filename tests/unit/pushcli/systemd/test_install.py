"""What an installation would do to the running system, and the steps that need no system."""

import os
from pathlib import Path

import pytest

from pushcli.systemd.install import Service, plan


def service(directory: Path, user: str) -> Service:
    return Service(
        name="pushcli-no-such-unit", unit="[Service]\n", user=user, users="u x\n",
        directory=directory,
    )  # fmt: skip


def test_the_user_is_made_before_it_is_given_the_directory(tmp_path: Path) -> None:
    made = plan(service(tmp_path, "pushcli-no-such-user"), None, force=False)
    steps = [f"{step.verb[0]} {step.what}" for step in made.steps]
    users = "/etc/sysusers.d/pushcli-no-such-unit.conf"
    assert steps[:2] == [f"write {users}", f"run systemd-sysusers {users}"]
    given = f"give {tmp_path} to pushcli-no-such-user"
    # What belongs to somebody else stays his.
    assert (given in steps[2:]) is (os.geteuid() == 0)
    assert "write /etc/systemd/system/pushcli-no-such-unit.service" in steps


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_all_that_is_in_the_directory_is_given_and_nothing_that_is_linked(tmp_path: Path) -> None:
    place, other = tmp_path / "server", tmp_path / "other"
    (place / "keys").mkdir(parents=True)
    (place / "keys" / "a.pem").touch()
    other.touch()
    (place / "link").symlink_to(other)
    made = plan(service(place, "nobody"), None, force=False)
    (step,) = (step for step in made.steps if step.verb[0] == "give")
    step.do()
    given = {path.lstat().st_uid for path in (place, *place.rglob("*"))}
    assert 0 not in given
    assert other.stat().st_uid == 0
    assert [one for one in plan(service(place, "nobody"), None, force=False).steps
            if one.verb[0] == "give"] == []  # fmt: skip
