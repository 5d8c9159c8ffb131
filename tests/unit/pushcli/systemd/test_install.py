"""What an installation would do to the running system, and the steps that need no system."""

import os
from pathlib import Path

import pytest

from pushcli.errors import ConfigError
from pushcli.systemd import install
from pushcli.systemd.install import Service, plan, require_roots_own


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
    # What root laid there since, by hand, the service could not read.
    os.chown(place / "keys" / "a.pem", 0, 0)
    assert [one for one in plan(service(place, "nobody"), None, force=False).steps
            if one.verb[0] == "give"]  # fmt: skip


def test_an_image_is_written_to_and_this_system_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_RUNNING", tmp_path)
    made = plan(service(tmp_path, "pushcli-no-such-user"), tmp_path / "image", force=False)
    assert [step.verb[0] for step in made.steps] == ["write", "write"]
    before = os.umask(0o077)
    try:
        for step in made.steps:
            step.do()
    finally:
        os.umask(before)
    # Whoever installs keeps his files to himself; these are for all.
    assert {Path(step.what).stat().st_mode & 0o777 for step in made.steps} == {0o644}


@pytest.mark.parametrize("link", ["etc", "etc/systemd"])
def test_a_link_that_leads_out_of_an_image_is_not_followed(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "image", tmp_path / "outside"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    with pytest.raises(ConfigError, match="a link leads out of it"):
        plan(service(tmp_path, ""), root, force=False)
    assert list(outside.iterdir()) == []


def test_what_was_kept_before_stays(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for text in ("one", "two"):
        (units / "pushcli-no-such-unit.service").write_text(text)
        for step in plan(service(tmp_path, ""), tmp_path, force=True).steps:
            step.do()
    kept = {file.read_text() for file in units.glob("*.old*")}
    assert kept == {"one", "two"}


@pytest.mark.skipif(os.geteuid() != 0, reason="root is asked about others")
def test_a_service_of_root_starts_nothing_that_others_can_change(tmp_path: Path) -> None:
    place = tmp_path / "venv/bin"
    place.mkdir(parents=True)
    file = place / "pushcli"
    file.touch()
    require_roots_own(file)
    for path, owner, group, mode in (
        (file, 65534, 0, 0o755),
        (place, 65534, 0, 0o755),
        (place, 0, 0, 0o777),
        (file, 0, 65534, 0o770),
    ):
        os.chown(path, owner, group)
        path.chmod(mode)
        with pytest.raises(ConfigError, match="can be changed by others than root"):
            require_roots_own(file)
        os.chown(path, 0, 0)
        path.chmod(0o755)
    require_roots_own(file)
    # What it leads through is his who could put another there, though all at its end is root's.
    (tmp_path / "link").symlink_to(place)
    os.chown(tmp_path / "venv", 65534, 0)
    with pytest.raises(ConfigError, match="can be changed by others than root"):
        require_roots_own(tmp_path / "link" / "pushcli")
