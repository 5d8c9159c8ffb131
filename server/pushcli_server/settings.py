"""`server.toml`: the settings, their defaults, what they mean, and their checks."""

import ipaddress
import math
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from pushcli import durations, toml_settings
from pushcli.errors import ConfigError
from pushcli.tls import is_loopback_host, pin_digest

FILE = "server.toml"
DATABASE = "pushcli.db"
FOREVER = "forever"
_PORTS = ("api_port", "command_port", "server_heartbeat_port")
_VERSION = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){2}")
_CHEF = ("chef_server_url", "chef_key", "chef_ca_file", "chef_fingerprint", "chef_direct_url")
_ADVERTISED_PORTS = ("advertised_command_port", "advertised_heartbeat_port")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_ZEROMQ_ADDRESS = re.compile(r"tcp://(\*|[A-Za-z0-9_.-]+|\[[0-9A-Za-z:.%]+\])")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server runs. Paths are relative to the server's directory."""

    api_port: int = 10003
    command_port: int = 10002
    heartbeat_interval: int = 1000
    server_heartbeat_port: int = 10000
    server_name: str = "127.0.0.1"
    advertised_host: str = ""
    advertised_command_port: int = 0
    advertised_heartbeat_port: int = 0
    zeromq_listen_address: str = "tcp://*"
    api_listen_address: str = ""
    voting_timeout: float = 60
    offline_threshold: int = 3
    online_threshold: int = 2
    lifetime: int = 3600
    reconfigure_splay: float = 0
    restart_grace: float = 60
    lost_grace: float = 300
    max_job_output_bytes: int = 2**30
    max_stored_output_bytes: int = 10 * 2**30
    output_retention: str = "30d"
    max_stored_jobs: int = 1_000_000
    job_retention: str = "365d"
    audit_retention: str = "forever"
    default_capture: bool = True
    database_url: str = ""
    lease: float = 10
    identity: Literal["own", "chef"] = "own"
    chef_server_url: str = ""
    chef_user: str = "pivotal"
    chef_key: str = ""
    chef_ca_file: str = ""
    chef_fingerprint: str = ""
    chef_direct_url: str = ""
    chef_cache: float = 30
    chef_poll: float = 60
    chef_api_version: str = "16.12.3"
    tls_cert: str = ""
    tls_key: str = ""
    trusted_proxies: list[str] = []
    monitoring_networks: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.0/8", "::1"])
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    log_target: Literal["stderr", "file", "syslog", "journald"] = "stderr"
    log_file: str = ""

    @property
    def tls(self) -> bool:
        """Whether REST speaks TLS."""
        return bool(self.tls_cert)

    @property
    def listen_host(self) -> str:
        """The address REST listens on: loopback unless TLS is on."""
        return self.api_listen_address or ("0.0.0.0" if self.tls else "127.0.0.1")  # noqa: S104

    @property
    def api_url(self) -> str:
        """Where agents and operators reach REST, without the organization."""
        host = _bracketed(self.server_name)
        return f"{'https' if self.tls else 'http'}://{host}:{self.api_port}"

    @property
    def command_address(self) -> str:
        """Where agents reach the command channel."""
        return self._advertised(self.advertised_command_port or self.command_port)

    @property
    def heartbeat_address(self) -> str:
        """Where agents hear the server's heartbeats."""
        return self._advertised(self.advertised_heartbeat_port or self.server_heartbeat_port)

    def _advertised(self, port: int) -> str:
        return f"tcp://{_bracketed(self.advertised_host or self.server_name)}:{port}"

    def database(self, directory: Path) -> str:
        """The database's URL; by default a file in the server's directory."""
        return self.database_url or f"sqlite:///{(directory / DATABASE).absolute()}"

    @property
    def is_behind_somebody(self) -> bool:
        """Whether others than this machine's programs can reach REST only through a proxy."""
        serves_others = self.identity == "chef" or not is_loopback_host(self.server_name)
        return serves_others and not self.tls and is_loopback_host(self.listen_host)


_COMMENTS = {
    "api_port": "Port of the REST API.",
    "command_port": "Port of the ZeroMQ command channel.",
    "heartbeat_interval": "Milliseconds between heartbeats, the server's and the agents'.",
    "server_heartbeat_port": "Port of the server's heartbeat broadcast.",
    "server_name": "The name under which agents and operators reach this server.",
    "advertised_host": 'What agents connect to for the ZeroMQ ports; "" is server_name.',
    "advertised_command_port": "The port that they connect to; 0 is command_port.",
    "advertised_heartbeat_port": "Likewise; 0 is server_heartbeat_port.",
    "zeromq_listen_address": "Where the two ZeroMQ ports listen.",
    "api_listen_address": 'Where REST listens; "" is loopback, or with TLS every address.',
    "voting_timeout": "Seconds for which a vote waits for a node.",
    "offline_threshold": "Intervals of silence after which a node counts as offline.",
    "online_threshold": "Heartbeats after which an agent trusts a server that was away.",
    "lifetime": "Seconds after which an agent fetches its configuration again.",
    "reconfigure_splay": "Seconds over which agents do so after a restart; 0: as many nodes need.",
    "restart_grace": "Seconds after a start during which silence ends no node's work.",
    "lost_grace": "Seconds for which a running node that fell silent is waited for.",
    "max_job_output_bytes": "Bytes of output that are kept of a job, all its nodes together.",
    "max_stored_output_bytes": "Bytes of all jobs' output; of more, the oldest is deleted.",
    "output_retention": 'How long after a job its output is kept: 30d, 12h, or "forever".',
    "default_capture": "Whether a little output is kept of jobs that do not say so.",
    "max_stored_jobs": "Jobs that are kept; of more, the oldest is deleted.",
    "job_retention": 'How long a job is kept after its end: 365d, or "forever".',
    "audit_retention": 'How long a line of the audit trail is kept: 365d, or "forever".',
    "database_url": 'postgresql://HOST/NAME, or "" for SQLite in this directory.',
    "lease": "Seconds of silence after which another server may take this one's place there.",
    "identity": "own, or chef: users, clients and groups are those of a Chef Infra Server.",
    "chef_server_url": "Its URL, without an organization.",
    "chef_user": "As whom it is asked: somebody who may read every organization's groups.",
    "chef_key": "That user's private key (PEM).",
    "chef_ca_file": 'The CAs (PEM) that prove it; "" is the system\'s.',
    "chef_fingerprint": "Its certificate's fingerprint, in place of CAs: SHA256:AA:BB:...",
    "chef_direct_url": "Where principals are answered unsigned, on loopback: http://127.0.0.1:8000.",
    "chef_cache": "Seconds for which its answers count.",
    "chef_poll": "Seconds between two looks at its nodes; 0: one look at the start.",
    "chef_api_version": "X-Chef-Version of questions to it: the version of a chef-client.",
    "tls_cert": 'Certificate (PEM) for REST; "" is plain HTTP, on loopback only.',
    "tls_key": "Private key (PEM) of that certificate.",
    "trusted_proxies": "Addresses or networks of proxies, whose X-Forwarded-* are believed.",
    "monitoring_networks": "Addresses or networks that may read /metrics.",
    "log_level": "debug, info, warning or error: what is logged, and what is graver.",
    "log_format": "console for people, json for programs.",
    "log_target": "Where the log goes: stderr, file, syslog or journald.",
    "log_file": "The file, relative to this directory; SIGHUP reopens it.",
}


def load(directory: Path) -> Settings:
    """Read and check `server.toml`.

    Raises:
        ConfigError: missing, unreadable, an unknown key, a wrong or impossible value.
    """
    path = directory / FILE
    if not path.exists():
        raise ConfigError(
            f"no server at {directory}", "run `pushcli server init --org ORG --admin USER` first"
        )
    return check(toml_settings.load(path, Settings), str(path))


def check(settings: Settings, source: str) -> Settings:
    """What types cannot say.

    Raises:
        ConfigError: an impossible value, or plain HTTP beyond loopback.
    """
    for name in _PORTS:
        _within(source, name, getattr(settings, name), 1, 65_535)
    if len({getattr(settings, name) for name in _PORTS}) < len(_PORTS):
        raise ConfigError(f"{source}: {', '.join(_PORTS)} overlap", "give three different ports")
    for name in _ADVERTISED_PORTS:
        _within(source, name, getattr(settings, name), 0, 65_535)
    if settings.command_address == settings.heartbeat_address:
        raise ConfigError(
            f"{source}: agents are told {settings.command_address} for commands and for heartbeats",
            f"give {' and '.join(_ADVERTISED_PORTS)} different ports",
        )
    _within(source, "heartbeat_interval", settings.heartbeat_interval, 10, 3_600_000)
    for name in ("offline_threshold", "online_threshold"):
        _within(source, name, getattr(settings, name), 1, 1000)
    for name in ("voting_timeout", "lifetime", "restart_grace", "lost_grace"):
        _within(source, name, getattr(settings, name), 1, 31_536_000)
    _within(source, "reconfigure_splay", settings.reconfigure_splay, 0, 86_400)
    for name in ("max_job_output_bytes", "max_stored_output_bytes"):
        _within(source, name, getattr(settings, name), 65_536, 2**50)
    _within(source, "lease", settings.lease, 1, 600)
    _within(source, "max_stored_jobs", settings.max_stored_jobs, 1000, 10**9)
    _retention(source, "output_retention", settings.output_retention, 1)
    for name in ("job_retention", "audit_retention"):
        _retention(source, name, getattr(settings, name), 3600)
    _addresses(source, settings)
    _chef(source, settings)
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise ConfigError(f"{source}: tls_cert and tls_key go together", "set both or neither")
    if not settings.tls and not is_loopback_host(settings.listen_host):
        raise ConfigError(
            f"{source}: plain HTTP on {settings.listen_host} would hand out keys in the clear",
            "set tls_cert and tls_key, or listen on loopback behind a proxy that speaks TLS",
        )
    for name in ("trusted_proxies", "monitoring_networks"):
        for network in getattr(settings, name):
            _network(source, name, network)
    _log(source, settings)
    return settings


def render(settings: Settings) -> str:
    """`server.toml` with every setting, its default and what it means."""
    defaults = Settings()
    blocks = []
    for name, comment in _COMMENTS.items():
        value, default = getattr(settings, name), getattr(defaults, name)
        # JSON's scalars and lists of strings are TOML's.
        line = f"{name} = {msgspec.json.encode(value).decode()}"
        note = f"# {comment} Default: {msgspec.json.encode(default).decode()}"
        blocks.append(f"{note}\n{line if value != default else '# ' + line}\n")
    return "# Settings of a pushcli server.\n\n" + "\n".join(blocks)


def with_values(settings: Settings, values: list[str], source: str) -> Settings:
    """Settings with `NAME=VALUE` applied, each value as JSON or else as a plain string.

    Not checked yet: TLS may be made for them first.

    Raises:
        ConfigError: unknown name, wrong type.
    """
    content = msgspec.structs.asdict(settings)
    known = list(content)
    for item in values:
        name, equals, text = item.partition("=")
        toml_settings.refuse_unknown({name: text}, known, source)
        if not equals:
            raise ConfigError(f"{source}: {name} has no value", f"give {source} {name}=VALUE")
        try:
            content[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            content[name] = text
        except UnicodeEncodeError as error:
            raise ConfigError(f"{source}: {name} is not UTF-8", "give it in UTF-8") from error
    try:
        return msgspec.convert(content, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}".replace("`", ""), "give another value") from error


def seconds_kept(text: str) -> float:
    """What a setting like `output_retention` comes to; infinite: for ever.

    Raises:
        ValueError: it is no time.
    """
    return math.inf if text == FOREVER else durations.parse(text)


def _retention(source: str, name: str, text: str, least: float) -> None:
    try:
        kept = seconds_kept(text)
    except ValueError as error:
        raise ConfigError(
            f"{source}: {name} is {text!r}: {error}", f'give a time such as 30d, or "{FOREVER}"'
        ) from error
    if kept < least:
        # Would 0 keep nothing, or for ever? Nobody is to find out from what is gone.
        raise ConfigError(
            f"{source}: {name} is {text!r}",
            f'give {durations.words(least).replace(" ", "")} or more, or "{FOREVER}"',
        )


def _addresses(source: str, settings: Settings) -> None:
    zeromq = settings.zeromq_listen_address
    for setting in ("server_name", "advertised_host"):
        name = getattr(settings, setting)
        is_left_out = setting == "advertised_host" and not name
        if not is_left_out and not _HOST_NAME.fullmatch(name) and not _is_address(name):
            raise ConfigError(
                f"{source}: {setting} is {name!r}",
                "give the host name or address agents connect to",
            )
    if not _ZEROMQ_ADDRESS.fullmatch(zeromq):
        raise ConfigError(
            f"{source}: zeromq_listen_address is {zeromq!r}",
            "give tcp://* or tcp://ADDRESS, without a port",
        )


def _chef(source: str, settings: Settings) -> None:
    _within(source, "chef_cache", settings.chef_cache, 0, 300)
    if settings.chef_poll:
        _within(source, "chef_poll", settings.chef_poll, 1, 3600)
    if not _VERSION.fullmatch(settings.chef_api_version):
        raise ConfigError(
            f"{source}: chef_api_version is {settings.chef_api_version!r}",
            "give the version of a chef-client, such as 16.12.3",
        )
    given = {name: getattr(settings, name) for name in _CHEF}
    if settings.identity == "own":
        if unused := [name for name, value in given.items() if value]:
            raise ConfigError(
                f'{source}: {unused[0]} says nothing while identity is "own"',
                'set identity = "chef", or remove it',
            )
        return
    for name in ("chef_server_url", "chef_user", "chef_key"):
        if not getattr(settings, name):
            raise ConfigError(f'{source}: identity = "chef" needs {name}', f"set {name}")
    if "/organizations/" in settings.chef_server_url:
        raise ConfigError(
            f"{source}: chef_server_url is {settings.chef_server_url!r}",
            "give it without /organizations/ORG: this server serves all of them",
        )
    for name in ("chef_server_url", "chef_direct_url"):
        if url := getattr(settings, name):
            _url(source, name, url)
    direct = settings.chef_direct_url
    if direct and not is_loopback_host(urlsplit(direct).hostname or ""):
        raise ConfigError(
            f"{source}: chef_direct_url is {direct!r}, where whoever answers could be anybody",
            "give the Chef server's own port on this machine, such as http://127.0.0.1:8000",
        )
    if settings.chef_fingerprint:
        pin_digest(settings.chef_fingerprint)


def _url(source: str, name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.username or parts.query or parts.fragment:
        raise ConfigError(f"{source}: {name} is {url!r}", "give https://HOST or https://HOST:PORT")
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        raise ConfigError(
            f"{source}: {name} is plain HTTP over a network, where keys could be changed",
            "give https, or a loopback address",
        )


def _log(source: str, settings: Settings) -> None:
    target, file = settings.log_target, settings.log_file
    if file and target not in {"stderr", "file"}:
        raise ConfigError(
            f"{source}: log_file and log_target = {target!r} exclude each other", "set one of them"
        )
    if target == "file" and not file:
        raise ConfigError(f"{source}: log_target is file, log_file is not set", "set log_file")
    if "\0" in file:
        raise ConfigError(f"{source}: log_file holds a NUL", "give a path")


def _bracketed(host: str) -> str:
    """As it stands in an address with a port."""
    return f"[{host}]" if ":" in host else host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(source: str, name: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{source}: {name} is {value}", f"give {low} to {high}")


def _network(source: str, name: str, text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{source}: {name} has {text!r}", "give addresses or networks like 10.0.0.0/8"
        ) from error
