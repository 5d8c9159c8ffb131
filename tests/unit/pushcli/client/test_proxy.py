"""Which proxy the environment names for a server."""

import pytest

from pushcli.client.proxy import Proxy, proxy_for
from pushcli.errors import ConfigError

HOST = "push.example.com"
PROXY = Proxy("proxy", 3128, {})


@pytest.mark.parametrize(
    ("env", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, PROXY),
        ({"https_proxy": "proxy:3128", "HTTPS_PROXY": "http://other"}, PROXY),
        ({"ALL_PROXY": "http://proxy:3128"}, PROXY),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy"}, Proxy("proxy", 80, {})),
        ({"HTTPS_PROXY": "http://ann:p%40ss@proxy:3128"},
         Proxy("proxy", 3128, {"Proxy-Authorization": "Basic YW5uOnBAc3M="})),
    ],
)  # fmt: skip
def test_the_proxy_of_the_environment(env: dict[str, str], proxy: Proxy | None) -> None:
    assert proxy_for(HOST, 443, env) == proxy


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_exempt"),
    [
        (HOST, "*", True),
        (HOST, "localhost, example.com", True),
        (HOST, ".example.com", True),
        (HOST, "*.example.com", True),
        (HOST, "PUSH.EXAMPLE.COM", True),
        (HOST, "push.example.com:443", True),
        (HOST, "push.example.com:8443", False),
        (HOST, "ample.com", False),
        (HOST, ",", False),
        (HOST, "10.0.0.0/8", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "192.168.0.0/16", False),
        ("10.1.2.3", "a/b", False),
        ("127.0.0.1", "", True),
        ("localhost", "", True),
    ],
)
def test_who_is_asked_directly(host: str, no_proxy: str, is_exempt: bool) -> None:
    env = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy}
    assert proxy_for(host, 443, env) == (None if is_exempt else PROXY)


@pytest.mark.parametrize("value", ["socks5://proxy", "https://proxy", "http://", "http://a:b:c"])
def test_a_proxy_that_cannot_be_used_is_said_without_its_password(value: str) -> None:
    with pytest.raises(ConfigError, match="cannot use the proxy of HTTPS_PROXY: give it as"):
        proxy_for(HOST, 443, {"HTTPS_PROXY": value})
