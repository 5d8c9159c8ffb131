"""`pushcli migrate server`: server.toml made of a Chef Push Jobs server's files."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pushcli.exit_status import ExitStatus
from pushcli_server import settings
from tests.integration.cli.program import Home, Result, assert_one_line

RUBY = """
opscode_pushy_server['heartbeat_interval'] = 1000
opscode_pushy_server['command_port'] = 20002
opscode_pushy_server['server_heartbeat_port'] = 20000
opscode_pushy_server['api_port'] = 20003
opscode_pushy_server['zeromq_listen_address'] = "tcp://*"
opscode_pushy_server['server_name_advertised'] = "push.example.com"
opscode_pushy_server['down_threshold'] = 0.6
opscode_pushy_server['decay_window'] = 4
opscode_pushy_server['detect_offline_nodes_interval'] = 4
opscode_pushy_server['max_body_size'] = 131072
opscode_pushy_server['validate_client_node_name'] = true
opscode_pushy_server['chef_api_version'] = '11.1.0'
opscode_pushy_server['db_pool_size'] = 20
postgresql['vip'] = 'db.example.com'
oc_chef_pedant['debug'] = false
"""
RUNNING = {"private_chef": {
    "lb": {"api_fqdn": "chef.example.com"}, "topology": "standalone",
    "postgresql": {"vip": "127.0.0.1", "port": 5432},
}}  # fmt: skip
SECRETS = {
    "chef-server": {"superuser_key": "-----BEGIN RSA PRIVATE KEY-----\nHUSH"},
    "push-jobs-server": {"pushy_priv_key": "HUSH", "pushy_pub_key": "HUSH", "sql_password": "HUSH"},
}
PUSH, CHEF = "etc/opscode-push-jobs-server", "etc/opscode"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A machine's directories: its system is below `system`."""
    for place in (PUSH, CHEF):
        (tmp_path / "system" / place).mkdir(parents=True)
    return Home(tmp_path)


def write(home: Home, *, ruby: str | None = None, running: Any = None, secrets: Any = None) -> None:
    """The system's files, each if it is given."""
    system = home.path / "system"
    if ruby is not None:
        (system / PUSH / "opscode-push-jobs-server.rb").write_text(ruby)
    for name, content in (("chef-server-running", running), ("private-chef-secrets", secrets)):
        if content is not None:
            (system / CHEF / f"{name}.json").write_text(json.dumps(content))


def migrate(home: Home, *arguments: str) -> Result:
    return home.run("migrate", "server", "--root", "system", "--dir", "server", *arguments)


def remarks(home: Home, *arguments: str) -> dict[str, str]:
    """Those about files that are migrated, by what they are about."""
    result = migrate(home, "-y", "-F", "json", *arguments)
    assert result.status == ExitStatus.OK, result
    return {
        one["about"]: f"{one['kind']}: {one['why']}" for one in json.loads(result.stdout)["remarks"]
    }


def test_the_originals_files_become_server_toml(home: Home) -> None:
    write(home, ruby=RUBY, running=RUNNING, secrets=SECRETS)
    said = remarks(home)
    made = settings.load(home.path / "server")
    assert (made.heartbeat_interval, made.command_port) == (1000, 20002)
    assert (made.server_heartbeat_port, made.api_port) == (20000, 20003)
    assert made.server_name == "push.example.com"
    assert made.zeromq_listen_address == "tcp://*"
    assert made.trusted_proxies == ["127.0.0.1"]
    assert (made.identity, made.chef_server_url) == ("chef", "https://chef.example.com")
    assert (made.chef_user, made.chef_key) == ("pivotal", "/etc/opscode/pivotal.pem")
    assert made.chef_api_version == "11.1.0"
    assert made.chef_direct_url == "http://127.0.0.1:8000"
    assert "must be able to read /etc/opscode/pivotal.pem" in said["identity"]
    file = home.path / "server" / "server.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for name in ("down_threshold", "decay_window", "detect_offline_nodes_interval",
                 "db_pool_size", "oc_chef_pedant",
                 "chef-server.superuser_key", "push-jobs-server.pushy_priv_key",
                 "push-jobs-server.pushy_pub_key", "push-jobs-server.sql_password"):  # fmt: skip
        assert said[name].startswith("left out: ")
    assert said["max_body_size"] == "changed: always 65536"
    assert "validate_client_node_name" not in said
    source = "postgresql://opscode_pushy_ro@db.example.com:5432/opscode_pushy"
    assert f"pushcli migrate history {source}`" in said["postgresql"]
    assert "HUSH" not in str(said) + file.read_text() + migrate(home).stdout


def test_a_server_can_be_made_of_it(home: Home) -> None:
    write(home, ruby=RUBY)
    then = migrate(home, "-y").stdout.partition("Then:")[2]
    place = home.path / "server"
    assert f"pushcli server init --org ORG --admin USER --no-tls --dir {place}" in then
    made = home.run(
        "server", "init", "--org", "acme", "--admin", "ann", "--no-tls", "--dir", "server"
    )
    assert made.status == ExitStatus.OK, made
    assert "http://push.example.com:20003/organizations/acme" in made.stdout
    assert settings.load(place).command_port == 20002
    again = home.run("server", "init", "--org", "acme", "--admin", "ann", "--dir", "server")
    assert "already holds a server" in again.stdout
    # Of a server that is there nothing is overwritten, and nothing need be.
    assert "nothing was changed" in migrate(home).stdout


def test_where_a_chef_server_is_named_it_knows_who_there_is(home: Home) -> None:
    tier = {"private_chef": {**RUNNING["private_chef"], "topology": "tier"}}
    write(home, ruby=RUBY, running=tier)
    place = home.path / "server"
    then = migrate(home, "-y").stdout.partition("Then:")[2]
    is_root = os.geteuid() == 0
    key = f" --set chef_key=pivotal.pem --dir {place}\n  cp /etc/opscode/pivotal.pem {place}"
    where = f" --dir {place}"
    assert then.strip("\n") == "\n".join(
        [f"  pushcli server init --no-tls{key if is_root else where}",
         *([f"  pushcli server install{where}"] if is_root else []),
         "  opscode-push-jobs-server-ctl stop",
         "  systemctl enable --now pushcli-server" if is_root
         else f"  pushcli server start{where}"]
    )  # fmt: skip
    # Port 8000 is on the machine that has Chef's API, which may be another one.
    assert settings.load(place).chef_direct_url == ""
    made = home.run("server", "init", "--no-tls", "--dir", "server")
    assert made.status == ExitStatus.OK, made
    assert (settings.load(place).identity, (place / "keys").exists()) == ("chef", False)


def test_where_none_is_named_that_is_said(home: Home) -> None:
    write(home, ruby=RUBY)
    assert remarks(home)["identity"].startswith("left out: no Chef Infra Server is named")
    assert settings.load(home.path / "server").identity == "own"


def test_what_is_not_set_is_as_in_the_original(home: Home) -> None:
    write(home, running=RUNNING)
    said = remarks(home)
    made = settings.load(home.path / "server")
    assert (made.heartbeat_interval, made.server_name) == (10_000, "chef.example.com")
    assert "10,000 ms" in said["heartbeat_interval"]
    assert "lb.api_fqdn" in said["server_name"]


@pytest.mark.parametrize(
    ("vip", "name"), [("127.0.0.1", "chef.example.com"), ("10.0.0.7", "10.0.0.7")]
)
def test_the_name_is_one_that_agents_can_reach(home: Home, vip: str, name: str) -> None:
    write(home, ruby=f"opscode_pushy_server['vip'] = '{vip}'", running=RUNNING)
    said = remarks(home)
    assert settings.load(home.path / "server").server_name == name
    assert ("tls_cert" in said["trusted_proxies"]) is (name == vip)


def test_the_older_files_are_read(home: Home) -> None:
    write(home, ruby="opscode_pushy_server['vip'] = 'p.example.com'")
    file = home.path / "system" / PUSH / "opscode-push-jobs-server-secrets.json"
    file.write_text(json.dumps({"pushy_priv_key": "HUSH"}))
    assert remarks(home)["pushy_priv_key"].startswith("left out: not needed")


def test_a_second_time_changes_nothing_and_nothing_is_overwritten(home: Home) -> None:
    write(home, running=RUNNING)
    shown = migrate(home, "--dry-run")
    assert (shown.status, (home.path / "server").exists()) == (ExitStatus.OK, False)
    assert "Would write" in shown.stdout
    assert migrate(home, "-y").status == ExitStatus.OK
    assert "nothing was changed" in migrate(home).stdout
    write(home, ruby="opscode_pushy_server['vip'] = 'other.example.com'")
    assert_one_line(migrate(home, "-y"), ExitStatus.CONFIG, "is there already", "another --dir")
    assert settings.load(home.path / "server").server_name == "chef.example.com"


NAMED = "opscode_pushy_server['vip'] = 'p.example.com'\n"


@pytest.mark.parametrize(
    ("ruby", "words"),
    [
        ("", "no name by which agents reach the server"),
        (NAMED + "opscode_pushy_server['api_port'] = port()", "api_port is not a literal"),
        (NAMED + "opscode_pushy_server['api_port'] = 'x'", "api_port"),
        (NAMED + "opscode_pushy_server['api_port'] = 70000", "give 1 to 65535"),
        (NAMED + "opscode_pushy_server['api_port'] = 10000", "overlap"),
        (NAMED + "opscode_pushy_server['api_port'] = [1]", "neither a string nor a number"),
        (NAMED + "if x\n opscode_pushy_server['api_port'] = 1\nend", "is made by code"),
        ("opscode_pushy_server 'x'", "is not a hash"),
        ("opscode_pushy_server['vip'] = 'a b'", "server_name is 'a b'"),
        ("opscode_pushy_server['vip'] = '", "without an end"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_in_a_line(home: Home, ruby: str, words: str) -> None:
    write(home, ruby=ruby)
    assert_one_line(migrate(home, "-y"), ExitStatus.CONFIG, words)
    assert not (home.path / "server").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON"), (b"[1]", "is not an object"), (b"[" * 100_000, "is not JSON"),
        (b"{}", "none of the server's files"), (b"\x7fELF\0", "not a text file"),
        (b'"\xff"', "not UTF-8"), (b" " * 10_000_000, "larger than"),
    ],
)  # fmt: skip
def test_files_that_are_something_else(home: Home, content: bytes, words: str) -> None:
    file = home.path / "file.json"
    file.write_bytes(content)
    result = home.run("migrate", "server", str(file), "--dir", "server", "-y")
    assert_one_line(result, ExitStatus.CONFIG, words, "file.json")


def test_without_any_file_there_is_nothing_to_do(home: Home) -> None:
    assert_one_line(migrate(home), ExitStatus.NOT_FOUND, "chef-server-running.json", "give FILE")


@pytest.mark.parametrize("hostile", [None, 1, [], {"lb": 1}, {"lb": {"api_fqdn": []}}])
def test_a_running_configuration_of_another_shape_has_no_name(home: Home, hostile: object) -> None:
    write(home, running={"private_chef": hostile})
    assert_one_line(migrate(home, "-y"), ExitStatus.CONFIG, "no name by which agents")
