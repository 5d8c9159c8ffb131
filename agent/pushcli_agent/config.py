"""The agent's settings: agent.toml, and where it lies.

Its keys are those of the old agent's configuration file.
"""

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from pushcli import toml_settings
from pushcli.errors import ConfigError
from pushcli.protocol import names
from pushcli.protocol.limits import MAX_URLS

FILE = "agent.toml"
KEY_FILE = "client.pem"
DIRECTORY_VARIABLE = "PUSHCLI_AGENT_DIR"

LogLevel = Literal["auto", "debug", "info", "warn", "warning", "error", "fatal"]
_Expiry = Annotated[int, msgspec.Meta(gt=0, le=10**10)]
_Size = Annotated[int, msgspec.Meta(gt=0, le=2**40)]


OPEN = {
    "env": "allowed_overwritable_env_vars",
    "dir": "allowed_dirs",
    "user": "allowed_users",
}
"""What a job's caller may choose, and the list that limits the choice; as it is reported."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What agent.toml may say. Relative paths are relative to its directory."""

    chef_server_url: str | list[str]
    """With /organizations/ORG. A list is asked in turn, where one cannot be reached the next."""
    node_name: str
    client_key: str = KEY_FILE
    ca_file: str | None = None
    """PEM; instead of it `fingerprint`, or neither for the system's authorities."""
    fingerprint: str | None = None
    signing_version: Literal["1.0", "1.1", "1.2", "1.3"] = "1.3"
    whitelist: dict[str, Any] = {}
    """The requests that this node answers, and the commands that it runs for them.

    Read, checked and kept up to date by `LocalWhitelist`: an entry that is wrong does not
    keep the agent from starting.
    """
    whitelist_source: Literal["local", "server", "both"] = "both"
    accept_unsigned_whitelist: bool = False
    """Whether entries of the server that no editor signed count too."""
    trust_editors_on_first_use: bool = False
    """Whether the users in the group `admins` are pinned as editors, once, where none are."""
    roles: list[str] = []
    """With `tags` and `attributes` what searches find the node by, beside what it is."""
    tags: list[str] = []
    attributes: dict[str, Any] = {}
    lock_dir: str = "locks"
    """For entries with `lock = true`."""
    allowed_overwritable_env_vars: list[str] | None = None
    """With the next two what a job's caller may choose; without a key nearly everything."""
    allowed_dirs: list[str] | None = None
    allowed_users: list[str] | None = None
    rename_env: bool = False
    """Whether variables that are not allowed arrive renamed even if the job asks for a nack."""
    file_dir: str = "/tmp/chef-push"  # noqa: S108 - the old agent's default, kept
    file_dir_expiry: _Expiry = 86_400
    """Seconds."""
    spool_dir: str = "spool"
    max_output_bytes: _Size = 10 * 1024 * 1024
    """Per channel of a job."""
    default_capture: bool = True
    """Whether a little of what a command writes is kept if nobody asked for it."""
    jobs_outlive_agent: bool = True
    """Whether commands go on without the agent, as with old agents they do not."""
    log_level: LogLevel = "info"
    log_location: str | None = None
    """A file; without it the log goes to standard error."""

    @property
    def open(self) -> tuple[str, ...]:
        """What of a job is its caller's choice here, because its key is missing."""
        return tuple(what for what, key in OPEN.items() if getattr(self, key) is None)

    @property
    def server_urls(self) -> tuple[str, ...]:
        """The URLs of the server, in the order in which they are asked."""
        urls = self.chef_server_url
        return (urls,) if isinstance(urls, str) else tuple(urls)

    @property
    def organization(self) -> str:
        """From the server's URLs, which all have it."""
        return urllib.parse.urlsplit(self.server_urls[0]).path.rstrip("/").rpartition("/")[2]


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line may say instead of agent.toml."""

    chef_server_url: str | None = None
    node_name: str | None = None
    client_key: str | None = None
    file_dir: str | None = None
    log_level: str | None = None
    log_location: str | None = None


def directory(given: Path | None, env: Mapping[str, str]) -> Path:
    """The agent's directory: what was given, the environment's, or the user's default."""
    if given is not None:
        return given
    if env.get(DIRECTORY_VARIABLE):
        return Path(env[DIRECTORY_VARIABLE])
    if os.geteuid() == 0:
        return Path("/var/lib/pushcli/agent")
    return Path.home() / ".pushcli" / "agent"


def load(file: Path, overrides: Overrides) -> AgentSettings:
    """Read agent.toml, put the command line's values over it, make paths absolute.

    Raises:
        ConfigError: the file is missing or wrong, or a value makes no sense.
    """
    _require_ours(file)
    settings = toml_settings.load(file, AgentSettings)
    given = {k: v for k, v in msgspec.structs.asdict(overrides).items() if v is not None}
    merged = {**msgspec.structs.asdict(settings), **given}
    try:
        settings = msgspec.convert(merged, AgentSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"a value on the command line is wrong: {error}") from error
    _check(settings, file)
    return _absolute(settings, file.parent.absolute())


def _require_ours(file: Path) -> None:
    if file.suffix == ".rb":
        raise ConfigError(f"{file} is Ruby", f"make {FILE} of it: `pushcli migrate agent {file}`")
    if not file.exists():
        raise ConfigError(
            f"there is no {file}",
            "run `pushcli agent enroll` first, or, with the key of a Chef client, "
            "`pushcli migrate agent`",
        )


def _check(settings: AgentSettings, file: Path) -> None:
    if not names.is_node_name(settings.node_name):
        raise ConfigError(
            f"{file}: invalid node_name {settings.node_name!r}",
            "use letters, digits and _ . : -",
        )
    check_server_urls(settings.server_urls)
    for path in settings.allowed_dirs or ():
        if not path.startswith("/") or "\0" in path:
            raise ConfigError(f"{file}: allowed_dirs: {path!r} is not an absolute path", "fix it")


def check_server_urls(urls: Sequence[str]) -> str:
    """The name of the organization in a server's URLs.

    Raises:
        ConfigError: one is not https://HOST[:PORT]/organizations/ORG, they are of several
            organizations, or there are none or too many.
    """
    if not 1 <= len(urls) <= MAX_URLS:
        raise ConfigError(
            f"chef_server_url lists {len(urls)} URLs", f"give 1 to {MAX_URLS} of one server"
        )
    organizations = {_organization_in(url) for url in urls}
    if len(organizations) > 1:
        raise ConfigError(
            f"chef_server_url is of several organizations ({', '.join(sorted(organizations))})",
            "a node belongs to one: give URLs of the same",
        )
    return organizations.pop()


def _organization_in(url: str) -> str:
    remedy = "it must be https://HOST[:PORT]/organizations/ORG"
    try:
        parts = urllib.parse.urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ConfigError(
            f"chef_server_url {url!r} is not a valid URL ({error})", remedy
        ) from error
    head, _, organization = parts.path.rstrip("/").rpartition("/")
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not port_is_valid
        or not head.endswith("/organizations")
        or not names.is_organization_name(organization)
    ):
        raise ConfigError(f"chef_server_url {url!r} names no organization", remedy)
    return organization


def _absolute(settings: AgentSettings, directory: Path) -> AgentSettings:
    def resolve(text: str | None) -> str | None:
        return None if text is None else str(directory / Path(text).expanduser())

    changed = {
        name: resolve(getattr(settings, name))
        for name in ("client_key", "ca_file", "file_dir", "spool_dir", "lock_dir", "log_location")
    }
    return msgspec.structs.replace(settings, **changed)
