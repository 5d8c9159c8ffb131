"""Commands that the operator can paste: to the same server, as the same user."""

import shlex

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


def adding_profile(values: dict[str, str]) -> str:
    """The command that adds a profile on another machine.

    Args:
        values: as they stand in a credentials file.
    """
    options = {
        "--server-url": values["chef_server_url"], "-u": values["client_name"],
        "-k": values["client_key"], "--ca-file": values.get("ca_file"),
        "--fingerprint": values.get("fingerprint"),
    }  # fmt: skip
    given = (f" {flag} {shlex.quote(value)}" for flag, value in options.items() if value)
    return f"pushcli config add-profile{''.join(given)}"
