"""The original server's configuration as settings of server.toml."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pushcli.errors import ConfigError
from pushcli.migration.ruby_values import Statement, Unread, Value, plain
from pushcli.migration.settings_read import Remark, Settings
from pushcli.tls import is_loopback_host

_MAIN = "opscode_pushy_server"
_TABLES = frozenset({_MAIN, "postgresql", "bootstrap", "oc_chef_pedant"})
_SAME = ("command_port", "server_heartbeat_port", "api_port", "zeromq_listen_address")
_HEARTBEAT_INTERVAL = 10_000
"""Milliseconds, where the original's file does not say."""
_PRESENCE = "presence is judged otherwise: offline_threshold, in intervals of silence"
_OTHERS = {
    "down_threshold": _PRESENCE,
    "decay_window": _PRESENCE,
    "detect_offline_nodes_interval": _PRESENCE,
    "listen": "see api_listen_address",
    "dir": "it is the directory of the server: --dir",
    "enable": "the service is enabled with systemctl",
    "ha": "there is one server",
    "chef_api_version": "no Chef Infra Server is asked",
}
_FIXED: dict[str, Value] = {"max_body_size": 65536, "validate_client_node_name": True}
_SECRETS = {
    "superuser_key": "a key, and keys are not copied: chef_key names its file",
    "pushy_priv_key": "not needed: agents fetch the new server's key",
    "pushy_pub_key": "not needed: agents fetch the new server's key",
    "sql_password": "a password, and passwords are not copied",
    "sql_ro_password": "a password, and passwords are not copied",
}


class ServerDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What server.toml is to say."""

    settings: dict[str, Any]
    remarks: list[Remark]


def draft(
    statements: Iterable[Statement], *, file: str, running: Mapping[str, Any],
    secrets: Mapping[str, Any],
) -> ServerDraft:  # fmt: skip
    """Our settings for those of the original.

    Args:
        statements: of opscode-push-jobs-server.rb, which need not be there.
        file: its path.
        running: chef-server-running.json.
        secrets: private-chef-secrets.json, or what came before it.

    Raises:
        ConfigError: something is wrong, or the server has no name.
    """
    read = Settings(statements, file, _TABLES, _TABLES)
    if read.is_unread(_MAIN):
        raise read.error(_MAIN, "is made by code: write its values out in a copy")
    table = {plain(key) or "": value for key, value in (read.table(_MAIN) or {}).items()}
    chef = _mapping(running, "private_chef")
    settings: dict[str, Any] = {}
    for name in _SAME:
        if name in table:
            settings[name] = _literal(table, name, file)
    settings["heartbeat_interval"] = _interval(read, table, file)
    settings["server_name"] = _server_name(read, table, chef, file)
    settings |= _identity(read, chef)
    _proxies(read, settings, table, chef)
    if "chef_api_version" in table and settings.get("identity") == "chef":
        settings["chef_api_version"] = _literal(table, "chef_api_version", file)
    for name, value in table.items():
        if name in settings or name in {"server_name_advertised", "vip"}:
            continue
        if name not in _FIXED:
            read.left_out(name, _OTHERS.get(name, "the server has no such setting"))
        elif value != _FIXED[name]:
            read.changed(name, f"always {str(_FIXED[name]).lower()}")
    _history(read, chef)
    for name in read.unused(but=()):
        read.left_out(name, "the server has no such setting")
    for place, name in _secrets(secrets):
        read.left_out(f"{place}{name}", _SECRETS[name])
    return ServerDraft(settings=settings, remarks=read.remarks)


def _literal(table: Mapping[str, Value], name: str, file: str) -> Any:
    value = table[name]
    if isinstance(value, Unread):
        raise ConfigError(
            f"{file}, line {value.line}: {name} is not a literal",
            "write its value out in a copy of the file, and give that",
        )
    text = plain(value)
    if text is None and not isinstance(value, int | float):
        raise ConfigError(f"{file}: {name} is neither a string nor a number", "fix it there")
    return value if text is None else text


def _interval(read: Settings, table: Mapping[str, Value], file: str) -> Any:
    name = "heartbeat_interval"
    if name in table:
        return _literal(table, name, file)
    read.changed(
        name,
        f"not set there: {_HEARTBEAT_INTERVAL:,} ms, as the original has it; with 1000, our "
        "default, nodes that are gone are noticed ten times as fast",
    )
    return _HEARTBEAT_INTERVAL


def _server_name(
    read: Settings, table: Mapping[str, Value], chef: Mapping[str, Any], file: str
) -> str:
    for name in ("server_name_advertised", "vip"):
        found = str(_literal(table, name, file)) if name in table else ""
        # Agents on other machines cannot reach that.
        if found and not is_loopback_host(found):
            return found
    fqdn = _mapping(chef, "lb").get("api_fqdn")
    if isinstance(fqdn, str) and fqdn:
        read.changed("server_name", "lb.api_fqdn of chef-server-running.json")
        return fqdn
    raise ConfigError(
        "no name by which agents reach the server: neither server_name_advertised nor vip, nor "
        "lb.api_fqdn of chef-server-running.json",
        "give chef-server-running.json, too",
    )


def _identity(read: Settings, chef: Mapping[str, Any]) -> dict[str, Any]:
    """Who knows who there is: the Chef Infra Server, as before."""
    fqdn = _mapping(chef, "lb").get("api_fqdn")
    if not isinstance(fqdn, str) or not fqdn:
        read.left_out(
            "identity",
            "no Chef Infra Server is named, so that users and clients are the server's own: give "
            "chef-server-running.json to go on with those that there are",
        )
        return {}
    found = {
        "identity": "chef", "chef_server_url": f"https://{fqdn}",
        "chef_key": "/etc/opscode/pivotal.pem",
    }  # fmt: skip
    if chef.get("topology") in {None, "standalone"}:
        found["chef_direct_url"] = "http://127.0.0.1:8000"
    read.changed(
        "identity",
        f"users, clients and groups stay on the Chef Infra Server {found['chef_server_url']}; who "
        f"runs the server must be able to read {found['chef_key']}, and where no authority of the "
        "system signed its certificate, set chef_ca_file or chef_fingerprint",
    )
    return found


def _proxies(
    read: Settings, settings: dict[str, Any], table: Mapping[str, Value], chef: Mapping[str, Any]
) -> None:
    settings["trusted_proxies"] = ["127.0.0.1"]
    vip, topology = plain(table.get("vip")), chef.get("topology")
    why = "Chef's nginx on this machine, which speaks TLS for it"
    if (vip and not is_loopback_host(vip)) or topology not in {None, "standalone"}:
        why += (
            "; one on another machine needs tls_cert and tls_key, and its address here, since "
            "REST without TLS listens on loopback alone"
        )
    read.changed("trusted_proxies", why)


def _history(read: Settings, chef: Mapping[str, Any]) -> None:
    """Say where the jobs of the original lie."""
    table = {plain(key) or "": value for key, value in (read.table("postgresql") or {}).items()}
    running = _mapping(chef, "postgresql")

    def found(name: str, default: object) -> object:
        value = table.get(name, running.get(name, default))
        return value if isinstance(value, str | int) else default

    place = f"{found('vip', '127.0.0.1')}:{found('port', 5432)}"
    name = found("database_name", "opscode_pushy")
    user = found("sql_ro_user", "opscode_pushy_ro")
    read.note(
        "postgresql",
        f"its jobs stay in database {name} on {place}: `pushcli migrate history "
        f"{shlex.quote(f'postgresql://{user}@{place}/{name}')}` takes them over",
    )
    for other in ("bootstrap", "oc_chef_pedant"):
        if read.table(other):
            read.left_out(other, "the server has no such setting")


def _secrets(secrets: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in secrets.items():
        if name in _SECRETS:
            yield "", name
        elif isinstance(value, dict) and name in {"chef-server", "push-jobs-server"}:
            yield from ((f"{name}.", one) for one in value if one in _SECRETS)


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}
