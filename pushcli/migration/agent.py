"""The original agent's configuration as agent.toml."""

import posixpath
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pushcli.migration import agent_whitelist
from pushcli.migration.finding import System
from pushcli.migration.ruby_values import Statement, Symbol, Value, plain
from pushcli.migration.settings_read import Remark, Settings
from pushcli.migration.trust import Trust, trust_of
from pushcli.whitelist import toml_text

_TABLES = frozenset({"whitelist"})
_LEVELS = frozenset({"auto", "debug", "info", "warn", "warning", "error", "fatal"})
_OTHERS = {
    "max_body_size": "it bounds all output there; ours is max_output_bytes, for each channel",
    "lockfile": "a lock is the entry's own; an entry may name this file: lock = \"...\"",
    "file_cache_path": "a lock is the entry's own, in lock_dir",
    "allow_unencrypted": "messages are always encrypted",
    "LC_ALL": "commands get the environment of the service: systemctl edit pushcli-agent",
    "show_time": "every line of the log has its time",
    "Mixlib::Log::Formatter.show_time": "every line of the log has its time",
    "http_proxy": "set it in the environment of the service: systemctl edit pushcli-agent",
    "https_proxy": "set it in the environment of the service: systemctl edit pushcli-agent",
    "no_proxy": "set it in the environment of the service: systemctl edit pushcli-agent",
}  # fmt: skip
_KNOWN = frozenset({
    "chef_server_url", "node_name", "client_key", "whitelist", "allowed_overwritable_env_vars",
    "file_dir", "trusted_certs_dir", "ssl_ca_file", "ssl_verify_mode", "verify_api_cert",
    "log_level", "log_location",
})  # fmt: skip
_OPEN = (
    "# allowed_overwritable_env_vars is not set: whoever starts a job chooses its\n"
    "# variables, but for those that make programs run something else. A list of\n"
    "# names ends that; likewise allowed_dirs and allowed_users.\n"
)
_EDITORS = (
    "# Nobody may change the whitelist on the server until an editor's key is pinned\n"
    "# here: `pushcli agent editors add NAME FILE`, or\n"
    "# trust_editors_on_first_use = true.\n"
)


class AgentDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What agent.toml is to say.

    Args:
        trust: where the authorities lie that its `ca_file` is made of.
    """

    settings: dict[str, Any]
    whitelist: dict[str, Any]
    trust: Trust
    remarks: list[Remark]


def draft(
    statements: Iterable[Statement], *, file: str, host_name: Callable[[], str], unsafe: bool
) -> AgentDraft:
    """Our settings for those of a file.

    Args:
        file: its whole path.
        host_name: gives this machine's name, for a node without one.
        unsafe: where only that keeps a pattern's meaning, requests are pasted into its command.

    Raises:
        ConfigError: something is missing or wrong, or the server is not verified.
    """
    read = Settings(statements, file, _TABLES, _KNOWN)
    settings: dict[str, Any] = {"chef_server_url": read.require("chef_server_url")}
    settings["node_name"] = _node_name(read, host_name)
    if read.is_unread("client_key"):
        read.require("client_key")
    settings["client_key"] = _path(read, "client_key") or "/etc/chef/client.pem"
    trust = trust_of(read, file)
    variables = _variables(read)
    if variables is not None:
        settings["allowed_overwritable_env_vars"] = variables
    if file_dir := _path(read, "file_dir"):
        settings["file_dir"] = file_dir
    _log(read, settings)
    whitelist = _whitelist(read, unsafe=unsafe)
    for name in read.unused(but=_OTHERS):
        read.left_out(name, _OTHERS.get(name, "the agent has no such setting"))
    return AgentDraft(settings=settings, whitelist=whitelist, trust=trust, remarks=read.remarks)


def text(made: AgentDraft, *, ca_file: str | None) -> str:
    """The text of agent.toml.

    Args:
        ca_file: None: the system's authorities.
    """
    settings = {**made.settings, **({} if ca_file is None else {"ca_file": ca_file})}
    lines = ["# Settings of a pushcli agent, made of those of a Chef Push Jobs client.\n\n"]
    lines += [f"{toml_text.pair(name, value)}\n" for name, value in settings.items()]
    if "allowed_overwritable_env_vars" not in settings:
        lines.append("\n" + _OPEN)
    lines.append("\n" + _EDITORS)
    lines.append("\n[whitelist]\n")
    lines += [f"{toml_text.pair(name, value)}\n" for name, value in made.whitelist.items()]
    return "".join(lines)


def missing_key(made: AgentDraft, system: System) -> list[Remark]:
    """What is to be said where the file of its key is not there."""
    key = made.settings["client_key"]
    if any(system.there([key])):
        return []
    why = (
        f"there is no {system.place(key)}, which the agent needs to start: put the node's "
        "key there, or enroll the node again (`pushcli agent enroll`)"
    )
    return [Remark("note", "client_key", why)]


def _node_name(read: Settings, host_name: Callable[[], str]) -> str:
    if read.is_unread("node_name") or read.text("node_name"):
        return read.require("node_name")
    name = host_name()
    read.changed("node_name", f"not set there: {name}, as this machine is called")
    return name


def _path(read: Settings, name: str) -> str | None:
    """A whole path; None: there is none."""
    path = read.text(name)
    if path and not posixpath.isabs(path):
        raise read.error(name, f"is not an absolute path: {path!r}")
    return path or None


def _variables(read: Settings) -> list[str] | None:
    name = "allowed_overwritable_env_vars"
    value = read.value(name)
    if read.is_unread(name):
        # None at all is what no job can abuse.
        read.changed(name, "no variable: what is there is not a literal")
        return []
    if value is None:
        read.changed(
            name,
            "not set there, which is every variable: so it stays, but for those that make "
            "programs run something else (docs/whitelist.md)",
        )
        return None
    listed = value if isinstance(value, list) else [value]
    texts = [plain(item) for item in listed]
    if None in texts:
        raise read.error(name, "is not a list of names")
    return [text for text in texts if text is not None]


def _log(read: Settings, settings: dict[str, Any]) -> None:
    level = read.text("log_level")
    if level is not None:
        if level in _LEVELS:
            settings["log_level"] = level
        elif level == "trace":
            settings["log_level"] = "debug"
            read.changed("log_level", "debug, the lowest that there is, for trace")
        else:
            read.left_out("log_level", f"there is no level {level!r}")
    place: Value = read.value("log_location")
    if isinstance(place, Symbol):
        read.left_out("log_location", "the log goes to standard error, and so to the journal")
    elif path := _path(read, "log_location"):
        settings["log_location"] = path


def _whitelist(read: Settings, *, unsafe: bool) -> dict[str, Any]:
    table = read.table("whitelist")
    if read.is_unread("whitelist"):
        read.left_out("whitelist", "code makes it: write it out, or add entries by hand")
        return {}
    if table is None:
        read.changed("whitelist", "not set there: chef-client, as the original has it")
        return dict(agent_whitelist.DEFAULT)
    lock_file = plain(read.value("lockfile")) or posixpath.join(
        plain(read.value("file_cache_path")) or "/var/chef/cache", "chef-client-running.pid"
    )
    entries = agent_whitelist.converted(table, unsafe=unsafe, lock_file=lock_file)
    read.remarks.extend(entries.remarks)
    return entries.values
