"""`server.toml`: what is written, read, and refused with one clear line."""

import math
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli.errors import ConfigError
from pushcli_server import settings
from pushcli_server.settings import Settings

CHANGED = Settings(
    api_port=1, command_port=2, heartbeat_interval=500, server_heartbeat_port=3,
    server_name="push.example.com", zeromq_listen_address="tcp://[::1]",
    advertised_host="nat.example.com", advertised_command_port=4, advertised_heartbeat_port=5,
    api_listen_address="127.0.0.9", voting_timeout=2.5, offline_threshold=5, online_threshold=4,
    lifetime=60, reconfigure_splay=7.5, restart_grace=1.5, lost_grace=2.5,
    max_job_output_bytes=2**20, max_stored_output_bytes=2**21, output_retention="1d12h",
    max_stored_jobs=5000, job_retention="1w", audit_retention="52w", default_capture=False,
    database_url="postgresql://db/pushcli",
    identity="chef", chef_server_url="https://chef.example.com", chef_user="push",
    chef_key="chef.pem", chef_ca_file="ca.pem", chef_fingerprint="ab" * 32,
    chef_direct_url="http://127.0.0.1:8000", chef_cache=5, chef_poll=7.5, lease=20,
    chef_api_version="11.1.0",
    tls_cert="c \"'\u2603.pem", tls_key="k.pem", trusted_proxies=["10.0.0.0/8", "::1"],
    monitoring_networks=[],
    log_level="debug", log_format="json", log_target="file", log_file="server.log",
)  # fmt: skip


def write(directory: Path, text: str) -> Path:
    (directory / settings.FILE).write_text(text)
    return directory


def message(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings.load(write(directory, text))
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("given", [Settings(), CHANGED], ids=["defaults", "changed"])
def test_what_is_written_is_read_again(tmp_path: Path, given: Settings) -> None:
    assert settings.load(write(tmp_path, settings.render(given))) == given


def test_every_setting_stands_there_with_a_comment_and_its_default() -> None:
    text = settings.render(Settings())
    assert tomllib.loads(text) == {}
    for field in msgspec.structs.fields(Settings):
        default = re.escape(msgspec.json.encode(getattr(Settings(), field.name)).decode())
        assert re.search(rf"^# .+\. Default: {default}\n# {field.name} = {default}$", text, re.M)


def test_the_changed_example_changes_every_setting() -> None:
    for name in (field.name for field in msgspec.structs.fields(Settings)):
        assert getattr(CHANGED, name) != getattr(Settings(), name), name


@pytest.mark.parametrize("value", [2**80, -(2**80), -1, 1e308])
@pytest.mark.parametrize(
    "name",
    [field.name for field in msgspec.structs.fields(Settings) if field.type in {int, float}],
)
def test_every_number_has_a_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        settings.check(msgspec.structs.replace(Settings(), **{name: value}), "server.toml")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name", [field.name for field in msgspec.structs.fields(Settings) if field.type is float]
)
def test_no_number_is_infinite_or_none(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        settings.check(msgspec.structs.replace(Settings(), **{name: value}), "server.toml")


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert settings.load(write(tmp_path, "")) == Settings()


def test_a_missing_file_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no server at .*: run `pushcli server init"):
        settings.load(tmp_path)


def test_an_unknown_key_names_the_near_miss(tmp_path: Path) -> None:
    told = message(tmp_path, "api_prot = 1\n")
    assert "unknown key 'api_prot'" in told
    assert "did you mean 'api_port'?" in told


REFUSED: list[tuple[str, str]] = [
    ("api_port =", "not valid TOML"),
    ('api_port = "1"', "api_port: expected int"),
    ("api_port = true", "api_port: expected int"),
    ("api_port = 1.5", "api_port"),
    ("api_port = 0", "api_port is 0: give 1 to 65535"),
    ("command_port = 65536", "command_port is 65536"),
    ("command_port = 10003", "give three different ports"),
    ('advertised_host = "a b"', "advertised_host is 'a b'"),
    ('advertised_host = "nat:10002"', "advertised_host is 'nat:10002'"),
    ("advertised_command_port = 65536", "advertised_command_port is 65536"),
    ("advertised_heartbeat_port = -1", "advertised_heartbeat_port is -1"),
    ("advertised_heartbeat_port = 10002", "advertised_heartbeat_port different ports"),
    ("heartbeat_interval = 9", "heartbeat_interval is 9"),
    ("offline_threshold = 0", "offline_threshold is 0"),
    ("online_threshold = -1", "online_threshold is -1"),
    ("voting_timeout = nan", "voting_timeout is nan"),
    ("lost_grace = inf", "lost_grace is inf"),
    ("lifetime = 0", "lifetime is 0"),
    ('server_name = ""', "server_name is ''"),
    ('server_name = "a b"', "server_name is 'a b'"),
    ('server_name = "https://push"', "server_name is 'https://push'"),
    ('server_name = "b\u00fccher.example"', "server_name is"),
    (f'server_name = "{"x" * 64}"', "server_name is"),
    (f'server_name = "{".".join(["x" * 60] * 5)}"', "server_name is"),
    ('zeromq_listen_address = "*"', "give tcp://* or tcp://ADDRESS"),
    ('zeromq_listen_address = "tcp://*:10002"', "without a port"),
    ('zeromq_listen_address = "ipc:///tmp/x"', "give tcp://* or tcp://ADDRESS"),
    ('output_retention = "30"', "output_retention is '30': a number without a unit"),
    ('output_retention = "never"', "output_retention is 'never': not a duration"),
    ('output_retention = "0"', 'give 1s or more, or "forever"'),
    ('job_retention = "59m"', 'give 1h or more, or "forever"'),
    ('audit_retention = "0"', 'give 1h or more, or "forever"'),
    ("output_retention = 30", "output_retention: expected str"),
    ("max_stored_output_bytes = 0", "max_stored_output_bytes is 0"),
    ('tls_cert = "c.pem"', "set both or neither"),
    ('tls_key = "k.pem"', "set both or neither"),
    ('api_listen_address = "0.0.0.0"', "plain HTTP on 0.0.0.0"),
    ('api_listen_address = "::"', "plain HTTP on ::"),
    ('api_listen_address = "push.example.com"', "plain HTTP on push.example.com"),
    ('trusted_proxies = ["10.0.0.1/8"]', "trusted_proxies has '10.0.0.1/8'"),
    ('trusted_proxies = ["proxy"]', "trusted_proxies has 'proxy'"),
    ('monitoring_networks = ["all"]', "monitoring_networks has 'all'"),
    ('trusted_proxies = "10.0.0.1"', "trusted_proxies: expected array"),
    ('log_level = "loud"', "log_level"),
    ('log_format = "xml"', "log_format"),
    ('log_target = "paper"', "log_target"),
    ('log_target = "file"', "log_file is not set"),
    ('log_target = "syslog"\nlog_file = "x"', "exclude each other"),
    ('log_file = "a\\u0000b"', "holds a NUL"),
]


@pytest.mark.parametrize(("line", "told"), REFUSED, ids=[line[:40] for line, _ in REFUSED])
def test_a_wrong_value_is_named(tmp_path: Path, line: str, told: str) -> None:
    assert told in message(tmp_path, f"{line}\n")


@pytest.mark.parametrize("name", ["push", "10.0.0.1", "::1", "a_b.example.com", "x" * 63])
def test_names_and_addresses_of_a_server(name: str) -> None:
    assert settings.check(Settings(server_name=name), "x").server_name == name


def test_agents_are_told_where_they_reach_a_server_behind_nat() -> None:
    plain = Settings(server_name="push")
    assert (plain.command_address, plain.heartbeat_address) == (
        "tcp://push:10002", "tcp://push:10000",
    )  # fmt: skip
    behind = Settings(
        server_name="push", advertised_host="192.0.2.1", advertised_command_port=443,
        advertised_heartbeat_port=444,
    )  # fmt: skip
    assert behind.command_address == "tcp://192.0.2.1:443"
    assert behind.heartbeat_address == "tcp://192.0.2.1:444"
    assert Settings(server_name="::1").command_address == "tcp://[::1]:10002"
    # Two devices may forward the same port.
    settings.check(Settings(advertised_command_port=10003), "x")


@pytest.mark.parametrize("host", ["", "127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_plain_http_may_listen_on_loopback(host: str) -> None:
    settings.check(Settings(api_listen_address=host), "x")


def test_with_tls_the_server_listens_everywhere_unless_told_otherwise() -> None:
    tls: dict[str, Any] = {"tls_cert": "c", "tls_key": "k"}
    assert Settings(**tls).listen_host == "0.0.0.0"
    assert Settings(**tls, api_listen_address="10.0.0.1").listen_host == "10.0.0.1"
    assert settings.check(Settings(**tls, api_listen_address="10.0.0.1"), "x").tls
    assert Settings().listen_host == "127.0.0.1"


def test_the_url_puts_an_ipv6_address_in_brackets() -> None:
    assert Settings(server_name="::1").api_url == "http://[::1]:10003"
    assert Settings(tls_cert="c", tls_key="k").api_url == "https://127.0.0.1:10003"


@pytest.mark.parametrize(
    ("more", "is_behind"),
    [
        ({}, False),
        ({"server_name": "push.example.com"}, True),
        ({"server_name": "::1"}, False),
        ({"server_name": "push.example.com", "tls_cert": "c", "tls_key": "k"}, False),
        ({"identity": "chef"}, True),
    ],
)
def test_plain_http_on_loopback_for_others_is_behind_a_proxy(
    more: dict[str, Any], is_behind: bool
) -> None:
    assert Settings(**more).is_behind_somebody is is_behind


def test_values_of_the_command_line_are_json_or_plain_text() -> None:
    made = settings.with_values(
        Settings(), ["api_port=5", "server_name=push", 'trusted_proxies=["::1"]'], "--set"
    )
    assert made == Settings(api_port=5, server_name="push", trusted_proxies=["::1"])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("api_prot=5", "did you mean 'api_port'?"),
        ("api_port=x", "api_port"),
        ("api_port", "api_port"),
        ("server_name=\udcff", "server_name is not UTF-8"),
    ],
)
def test_a_wrong_value_of_the_command_line(value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        settings.with_values(Settings(), [value], "--set")
    assert str(caught.value).startswith("--set: ")


def test_how_long_something_is_kept_is_a_time_or_for_ever() -> None:
    assert settings.seconds_kept(Settings().output_retention) == 30 * 86_400
    assert settings.seconds_kept("36h") == 36 * 3600
    forever = settings.check(Settings(output_retention="forever"), "x").output_retention
    assert settings.seconds_kept(forever) == math.inf


CHEF = 'identity = "chef"\nchef_server_url = "https://chef.example.com"\nchef_key = "pivotal.pem"\n'


def test_a_chef_server_is_named_whole(tmp_path: Path) -> None:
    assert settings.load(write(tmp_path, CHEF)).chef_user == "pivotal"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ('chef_server_url = ""', "needs chef_server_url"),
        ('chef_key = ""', "needs chef_key"),
        ('chef_server_url = "https://chef.example.com/organizations/acme"', "without"),
        ('chef_server_url = "http://chef.example.com"', "plain HTTP over a network"),
        ('chef_server_url = "ftp://chef.example.com"', "give https://HOST"),
        ('chef_server_url = "https://ann:secret@chef.example.com"', "give https://HOST"),
        ('chef_server_url = "https://chef.example.com:99999"', "give https://HOST"),
        ('chef_direct_url = "http://192.0.2.1:8000"', "plain HTTP over a network"),
        ('chef_direct_url = "https://chef.example.com"', "on this machine"),
        ('chef_fingerprint = "SHA256:12"', "invalid certificate fingerprint"),
        ("chef_cache = 301", "give 0 to 300"),
        ("chef_poll = 0.5", "give 1 to 3600"),
        ("lease = 0.5", "give 1 to 600"),
        ("chef_poll = 3601", "give 1 to 3600"),
        ('chef_api_version = "16"', "give the version of a chef-client"),
        ('chef_api_version = "16.1.2\\nX: y"', "give the version of a chef-client"),
        ('identity = "own"', "says nothing while identity is"),
        ('identity = "both"', "identity"),
        ('chef_urk = "x"', "chef_"),
    ],
)
def test_what_cannot_be_of_a_chef_server_is_refused(
    tmp_path: Path, changed: str, words: str
) -> None:
    name = changed.partition(" ")[0]
    kept = [line for line in CHEF.splitlines() if not line.startswith(f"{name} ")]
    assert words in message(tmp_path, "\n".join([*kept, changed]))
