"""knife's configuration as profiles of the credentials file."""

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pushcli.errors import ConfigError
from pushcli.migration.ruby_values import Statement
from pushcli.migration.settings_read import Remark, Settings
from pushcli.migration.trust import Trust, trust_of

_KNOWN = frozenset({
    "node_name", "client_key", "chef_server_url", "ssl_verify_mode", "verify_api_cert",
    "trusted_certs_dir", "ssl_ca_file",
})  # fmt: skip
_NAMES = frozenset({"client_name", "node_name"})
_TAKEN = frozenset({"client_key", "chef_server_url"}) | _NAMES
DEFAULT = "default"


class WorkstationDraft(msgspec.Struct, kw_only=True):
    """The profiles that there are to be, by name.

    Args:
        trust: where the authorities lie that their `ca_file` is made of; None: nobody says.
    """

    profiles: dict[str, dict[str, str]] = {}
    remarks: list[Remark] = []
    trust: Trust | None = None


def from_credentials(tables: Mapping[str, Any], context: str, *, file: str) -> WorkstationDraft:
    """The profiles of Chef's credentials file.

    Args:
        context: the active profile's name, or nothing.
        file: its whole path.
    """
    made = WorkstationDraft()
    here = posixpath.dirname(file)
    for name, table in tables.items():
        if not isinstance(table, dict):
            made.remarks.append(Remark("left out", name, "it is not a profile"))
            continue
        why = _unusable(table)
        if why:
            made.remarks.append(Remark("left out", f"profile {name}", why))
            continue
        made.profiles[name] = {
            "client_name": str(table.get("client_name") or table["node_name"]),
            "client_key": _beside(here, table["client_key"]),
            "chef_server_url": str(table["chef_server_url"]),
        }
        made.remarks.extend(
            Remark("left out", f"profile {name}, {key}", "profiles have no such key")
            for key in table
            if key not in _TAKEN
        )
    if context and context != DEFAULT:
        why = (
            f"pushcli has no active profile: give --profile {context}, or set PUSHCLI_PROFILE"
            if context in made.profiles
            else "there is no such profile"
        )
        made.remarks.append(Remark("changed", f"context {context}", why))
    made.trust = Trust(directory=posixpath.join(here, "trusted_certs"), file=None)
    return made


def from_knife(
    statements: Iterable[Statement], *, file: str, name: str, beside: frozenset[str]
) -> WorkstationDraft:
    """The profile of a knife.rb or config.rb.

    Args:
        file: its whole path.
        name: what the profile is to be called; "" for `default`.
        beside: names of the files in its directory.

    Raises:
        ConfigError: something is missing or wrong, or the server is not verified.
    """
    read = Settings(statements, file, frozenset({"knife"}), _KNOWN)
    here = posixpath.dirname(file)
    user = read.require("node_name")
    if read.is_unread("client_key"):
        read.require("client_key")
    key = read.text("client_key")
    if not key:
        found = [one for one in (f"{user}.pem", "user.pem") if one in beside]
        if not found:
            raise ConfigError(
                f"{file} has no client_key, and neither {user}.pem nor user.pem lies beside it",
                "add it there",
            )
        key = found[0]
        read.changed("client_key", f"not set there: {key} beside it")
    values = {
        "client_name": user,
        "client_key": _beside(here, key),
        "chef_server_url": read.require("chef_server_url"),
    }
    trust = trust_of(read, file)
    for other in read.unused(but=()):
        read.left_out(other, "profiles have no such setting")
    return WorkstationDraft(profiles={name or DEFAULT: values}, remarks=read.remarks, trust=trust)


def joined(credentials: WorkstationDraft, knife: WorkstationDraft) -> WorkstationDraft:
    """Both; a name that both have stays the credentials file's, the other is the organization's.

    Raises:
        ConfigError: that one is taken as well.
    """
    profiles = dict(credentials.profiles)
    for name, values in knife.profiles.items():
        chosen = name
        if profiles.get(name, values) != values:
            chosen = values["chef_server_url"].rstrip("/").rpartition("/")[2]
        if profiles.get(chosen, values) != values:
            raise ConfigError(
                f"the profiles {name!r} and {chosen!r} are both taken", "give --name NAME"
            )
        profiles[chosen] = values
    return WorkstationDraft(
        profiles=profiles,
        remarks=[*knife.remarks, *credentials.remarks],
        trust=knife.trust or credentials.trust,
    )


def _unusable(table: Mapping[str, Any]) -> str:
    """Why it cannot be a profile; "" if it can."""
    for key in sorted(_TAKEN & table.keys()):
        if not isinstance(table[key], str):
            return f"{key} is not a string"
    if not _NAMES & table.keys():
        return "it has no client_name"
    for key in ("client_key", "chef_server_url"):
        if not table.get(key):
            return f"it has no {key}"
    if "-----BEGIN" in table["client_key"]:
        return "its key stands in the file, and keys are not copied: put it into a file of its own"
    if table.get("ssl_verify_mode") in {"verify_none", ":verify_none"}:
        return (
            "ssl_verify_mode is verify_none, and pushcli verifies the server: fetch its "
            "certificate (knife ssl fetch)"
        )
    return ""


def _beside(directory: str, path: str) -> str:
    return path if path.startswith(("/", "~")) else posixpath.join(directory, path)
