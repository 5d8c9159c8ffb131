"""Commands that the operator can paste: to the same server, as the same user."""

import shlex
from collections.abc import Mapping

from pushcli.terminal.context import App


def same_server(app: App) -> str:
    """The options that make another command talk to the same server as the same user."""
    # -u: where a command is about users, --user names one of them.
    options = app.options
    given = {
        "--config": options.config, "--profile": options.profile,
        "--server-url": options.server_url, "-u": options.user, "--key": options.key,
        "--ca-file": options.ca_file, "--fingerprint": options.fingerprint,
    }  # fmt: skip
    return "".join(f" {name} {shlex.quote(str(v))}" for name, v in given.items() if v is not None)


def adding_profile(values: Mapping[str, str | list[str]]) -> str:
    """The command that adds a profile on another machine, with the first of several URLs.

    Args:
        values: as they stand in a credentials file.
    """
    options = {
        "--server-url": values["chef_server_url"], "-u": values["client_name"],
        "-k": values["client_key"], "--ca-file": values.get("ca_file"),
        "--fingerprint": values.get("fingerprint"),
    }  # fmt: skip
    firsts = {flag: v[0] if isinstance(v, list) else v for flag, v in options.items() if v}
    given = (f" {flag} {shlex.quote(value)}" for flag, value in firsts.items())
    return f"pushcli config add-profile{''.join(given)}"
