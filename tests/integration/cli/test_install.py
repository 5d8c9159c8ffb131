"""`pushcli server install` and `agent install`, from a wheel, into what is no running system."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from tests.integration.server.commands import environment
from tests.support.waiting import patient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
TOP = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def public() -> Iterator[Path]:
    """A directory that other users can enter, as those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="pushcli-tests-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@pytest.fixture(scope="module")
def wheel(public: Path) -> Path:
    """What is in the wheel, unpacked."""
    place = public / "wheel"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
        cwd=TOP, check=True, capture_output=True, timeout=patient(15),
    )  # fmt: skip
    (file,) = place.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(place / "installed")
    return place / "installed"


def pushcli(wheel: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """From the wheel, not from the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "pushcli", *map(str, arguments)],
        env=environment(wheel, PYTHONPATH=str(wheel)), cwd=wheel, capture_output=True, text=True,
        timeout=patient(15), check=False,
    )  # fmt: skip


@pytest.mark.parametrize("part", ["server", "agent"])
def test_a_unit_is_installed_once_and_nobodys_change_is_lost(
    wheel: Path, tmp_path: Path, part: str
) -> None:
    place = tmp_path / "it's 100% here"
    install = (part, "install", "--root", tmp_path, "--dir", place)
    file = tmp_path / f"etc/systemd/system/pushcli-{part}.service"

    dry = pushcli(wheel, *install, "--dry-run")
    assert f"Would write {file}\n" in dry.stdout
    assert not file.exists()

    done = pushcli(wheel, *install)
    assert done.stderr == ""
    assert f"Wrote {file}\n" in done.stdout
    assert done.stdout.endswith(f"  systemctl enable --now pushcli-{part}\n")
    unit = file.read_text()
    assert "Type=notify\n" in unit
    more = " --stand-by" if part == "server" else ""
    assert f'pushcli {part} start{more} --dir "{str(place).replace("%", "%%")}"\n' in unit
    assert f"{file} is installed already" in pushcli(wheel, *install).stdout

    elsewhere = pushcli(wheel, part, "install", "--root", tmp_path)
    assert f"Replaced {file}\n" in elsewhere.stdout
    assert f"  systemctl restart pushcli-{part}\n" in elsewhere.stdout

    file.write_text(file.read_text() + "# mine\n")
    refused = pushcli(wheel, *install)
    assert refused.returncode == ExitStatus.CONFIG
    assert f"{file} was changed here" in refused.stderr
    assert file.read_text().endswith("# mine\n")
    forced = pushcli(wheel, *install, "--force")
    assert f"Kept pushcli-{part}.service as pushcli-{part}.service.old\n" in forced.stdout
    assert file.read_text() == unit
    assert file.with_name(f"{file.name}.old").read_text().endswith("# mine\n")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("part", ["server", "agent"])
def test_systemd_understands_every_line(wheel: Path, tmp_path: Path, part: str) -> None:
    pushcli(wheel, part, "install", "--root", tmp_path, "--dir", "/srv/it's 100% here")
    file = tmp_path / f"etc/systemd/system/pushcli-{part}.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True,
        timeout=patient(15), check=False,
    )  # fmt: skip
    # Other units of this machine may have faults of their own.
    assert [line for line in done.stderr.splitlines() if "pushcli" in line] == []


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="needs systemd-sysusers")
def test_the_servers_user_is_made_from_what_is_installed(wheel: Path, tmp_path: Path) -> None:
    pushcli(wheel, "server", "install", "--root", tmp_path)
    file = tmp_path / "etc/sysusers.d/pushcli-server.conf"
    subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", file],
        capture_output=True, check=True, timeout=patient(15),
    )  # fmt: skip
    assert ":/var/lib/pushcli/server:" in (tmp_path / "etc/passwd").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes another user")
@pytest.mark.skipif(
    not all(path.stat().st_mode & 1 for path in (TOP, *TOP.parents)),
    reason="other users cannot read what is needed here",
)
def test_root_acts_as_the_user_whose_server_it_is(wheel: Path, public: Path) -> None:
    place = public / "server"
    made = pushcli(wheel, "server", "init", "--dir", place, "--org", "acme", "--admin", "ann")
    assert made.returncode == 0, made.stderr
    for path in (place, *place.rglob("*")):
        os.chown(path, 12345, 12345)
    rotated = pushcli(wheel, "server", "rotate-keys", "--dir", place)
    assert rotated.returncode == 0, rotated.stderr
    assert {path.stat().st_uid for path in (place, *place.rglob("*"))} == {12345}
    roots = public / "pivotal.pem"
    keys.write_private_key(roots, keys.generate())
    refused = pushcli(
        wheel, "server", "use-chef", "--dry-run", "--dir", place, f"--set=chef_key={roots}",
        "--set=chef_server_url=https://127.0.0.1:1",
    )  # fmt: skip
    assert f"cannot read the key {roots}: Permission denied for user 12345" in refused.stderr


def test_settings_alone_are_no_server_yet(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "srv/push"
    place.mkdir(parents=True)
    (place / "server.toml").write_text(
        'identity = "chef"\nchef_server_url = "https://chef.example.com"\nchef_key = "it.pem"\n'
        'trusted_proxies = ["127.0.0.1"]\n'
    )
    done = pushcli(wheel, "server", "install", "--root", tmp_path, "--dir", "/srv/push")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  pushcli server init --no-tls --dir /srv/push\n" in done.stdout


def test_where_a_ruby_client_is_its_node_need_not_be_enrolled(wheel: Path, tmp_path: Path) -> None:
    install = ("agent", "install", "--root", tmp_path, "--dry-run")
    assert "migrate" not in pushcli(wheel, *install).stdout
    (tmp_path / "etc/chef").mkdir(parents=True)
    (tmp_path / "etc/chef/client.rb").touch()
    then = pushcli(wheel, *install).stdout.partition("Then, there:\n")[2].splitlines()
    assert then[0].startswith("  pushcli migrate agent  # ")
    assert then[1].startswith("  pushcli agent enroll ")
