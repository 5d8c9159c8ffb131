"""The proxy that the environment names for a server: HTTPS_PROXY, ALL_PROXY, NO_PROXY."""

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from pushcli import tls
from pushcli.errors import ConfigError


class Proxy(msgspec.Struct, frozen=True):
    """Where it listens, and the headers that it wants to see."""

    host: str
    port: int
    headers: dict[str, str]


def proxy_for(host: str, port: int, env: Mapping[str, str]) -> Proxy | None:
    """The proxy between us and a server that speaks TLS; None: connect directly.

    Raises:
        ConfigError: one is named that cannot be used.
    """
    # A proxy has no business with a server on this machine.
    if tls.is_loopback_host(host) or _is_exempt(host, port, _first(env, "no_proxy")):
        return None
    value = _first(env, "https_proxy", "all_proxy")
    return _parsed(value) if value else None


def _first(env: Mapping[str, str], *names: str) -> str:
    return next((env[n] for name in names for n in (name, name.upper()) if env.get(n)), "")


def _parsed(value: str) -> Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if parts.scheme != "http" or not host:
        # Its password stays out of the message.
        raise ConfigError("cannot use the proxy of HTTPS_PROXY", "give it as http://HOST:PORT")
    headers = {}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
    return Proxy(host, port, headers)


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    return any(_matches(host.lower(), port, item.strip().lower()) for item in no_proxy.split(","))


def _matches(host: str, port: int, item: str) -> bool:
    """Whether `*`, a name with all below it, HOST:PORT, an address or a network means the host."""
    if "/" in item:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    name = item.removesuffix(f":{port}").removeprefix("*.").lstrip(".")
    return item == "*" or (bool(name) and (host == name or host.endswith(f".{name}")))
