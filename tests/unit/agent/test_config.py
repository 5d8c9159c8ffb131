"""agent.toml and the command line."""

from pathlib import Path

import msgspec
import pytest

from pushcli.errors import ConfigError
from pushcli_agent import config
from pushcli_agent.config import Overrides

MINIMAL = 'chef_server_url = "https://push/organizations/acme"\nnode_name = "web01"\n'


def load(tmp_path: Path, text: str = "", **given: str) -> config.AgentSettings:
    file = tmp_path / "agent.toml"
    file.write_text(MINIMAL + text)
    return config.load(file, Overrides(**given))


def test_the_defaults_are_the_old_agent_s(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.file_dir == "/tmp/chef-push"
    assert settings.file_dir_expiry == 86_400
    assert settings.organization == "acme"
    assert settings.whitelist == {}


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, 'spool_dir = "state/spool"\n')
    assert settings.client_key == str(tmp_path / "client.pem")
    assert settings.spool_dir == str(tmp_path / "state/spool")


def test_the_command_line_wins(tmp_path: Path) -> None:
    settings = load(tmp_path, 'log_level = "warn"\n', log_level="debug", node_name="web02")
    assert (settings.log_level, settings.node_name) == ("debug", "web02")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("white_list = {}", r"unknown key 'white_list': did you mean 'whitelist'\?"),
        ("file_dir_expiry = 'soon'", "file_dir_expiry: expected int"),
        ("max_output_bytes = 0", "max_output_bytes"),
        ("signing_version = '2.0'", "signing_version"),
        ("whitelist = 'ls'", "whitelist"),
        ("[whitelist", "is not valid TOML"),
        ("allowed_dirs = ['srv']", "allowed_dirs: 'srv' is not an absolute path"),
        ("allowed_dirs = '/srv'", "allowed_dirs"),
        ("allowed_dir = ['/srv']", r"unknown key 'allowed_dir': did you mean 'allowed_dirs'\?"),
        ("rename_env = 1", "rename_env"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize("name", ["..", "a b", "x/y", ""])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="invalid node_name"):
        load(tmp_path, node_name=name)


@pytest.mark.parametrize(
    "url", ["https://push", "ftp://push/organizations/acme", "push/organizations/acme",
            "https://push/organizations/Acme", "https://push:x/organizations/acme"],
)  # fmt: skip
def test_a_url_without_an_organization_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="must be https"):
        load(tmp_path, chef_server_url=url)


def test_a_log_level_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="on the command line"):
        load(tmp_path, log_level="loud")


def test_the_directory_is_the_given_then_the_environment_s() -> None:
    given = Path("/x")
    assert config.directory(given, {"PUSHCLI_AGENT_DIR": "/y"}) == given
    assert config.directory(None, {"PUSHCLI_AGENT_DIR": "/y"}) == Path("/y")


def test_every_key_stands_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "agent.md").read_text()
    for field in msgspec.structs.fields(config.AgentSettings):
        assert f"| `{field.name}` |" in text


def urls(tmp_path: Path, listed: str) -> config.AgentSettings:
    file = tmp_path / "agent.toml"
    file.write_text(f'chef_server_url = {listed}\nnode_name = "web01"\n')
    return config.load(file, Overrides())


def test_a_server_may_have_several_urls(tmp_path: Path) -> None:
    both = ("https://a/organizations/acme", "https://b:10003/organizations/acme/")
    settings = urls(tmp_path, f'["{both[0]}", "{both[1]}"]')
    assert settings.server_urls == both
    assert settings.organization == "acme"


def test_one_on_the_command_line_takes_the_place_of_all(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('chef_server_url = ["https://a/organizations/acme"]\nnode_name = "web01"\n')
    given = Overrides(chef_server_url="https://b/organizations/other")
    settings = config.load(file, given)
    assert settings.server_urls == ("https://b/organizations/other",)
    assert settings.organization == "other"


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("[]", "chef_server_url lists 0 URLs"),
        (str([f"https://s{n}/organizations/acme" for n in range(17)]), "lists 17 URLs"),
        (
            '["https://a/organizations/acme", "https://b/organizations/beta"]',
            r"several organizations \(acme, beta\)",
        ),
        ('["https://a/organizations/acme", "https://b"]', "'https://b' names no organization"),
        ('["https://a/organizations/acme", 5]', "chef_server_url"),
        ("5", "chef_server_url"),
    ],
)
def test_urls_that_are_not_of_one_server_are_named(
    tmp_path: Path, listed: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        urls(tmp_path, listed)
