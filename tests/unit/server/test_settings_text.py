"""server.toml is changed where it stands; every other byte stays."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli import toml_settings
from pushcli.errors import ConfigError
from pushcli_server import settings
from pushcli_server.settings import Settings
from pushcli_server.settings_text import with_values

URL = "https://chef.example.com"
CHEF = {"identity": "chef", "chef_server_url": URL, "chef_key": "pivotal.pem"}


def changed(text: str, values: Mapping[str, object], *without: str) -> str:
    return with_values(text, values, without=without, source="server.toml")


def loaded(text: str) -> Settings:
    return toml_settings.parse(text, Settings, "server.toml")


def test_a_setting_goes_where_init_left_it_as_a_comment() -> None:
    before = settings.render(Settings(api_port=5000))
    after = changed(before, CHEF)
    lines = zip(before.splitlines(), after.splitlines(), strict=True)
    assert [pair for pair in lines if pair[0] != pair[1]] == [
        ('# identity = "own"', 'identity = "chef"'),
        ('# chef_server_url = ""', f'chef_server_url = "{URL}"'),
        ('# chef_key = ""', 'chef_key = "pivotal.pem"'),
    ]
    assert loaded(after) == Settings(api_port=5000, **CHEF)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'identity = "chef"\n'),
        ("api_port = 5 # mine", 'api_port = 5 # mine\nidentity = "chef"\n'),
        ("identity='own' # x\r\napi_port = 5\r\n", 'identity="chef" # x\r\napi_port = 5\r\n'),
        ('"identity" = """own""" # x\n', '"identity" = "chef" # x\n'),
        ("#identity = 1\n# identity = 2\n", 'identity = "chef"\n# identity = 2\n'),
        # What only looks like it.
        (
            'log_file = """\n# identity = 1\n"""\n',
            'log_file = """\n# identity = 1\n"""\nidentity = "chef"\n',
        ),
    ],
)  # fmt: skip
def test_it_goes_where_it_stands(before: str, after: str) -> None:
    assert changed(before, {"identity": "chef"}) == after


def test_what_goes_becomes_a_comment() -> None:
    before = 'api_port = 5\nchef_key = """\\\n  a\n"""  # b\ntrusted_proxies = [\n  "::1",\n]\n'
    after = changed(before, {}, "chef_key", "trusted_proxies", "chef_user")
    assert after == (
        'api_port = 5\n# chef_key = """\\\n#   a\n# """  # b\n'
        '# trusted_proxies = [\n#   "::1",\n# ]\n'
    )
    assert loaded(after) == Settings(api_port=5)


@pytest.mark.parametrize("text", ["x = ", "nosuch = 1", "api_port = 'x'", "[identity]\na = 1\n"])
def test_what_is_no_text_of_settings_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        changed(text, {"identity": "chef"})


LINES = st.lists(
    st.sampled_from(
        ["api_port = 5", "# identity = 'own'", "identity = 'own'", "", "  # x", "chef_cache=7 # y",
         "chef_user = '''a'''", "trusted_proxies = [ # z\n '::1',\n]", "log_level='debug'"]
    ),
    unique=True,
)  # fmt: skip


@given(lines=LINES, end=st.sampled_from(["", "\n", "\r\n"]), name=st.text())
def test_there_and_back_says_the_same(lines: list[str], end: str, name: str) -> None:
    text = "\n".join(lines) + end
    there = changed(text, {**CHEF, "chef_user": name})
    assert loaded(there).chef_user == name
    back = changed(there, {"identity": "own"}, *(n for n in CHEF if n != "identity"), "chef_user")
    wanted = {n: getattr(loaded(text), n) for n in ("api_port", "chef_cache", "log_level")}
    assert {n: getattr(loaded(back), n) for n in wanted} == wanted
    assert loaded(back).chef_server_url == ""
    for line in lines:
        if line and "identity" not in line and "chef_user" not in line:
            assert line in back
