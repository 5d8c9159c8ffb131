"""`pushcli migrate workstation`: profiles made of what knife reads."""

import json
import stat
from pathlib import Path

import pytest

from pushcli import keys, tls
from pushcli.client.credentials import load_profile, profiles
from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import Home, Result, assert_one_line

KNIFE = """
current_dir = File.dirname(__FILE__)
log_level                :info
log_location             STDOUT
node_name                "ann"
client_key               "#{current_dir}/ann.pem"
validation_key           "#{current_dir}/acme-validator.pem"
chef_server_url          "https://chef.example.com/organizations/acme"
cookbook_path            ["#{current_dir}/../cookbooks"]
knife[:editor] = 'vi'
"""
CREDENTIALS = """
[default]
client_name = "bob"
client_key = "bob.pem"
chef_server_url = "https://chef.example.com/organizations/acme"

[lab]
node_name = "bob"
client_key = "/keys/lab.pem"
chef_server_url = "https://lab.example.com/organizations/lab"
ssl_verify_mode = ":verify_peer"

[inline]
client_name = "eve"
client_key = '''-----BEGIN RSA PRIVATE KEY-----
HUSH
'''
chef_server_url = "https://chef.example.com/organizations/acme"

[half]
client_name = "eve"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home directory with a `.chef`."""
    (tmp_path / ".chef").mkdir()
    return Home(tmp_path)


def write(home: Home, name: str, text: str) -> Path:
    file = home.path / ".chef" / name
    file.write_text(text)
    return file


def migrate(home: Home, *arguments: str, **env: str) -> Result:
    return home.run("migrate", "workstation", *arguments, **env)


def ours(home: Home) -> Path:
    return home.path / ".pushcli" / "credentials"


def test_knifes_file_becomes_the_default_profile(home: Home) -> None:
    write(home, "knife.rb", KNIFE)
    result = migrate(home, "-y")
    assert result.status == ExitStatus.OK, result
    made = load_profile(None, home.env)
    assert made.client_name == "ann"
    assert made.client_key == str(home.path / ".chef" / "ann.pem")
    assert made.chef_server_url == "https://chef.example.com/organizations/acme"
    assert stat.S_IMODE(ours(home).stat().st_mode) == 0o600
    for name in ("validation_key", "cookbook_path", "log_level", "knife"):
        assert f"left out: {name}: " in result.stdout
    before = ours(home).read_bytes()
    again = migrate(home)
    assert (again.status, "nothing was changed" in again.stdout) == (ExitStatus.OK, True)
    write(home, "knife.rb", KNIFE.replace('"ann"', '"other"'))
    refused = migrate(home, "-y")
    assert_one_line(refused, ExitStatus.CONFIG, "another profile 'default' already", "--name")
    assert migrate(home, "-y", "--name", "other").status == ExitStatus.OK
    assert ours(home).read_bytes().startswith(before)
    assert load_profile("other", home.env).client_name == "other"


def test_profiles_and_context_are_taken_over(home: Home) -> None:
    write(home, "credentials", CREDENTIALS)
    write(home, "context", "lab\n")
    write(home, "config.rb", KNIFE)
    result = migrate(home, "-y")
    assert result.status == ExitStatus.OK, result
    # Two are called default: the credentials file's stays, knife's is its organization's.
    assert list(profiles(ours(home))) == ["default", "lab", "acme"]
    assert load_profile(None, home.env).client_key == str(home.path / ".chef" / "bob.pem")
    assert load_profile("lab", home.env).client_key == "/keys/lab.pem"
    assert load_profile("acme", home.env).client_name == "ann"
    assert (
        "changed: context lab: pushcli has no active profile: give --profile lab" in result.stdout
    )
    assert "left out: profile inline: its key stands in the file" in result.stdout
    assert "left out: profile half: it has no client_key" in result.stdout
    assert "HUSH" not in result.stdout + ours(home).read_text()


def test_certificates_are_joined_beside_the_profiles(home: Home) -> None:
    write(home, "knife.rb", KNIFE)
    (home.path / ".chef" / "trusted_certs").mkdir()
    certificate, key = tls.make_self_signed(["chef.example.com"])
    write(home, "trusted_certs/chef.crt", certificate + key.decode())
    assert migrate(home, "-y").status == ExitStatus.OK
    made = load_profile(None, home.env)
    assert made.ca_file == home.path / ".pushcli" / "chef-ca.pem"
    assert "PRIVATE" not in made.ca_file.read_text()
    tls.ssl_context(tls.ServerTrust(made.ca_file))


def test_the_file_is_the_one_that_knife_reads(home: Home) -> None:
    assert_one_line(migrate(home), ExitStatus.NOT_FOUND, "give FILE")
    for place, name in ((".chef", "knife.rb"), (".chef", "config.rb"), ("knife", "knife.rb")):
        (home.path / place).mkdir(exist_ok=True)
        (home.path / place / name).write_text(KNIFE.replace('"ann"', f'"{place[1:]}.{name}"'))
        shown = migrate(home, "--dry-run", KNIFE_HOME=str(home.path / "knife"))
        assert f'client_name = "{place[1:]}.{name}"' in shown.stdout
    assert not ours(home).exists()


def test_a_key_that_is_not_named_lies_beside_the_file(home: Home) -> None:
    write(home, "knife.rb", KNIFE.replace("client_key ", "# "))
    assert_one_line(migrate(home, "-y"), ExitStatus.CONFIG, "neither ann.pem nor user.pem")
    for name in ("user.pem", "ann.pem"):
        write(home, name, "")
        found = json.loads(migrate(home, "--dry-run", "-F", "json").stdout)["files"][0]["content"]
        assert f'client_key = "{home.path}/.chef/{name}"' in found


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("ssl_verify_mode :verify_none", "verify_none"),
        ("node_name `whoami`", "node_name is not a literal"),
        ("chef_server_url 'https://x'", "no organization"),
        ("client_key '-----BEGIN RSA PRIVATE KEY-----HUSH'", "holds a key"),
        ("x '", "without an end"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_in_a_line(home: Home, more: str, words: str) -> None:
    write(home, "knife.rb", KNIFE + more)
    result = migrate(home, "-y")
    assert_one_line(result, ExitStatus.CONFIG, words)
    assert "HUSH" not in result.stderr
    assert not ours(home).exists()


@pytest.mark.parametrize("content", [b"[", b"\xff", b"\0", b"a = 1", b"x = " + b"[" * 5000])
def test_credentials_that_are_something_else(home: Home, content: bytes) -> None:
    file = home.path / "credentials"
    file.write_bytes(content)
    assert_one_line(migrate(home, str(file), "-y"), ExitStatus.CONFIG, "credentials")


@pytest.mark.parametrize("name", ["nosuch/knife.rb", "nosuch", ".chef", "x/../nosuch.rb"])
def test_places_that_hold_no_file(home: Home, name: str) -> None:
    assert_one_line(migrate(home, name, "-y"), ExitStatus.CONFIG, "cannot read", "check the path")


def test_a_directory_of_certificates_that_is_something_else(home: Home) -> None:
    write(home, "knife.rb", KNIFE + "trusted_certs_dir '/proc/self/mem'")
    assert "there is no certificate" in migrate(home, "-y").stdout
    assert load_profile(None, home.env).ca_file is None


def test_a_key_is_never_read(home: Home) -> None:
    write(home, "knife.rb", KNIFE)
    key = keys.private_pem(keys.generate()).decode()
    write(home, "ann.pem", key)
    shown = migrate(home, "-y").stdout
    assert key.splitlines()[1] not in shown + ours(home).read_text()
