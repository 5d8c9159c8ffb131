"""Profiles: Chef's format, what wins over what, and adding one without harm."""

import re
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli import keys
from pushcli.client import credentials
from pushcli.client.credentials import Profile, add_profile, load_profile
from pushcli.errors import ConfigError, KeyFileError
from tests.support.examples import examples

URL = "https://push.example.com:10003/organizations/acme"
PROFILE = f"""
[default]
client_name = "ann"
client_key = "ann.pem"
chef_server_url = "{URL}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A credentials file with the default profile."""
    return write(tmp_path / ".pushcli" / "credentials", PROFILE)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    path.write_text(text)
    return path


def home(path: Path, **env: str) -> dict[str, str]:
    return {"HOME": str(path), **env}


def test_the_default_profile_is_read_with_its_key_beside_it(tmp_path: Path, file: Path) -> None:
    assert load_profile(None, home(tmp_path)) == Profile(
        name="default",
        chef_server_url=URL,
        client_name="ann",
        client_key=str(file.parent / "ann.pem"),
    )


def test_chefs_own_file_serves_where_ours_is_missing(tmp_path: Path) -> None:
    chef = write(
        tmp_path / ".chef" / "credentials",
        f"""
['default']
node_name = 'ann'
client_key = '~/keys/ann.pem'
chef_server_url = '{URL}'
validation_client_name = 'known to knife, not to us'
knife = {{ ssh_user = 'root' }}
""",
    )
    profile = load_profile(None, home(tmp_path))
    assert profile.client_name == "ann"
    assert profile.client_key == str(Path("~/keys/ann.pem").expanduser())
    write(tmp_path / ".pushcli" / "credentials", PROFILE.replace("ann", "bob"))
    assert load_profile(None, home(tmp_path)).client_name == "bob"
    assert load_profile(None, home(tmp_path), config=chef).client_name == "ann"


def test_trust_and_signing_are_taken_from_the_profile(tmp_path: Path, file: Path) -> None:
    pin = "SHA256:" + "ab" * 32
    write(file, PROFILE + f'ca_file = "ca.pem"\nfingerprint = "{pin}"\nsigning_version = "1.1"\n')
    profile = load_profile(None, home(tmp_path))
    assert profile.ca_file == file.parent / "ca.pem"
    assert (profile.fingerprint, profile.signing_version) == (pin, "1.1")
    env = home(tmp_path, PUSHCLI_CA_FILE="/etc/ca.pem", PUSHCLI_FINGERPRINT="cd" * 32)
    profile = load_profile(None, env)
    assert (profile.ca_file, profile.fingerprint) == (Path("/etc/ca.pem"), "cd" * 32)


def test_how_many_nodes_need_no_confirmation_is_in_the_profile(tmp_path: Path) -> None:
    path = tmp_path / ".pushcli" / "credentials"
    write(path, PROFILE)
    assert load_profile(None, home(tmp_path)).confirm_above == 100
    write(path, PROFILE + "confirm_above = 0\n")
    assert load_profile(None, home(tmp_path)).confirm_above == 0
    write(path, PROFILE + "confirm_above = -1\n")
    with pytest.raises(ConfigError, match="confirm_above"):
        load_profile(None, home(tmp_path))


SEVERAL = PROFILE.replace(
    f'"{URL}"',
    '["https://a.example.com/organizations/acme", "https://b.example.com:10003/organizations/acme/"]',
)


def test_a_server_may_have_several_urls(tmp_path: Path) -> None:
    write(tmp_path / ".pushcli" / "credentials", SEVERAL + 'fingerprint = "SHA256:AA"\n')
    profile = load_profile(None, home(tmp_path))
    assert profile.chef_server_url == "https://a.example.com/organizations/acme"
    assert profile.other_urls == ("https://b.example.com:10003/organizations/acme/",)
    assert profile.fingerprint == "SHA256:AA"
    # Who names one means that one; the pin is of all.
    for url, pin in (("https://b.example.com:10003/organizations/x", "SHA256:AA"), (URL, None)):
        named = load_profile(None, home(tmp_path, PUSHCLI_SERVER_URL=url))
        assert (named.chef_server_url, named.other_urls) == (url, ())
        assert named.fingerprint == pin


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ("[]", "has no chef_server_url: add it there"),
        (f'["{URL}", "{URL}2"]', "the URLs are of several organizations (acme, acme2): make"),
        (f'["{URL}", "https://b.example.com"]', "no organization in the URL 'https://b.example"),
        (f'["{URL}", 3]', "Expected `str`, got `int` - at `$.chef_server_url[1]`"),
        ("3", "Expected `str | array | null`, got `int` - at `$.chef_server_url`"),
        (str([URL] * 17), "has more than 16 URLs: leave some out"),
    ],
)
def test_urls_that_do_not_do_are_explained(tmp_path: Path, urls: str, words: str) -> None:
    write(tmp_path / ".pushcli" / "credentials", PROFILE.replace(f'"{URL}"', urls))
    with pytest.raises(ConfigError, match=re.escape(words.replace("`", ""))):
        load_profile(None, home(tmp_path))


def test_a_profile_with_several_urls_is_read_back(tmp_path: Path) -> None:
    values: credentials.Values = {
        "client_name": "ann", "client_key": "/k", "chef_server_url": [URL, f"{URL}/"],
    }  # fmt: skip
    file = tmp_path / "credentials"
    assert add_profile(file, "acme", values)
    read = load_profile("acme", home(tmp_path), config=file)
    assert (read.chef_server_url, read.other_urls) == (URL, (f"{URL}/",))
    assert credentials.profile_of_values("acme", values, "it").other_urls == (f"{URL}/",)


@pytest.mark.parametrize(
    ("key", "meant"), [("confirm_abov", "confirm_above"), ("chef_server_ur", "chef_server_url")]
)
def test_a_misspelt_key_is_not_taken_for_one_of_knifes(
    tmp_path: Path, key: str, meant: str
) -> None:
    write(tmp_path / ".pushcli" / "credentials", f'{PROFILE}{key} = "x"\n')
    with pytest.raises(ConfigError, match=f"unknown key '{key}': did you mean '{meant}'"):
        load_profile(None, home(tmp_path))


@pytest.mark.parametrize(
    "key", ["validation_key", "validation_client_name", "ssl_verify_mode", "trusted_certs_dir",
            "chef_server_root", "ssl_ca_file", "cookbook_path", "knife"],
)  # fmt: skip
def test_keys_of_knife_are_left_alone(tmp_path: Path, key: str) -> None:
    write(tmp_path / ".pushcli" / "credentials", f'{PROFILE}{key} = "x"\n')
    assert load_profile(None, home(tmp_path)).client_name == "ann"


def test_a_pin_does_not_go_with_another_server(tmp_path: Path, file: Path) -> None:
    write(file, PROFILE + f'fingerprint = "{"ab" * 32}"\n')
    env = home(tmp_path)
    other_org = URL.replace("acme", "umbrella")
    assert load_profile(None, env, server_url=other_org).fingerprint is not None
    other_server = URL.replace("push", "pull")
    assert load_profile(None, env, server_url=other_server).fingerprint is None


@pytest.mark.parametrize(
    ("name", "env", "user"),
    [
        (None, {}, "ann"),
        (None, {"CHEF_PROFILE": "chef"}, "cho"),
        (None, {"CHEF_PROFILE": "chef", "PUSHCLI_PROFILE": "ours"}, "pat"),
        ("given", {"CHEF_PROFILE": "chef", "PUSHCLI_PROFILE": "ours"}, "gus"),
    ],
)
def test_a_profile_is_chosen_by_option_then_environment(
    tmp_path: Path, file: Path, name: str | None, env: dict[str, str], user: str
) -> None:
    for profile, client in (("chef", "cho"), ("ours", "pat"), ("given", "gus")):
        add_profile(
            file,
            profile,
            {"client_name": client, "client_key": "k.pem", "chef_server_url": URL},
        )
    assert load_profile(name, home(tmp_path, **env)).client_name == user


def test_options_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, file: Path
) -> None:
    env = home(tmp_path, PUSHCLI_USER="eve", PUSHCLI_KEY="eve.pem", PUSHCLI_SERVER_URL=URL + "2")
    profile = load_profile(None, env, user="oli")
    assert profile.client_name == "oli"
    # Only paths that stand in the file are relative to it.
    assert (profile.client_key, profile.chef_server_url) == ("eve.pem", URL + "2")


def test_no_file_is_needed_where_all_is_given(tmp_path: Path) -> None:
    env = home(tmp_path, PUSHCLI_SERVER_URL=URL)
    profile = load_profile(None, env, user="oli", key=Path("oli.pem"))
    assert (profile.client_name, profile.client_key) == ("oli", "oli.pem")


def test_a_key_may_stand_in_the_file_if_nobody_else_can_read_it(tmp_path: Path, file: Path) -> None:
    pem = keys.private_pem(keys.generate()).decode()
    write(file, PROFILE.replace('"ann.pem"', f'"""\n{pem}"""'))
    assert load_profile(None, home(tmp_path)).client_key == pem
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match=f"readable by others.*chmod 600 {file}"):
        load_profile(None, home(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no credentials at"),
        (None, "ask your administrator for the server's URL"),
        ("", "has no profile 'default': it has none"),
        ("[other]\nclient_name = 'x'", "has no profile 'default': it has other"),
        ("default = 1", "has no profile 'default'"),
        ("[default]\n", "has no chef_server_url"),
        (PROFILE.replace("client_name", "name"), "has no client_name"),
        (PROFILE.replace("client_key", "key"), "has no client_key"),
        (PROFILE.replace('"ann"', "7"), "profile 'default': Expected str | null, got int"),
        (PROFILE + 'signing_version = "2.0"', "unknown signing_version '2.0': use one of 1.0,"),
        (PROFILE.replace("/organizations", ""), "no organization in the URL"),
        (PROFILE.replace("ann.pem", "~no-such-user/ann.pem"), "no such home directory"),
        ("[default", "is not valid TOML"),
        ("x = " + "[" * 60_000, "is not valid TOML"),
    ],
    ids=lambda value: repr(value)[-40:],
)
def test_credentials_that_do_not_do_are_explained(
    tmp_path: Path, text: str | None, words: str
) -> None:
    if text is not None:
        write(tmp_path / ".pushcli" / "credentials", text)
    with pytest.raises(ConfigError) as caught:
        load_profile(None, home(tmp_path))
    assert words in str(caught.value).replace("`", "")
    assert str(tmp_path) in str(caught.value) or "organization" in words
    assert "\n" not in str(caught.value)


def test_a_missing_file_that_was_asked_for_is_an_error_even_if_all_is_given(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="no credentials at"):
        load_profile(None, {}, config=tmp_path / "x", server_url=URL, user="a", key=Path("a.pem"))


def test_a_profile_is_added_to_a_new_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / ".pushcli" / "credentials"
    assert add_profile(path, "default", {"client_name": "ann"})
    assert path.read_text() == '[default]\nclient_name = "ann"\n'
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_profile_that_is_there_is_left_alone(file: Path) -> None:
    before = file.read_bytes()
    assert not add_profile(file, "default", {"client_name": "bob"})
    assert file.read_bytes() == before


def test_a_profile_is_added_behind_what_is_there_even_without_a_last_newline(
    file: Path,
) -> None:
    file.write_text("# mine\n[mine]\nclient_name = 'ann'")
    assert add_profile(file, "acme", {"client_name": "bob"})
    assert file.read_text().startswith("# mine\n[mine]\nclient_name = 'ann'\n")
    assert credentials.profiles(file)["acme"] == {"client_name": "bob"}


def test_nothing_is_added_to_a_file_that_cannot_be_read(file: Path) -> None:
    file.write_text("[default")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        add_profile(file, "acme", {"client_name": "bob"})
    assert file.read_text() == "[default"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write"):
        add_profile(tmp_path / "file" / "credentials", "acme", {})


@settings(max_examples=examples(200), deadline=None)
@given(name=st.text(min_size=1, max_size=20), value=st.text(max_size=40))
def test_any_name_and_value_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "credentials"
    path.write_text(PROFILE)
    added = add_profile(path, name, {"client_name": value})
    assert added == (name != "default")
    if added:
        assert tomli.loads(path.read_text())[name] == {"client_name": value}


def test_the_documentation_names_every_key_and_its_example_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "credentials.md").read_text()
    of_other_keys = {"name", "other_urls", "identity_remedy", "trust_remedy"}
    for field in set(Profile.__struct_fields__) - of_other_keys:
        assert f"`{field}`" in page
    example = page.partition("```toml\n")[2].partition("```")[0]
    file = write(tmp_path / ".pushcli" / "credentials", example)
    for name in credentials.profiles(file):
        assert load_profile(name, home(tmp_path)).client_name == "ann"


@pytest.mark.parametrize(
    ("given", "env", "where"),
    [
        ({}, {}, ""),
        ({"user": "bob"}, {}, "check --user and client_key of profile 'default'"),
        ({"key": Path("b.pem")}, {}, "check client_name of profile 'default' and --key"),
        ({}, {"PUSHCLI_USER": "b", "PUSHCLI_KEY": "b.pem"}, "check PUSHCLI_USER and PUSHCLI_KEY"),
    ],
)
def test_where_name_and_key_came_from_is_where_to_look(
    tmp_path: Path, file: Path, given: dict[str, Any], env: dict[str, str], where: str
) -> None:
    profile = load_profile(None, {**home(tmp_path), **env}, **given)
    assert profile.identity_remedy.startswith(where)
    assert bool(profile.identity_remedy) == bool(where)
