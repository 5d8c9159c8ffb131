"""What somebody new needs on their own machine: shown as commands, or printed as a profile."""

from pathlib import Path
from typing import NamedTuple

from pushcli.client.credentials import Profile, Values, profile_text
from pushcli.identities.new_key import NewKey, fingerprint
from pushcli.terminal.context import App, profile_of
from pushcli.terminal.pasting import adding_profile, same_server


class Handing(NamedTuple):
    """How.

    Args:
        print_profile: print it whole, for `config add-profile`.
        keep_key: leave a new key's file where it is, and do not print the key.
    """

    print_profile: bool = False
    keep_key: bool = False


def hand_over(app: App, kind: str, name: str, key: NewKey, how: Handing) -> None:
    """Say that a user or client was created, and what comes next."""
    own = profile_of(app.options, app.env)
    values = _values(own, name, key)
    organization = own.chef_server_url.rstrip("/").rpartition("/")[2]
    if how.print_profile and key.file is not None and not how.keep_key:
        values["client_key"] = key.file.read_text(encoding="ascii")
    if not app.is_text:
        app.emit({"name": name, "key_file": _kept(key, how), "profile": values,
                  "fingerprint": fingerprint(key.public_key)})  # fmt: skip
    elif how.print_profile:
        _print_profile(app, organization, values, key, how)
    else:
        app.print(f"Created the {kind} {name}")
        if key.file is not None:
            app.print(f"The private key is {key.file.absolute()}; there is no other copy")
        _print_next(app, kind, name, adding_profile(values))
        if own.other_urls:
            app.note("Its other URLs go with --print-profile only (docs/credentials.md)")
    if key.file is not None and _kept(key, how) is None:
        # It was printed, and is theirs alone from now on.
        key.file.unlink()


def _values(own: Profile, name: str, key: NewKey) -> dict[str, str | list[str]]:
    """Their profile; where their key is, they know."""
    urls = [own.chef_server_url, *own.other_urls]
    values: dict[str, str | list[str]] = {
        "client_name": name,
        "client_key": f"{name}.pem".replace(":", "_") if key.file is None else key.file.name,
        "chef_server_url": urls if own.other_urls else own.chef_server_url,
    }
    if own.fingerprint is not None:
        values["fingerprint"] = own.fingerprint
    elif own.ca_file is not None:
        values["ca_file"] = Path(own.ca_file).name
    return values


def _kept(key: NewKey, how: Handing) -> str | None:
    if key.file is None or (how.print_profile and not how.keep_key):
        return None
    return str(key.file.absolute())


def _print_profile(app: App, organization: str, values: Values, key: NewKey, how: Handing) -> None:
    try:
        app.write(profile_text(organization, values))
    except Exception:
        app.note(f"the profile could not be printed; the key is {key.file}")
        raise
    if "ca_file" in values:
        app.note(f"They need {values['ca_file']} too: your profile's CA certificates")
    if _kept(key, how) is None and key.file is not None:
        app.note(f"The key of {values['client_name']} is in it, and nowhere else")


def _print_next(app: App, kind: str, name: str, adding: str) -> None:
    more = same_server(app)
    app.note(f"Start jobs:      pushcli group add pushy_job_writers --{kind} {name}{more}")
    app.note(f"Look at jobs:    pushcli group add pushy_job_readers --{kind} {name}{more}")
    app.note(f"Their machine, beside the key: {adding}")
