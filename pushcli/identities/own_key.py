"""`user rotate-key` and `agent rotate-key`: the key that somebody signs with."""

from datetime import datetime

import msgspec

from pushcli import durations
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.errors import AuthenticationError
from pushcli.identities.identity_keys import folder
from pushcli.identities.key_rotation import Rotated
from pushcli.identities.key_rotation import rotate as rotate_key
from pushcli.keys import load_public_key
from pushcli.terminal.context import App, profile_of


def rotate(app: App, *, overlap: float, vouch: bool) -> None:
    """Replace it, and say what was done.

    Args:
        overlap: seconds for which the previous key still counts.
        vouch: tell agents, signed by the previous key, that the new one is an editor's.

    Raises:
        PushcliError: the profile works all the same; the text says with which key.
    """
    profile = profile_of(app.options, app.env)

    def on_new(previous: ApiClient, pem: str) -> None:
        if vouch:
            _vouch(previous, profile.client_name, pem)

    name = profile.client_name
    try:
        done = rotate_key(profile, folder("user", name), overlap=overlap, on_new=on_new)
    except AuthenticationError as error:
        if not error.message.startswith("nothing was changed"):
            # Outside of the organizations nobody knows their clients.
            error.remedy += f"; is {name} a user? A client gets another key with `client key add`"
        raise
    report(app, done)
    if app.is_text and not vouch:
        add = f"`pushcli whitelist editors add {name} FILE`"
        # The previous key signs it only as long as the server accepts that one.
        how = f"ask another editor to run {add}"
        if done.expires:
            own = f"run {add} with the previous one (--key {done.previous_file})"
            how = f"{own}, or ask another editor"
        app.note(f"Agents do not trust the new key as an editor's yet: {how}")


def rotate_node_key(app: App, node: Profile, *, overlap: float) -> None:
    """Replace the key of a node, as itself; its agent reads it when it next needs it.

    Raises:
        PushcliError: as for `rotate`.
    """
    report(app, rotate_key(node, folder("client", node.client_name), overlap=overlap))


def report(app: App, done: Rotated) -> None:
    """Say what was done."""
    if not app.is_text:
        app.emit(msgspec.to_builtins(done))
        return
    app.print(f"{done.file} is now the new key ({done.fingerprint})")
    end = f"expires at {_local(done.expires)}" if done.expires else "is no longer valid"
    app.print(f"The previous one, {done.previous}, {end}; it is kept as {done.previous_file}")


def _local(date: str) -> str:
    return durations.local(datetime.fromisoformat(date).timestamp())


def _vouch(previous: ApiClient, name: str, pem: str) -> None:
    from pushcli.client import editors  # noqa: PLC0415

    editors.vouch(previous, name, load_public_key(pem))
